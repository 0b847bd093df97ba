// An echo server on uWebSockets, without TLS and without compression.
//
//     uwebsockets PORT

#include "App.h"

struct Client {};

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    uWS::App::WebSocketBehavior<Client> echo = {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 16 * 1024,
        .maxBackpressure = 64 * 1024,
        .message = [](auto *client, std::string_view message, uWS::OpCode code) { client->send(message, code); },
    };
    bool listens = false;
    uWS::App().ws<Client>("/*", std::move(echo)).listen("127.0.0.1", std::atoi(argv[1]), [&](auto *socket) {
        listens = socket != nullptr;
        if (!listens) {
            std::exit(1);
        }
    }).run();
}
