/*
 * An echo server on Lariat's C interface, with the options of `Config::small`.
 *
 *     lariat PORT
 */
#include "lariat.h"

#include <stdio.h>
#include <string.h>

static void on_message(lariat_server *server, void *user, uint64_t client, int kind, const char *data, size_t length)
{
    (void)user;
    lariat_send(server, client, kind, data, length);
}

int main(int argc, char **argv)
{
    lariat_server *server;
    char address[32];

    if (argc != 2 || lariat_new(&server) != LARIAT_OK || lariat_configure(server, LARIAT_SMALL, 1) != LARIAT_OK)
        return 2;
    lariat_on_message(server, on_message, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    if (lariat_listen(server, address, strlen(address)) != LARIAT_OK)
        return 1;
    while (lariat_turn(server, -1) == LARIAT_OK)
        ;
    return 1;
}
