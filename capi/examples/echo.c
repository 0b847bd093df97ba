/*
 * A server that sends back what it gets.
 *
 *     make -C capi static
 *     gcc -Wall -Wextra -Werror -Icapi/include capi/examples/echo.c \
 *         target/release/liblariat_c.a -lpthread -ldl -lm -o echo
 *     ./echo [ADDRESS [CERTIFICATE KEY]]
 *
 * With the PEM files of a certificate and its key, it speaks TLS (wss://), and SIGHUP makes it
 * read them again. SIGINT and SIGTERM stop it.
 */
#include "lariat.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t must_stop, must_reload;

static void on_signal(int number)
{
    if (number == SIGHUP)
        must_reload = 1;
    else
        must_stop = 1;
}

static void on_message(lariat_server *server, void *user, uint64_t client, int kind, const char *data, size_t length)
{
    (void)user;
    /* An error says that the client is closing, or reads too slowly and is closed for that. */
    lariat_send(server, client, kind, data, length);
}

static int failed(const char *what)
{
    fprintf(stderr, "echo: %s: %s\n", what, lariat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:9998";
    char where[64];
    struct sigaction action;
    lariat_server *server;
    int status, is_stopping = 0;

    if (lariat_new(&server) != LARIAT_OK)
        return failed("cannot make a server");
    lariat_on_message(server, on_message, NULL);
    if (argc > 3)
        status = lariat_listen_tls(server, address, strlen(address), argv[2], strlen(argv[2]), argv[3],
                                   strlen(argv[3]));
    else
        status = lariat_listen(server, address, strlen(address));
    if (status != LARIAT_OK)
        return failed("cannot listen");
    if (lariat_address(server, 0, where, sizeof where) != LARIAT_OK)
        return failed("no address");
    printf("listening on %s\n", where);
    fflush(stdout);

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);

    /* A signal ends the wait of a turn. One that comes right before it is seen a second later. */
    while ((status = lariat_turn(server, 1000)) == LARIAT_OK) {
        if (must_stop && !is_stopping) {
            is_stopping = 1;
            lariat_stop(server, 2000);
        }
        if (must_reload) {
            must_reload = 0;
            if (lariat_reload_tls(server) != LARIAT_OK)
                failed("the certificate stays as it is");
        }
    }
    if (status != LARIAT_STOPPED)
        return failed("the loop has failed");
    lariat_free(server);
    return 0;
}
