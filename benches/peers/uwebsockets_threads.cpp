// uWebSockets with several threads; benches/loops.py builds it, like uwebsockets.cpp.
//
// Each thread has an App, a loop, and a listening socket of its own on the same port. The kernel
// distributes the connections (SO_REUSEPORT, which uWebSockets always sets). A message to
// /broadcast goes to all clients there. A thread publishes only to its own, so it defers a call to
// the loop of each other thread. Other paths echo. A request for /threads gets the number of
// clients at /broadcast for each thread.

#include "App.h"

#include <atomic>
#include <latch>
#include <thread>

struct Client {};

// Another thread uses only `loop`, and `app` only within that loop.
struct alignas(64) Member {
    uWS::App *app = nullptr;
    uWS::Loop *loop = nullptr;
    std::atomic<int> clients = 0;
};

static void publish_to_all(std::vector<Member> &members, Member &own, std::string_view message, uWS::OpCode code) {
    for (auto &other : members) {
        if (&other != &own) {
            other.loop->defer([app = other.app, message = std::string(message), code] { app->publish("all", message, code); });
        }
    }
    own.app->publish("all", message, code);
}

static std::string counts(const std::vector<Member> &members) {
    std::string text;
    for (auto &member : members) {
        text += std::to_string(member.clients.load()) + "\n";
    }
    return text;
}

static void serve(std::vector<Member> &members, Member &own, int port, std::latch &ready) {
    uWS::App app;
    own.app = &app;
    own.loop = uWS::Loop::get();
    uWS::App::WebSocketBehavior<Client> echo = {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 16 * 1024 * 1024,
        .maxBackpressure = 16 * 1024 * 1024,
        .message = [](auto *client, std::string_view message, uWS::OpCode code) { client->send(message, code); },
    };
    uWS::App::WebSocketBehavior<Client> broadcast = {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 16 * 1024 * 1024,
        .maxBackpressure = 16 * 1024 * 1024,
        .open = [&own](auto *client) {
            client->subscribe("all");
            own.clients++;
        },
        .message = [&](auto *, std::string_view message, uWS::OpCode code) { publish_to_all(members, own, message, code); },
        .close = [&own](auto *, int, std::string_view) { own.clients--; },
    };
    app.get("/threads", [&members](auto *response, auto *) { response->end(counts(members)); });
    app.ws<Client>("/broadcast", std::move(broadcast)).ws<Client>("/*", std::move(echo));
    app.listen("127.0.0.1", port, [port](auto *socket) {
        if (!socket) {
            std::cerr << "cannot listen on port " << port << std::endl;
            std::exit(1);
        }
    });
    // No loop runs before all members are known.
    ready.arrive_and_wait();
    if (&own == &members[0]) {
        std::cout << "listens on 127.0.0.1:" << port << std::endl;
    }
    app.run();
}

int main(int argc, char **argv) {
    int threads = argc > 2 ? std::atoi(argv[2]) : 0;
    if (threads < 1) {
        std::cerr << "usage: uwebsockets_threads PORT THREADS" << std::endl;
        return 2;
    }
    int port = std::atoi(argv[1]);
    std::vector<Member> members(threads);
    std::latch ready(threads);
    std::vector<std::thread> others;
    for (int number = 1; number < threads; number++) {
        others.emplace_back(serve, std::ref(members), std::ref(members[number]), port, std::ref(ready));
    }
    // With one thread, the process has no other, as with one loop of Lariat.
    serve(members, members[0], port, ready);
    for (auto &other : others) {
        other.join();
    }
}
