// A C++ exception that leaves a callback ends the program. It must not unwind through Lariat.
#include "lariat.h"

#include <cstdio>
#include <stdexcept>

static void call(lariat_server *, void *)
{
    throw std::runtime_error("from a callback");
}

int main()
{
    lariat_server *server = nullptr;

    if (lariat_new(&server) != LARIAT_OK || lariat_fd(server) < 0 || lariat_post(server, call, nullptr, nullptr) != LARIAT_OK)
        return 2;
    try {
        lariat_turn(server, 0);
    } catch (...) {
        std::puts("it came through");
    }
    return 3;
}
