/*
 * An echo server on CivetWeb. It has a thread for each connection, so it needs as many as there are
 * clients.
 *
 *     civetweb PORT THREADS
 */
#include <civetweb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int on_data(struct mg_connection *connection, int bits, char *data, size_t length, void *user)
{
    int opcode = bits & 15;

    (void)user;
    if (opcode == MG_WEBSOCKET_OPCODE_CONNECTION_CLOSE)
        return 0;
    if (opcode == MG_WEBSOCKET_OPCODE_PING || opcode == MG_WEBSOCKET_OPCODE_PONG)
        return 1;
    return mg_websocket_write(connection, opcode, data, length) > 0;
}

static int on_connect(const struct mg_connection *connection, void *user)
{
    (void)connection;
    (void)user;
    return 0;
}

int main(int argc, char **argv)
{
    struct mg_callbacks callbacks;
    struct mg_context *context;
    char address[32];
    const char *options[] = {
        "listening_ports", address, "num_threads", argc == 3 ? argv[2] : "", "websocket_timeout_ms", "3600000", NULL,
    };

    if (argc != 3)
        return 2;
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    memset(&callbacks, 0, sizeof callbacks);
    mg_init_library(MG_FEATURES_WEBSOCKET);
    context = mg_start(&callbacks, NULL, options);
    if (!context)
        return 1;
    mg_set_websocket_handler(context, "/", on_connect, NULL, on_data, NULL, NULL);
    for (;;)
        pause();
}
