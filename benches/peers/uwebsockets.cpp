// uWebSockets, from the sources that the crate libuwebsockets-sys has; benches/compare.py builds it.
// With `deflate` behind the port it compresses, with the compressor and the decompressor shared by all.
// Built with -DLIBUS_USE_OPENSSL it speaks TLS instead, with a certificate and a key behind the port,
// and with `low-memory` behind those it frees the buffers of idle sessions.

#include "App.h"

struct Client {};

int main(int argc, char **argv) {
#ifdef LIBUS_USE_OPENSSL
    using App = uWS::SSLApp;
    if (argc < 4) {
        std::cerr << "usage: uwebsockets_tls PORT CERT KEY [low-memory]" << std::endl;
        return 2;
    }
    bool deflate = false;
    bool low_memory = argc > 4 && std::string_view(argv[4]) == "low-memory";
    App app({.key_file_name = argv[3], .cert_file_name = argv[2], .ssl_prefer_low_memory_usage = low_memory});
#else
    using App = uWS::App;
    if (argc < 2) {
        std::cerr << "usage: uwebsockets PORT [deflate]" << std::endl;
        return 2;
    }
    bool deflate = argc > 2 && std::string_view(argv[2]) == "deflate";
    App app;
#endif
    int port = std::atoi(argv[1]);
    App::WebSocketBehavior<Client> echo = {
        .compression = deflate ? uWS::CompressOptions(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR) : uWS::DISABLED,
        .maxPayloadLength = 16 * 1024 * 1024,
        .maxBackpressure = 16 * 1024 * 1024,
        .message = [deflate](auto *client, std::string_view message, uWS::OpCode code) {
            client->send(message, code, deflate);
        },
    };
    App::WebSocketBehavior<Client> broadcast = {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 16 * 1024 * 1024,
        .maxBackpressure = 16 * 1024 * 1024,
        .open = [](auto *client) { client->subscribe("all"); },
        .message = [&app](auto *, std::string_view message, uWS::OpCode code) { app.publish("all", message, code); },
    };
    app.ws<Client>("/broadcast", std::move(broadcast)).ws<Client>("/*", std::move(echo));
    app.listen("127.0.0.1", port, [port](auto *socket) {
        if (!socket) {
            std::cerr << "cannot listen on port " << port << std::endl;
            std::exit(1);
        }
        std::cout << "listens on 127.0.0.1:" << port << std::endl;
    }).run();
}
