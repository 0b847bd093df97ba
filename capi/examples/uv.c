/*
 * A chat in a libuv loop, with a timer and signals of libuv's own.
 *
 *     make -C capi static
 *     gcc -Wall -Wextra -Werror -Icapi/include capi/examples/uv.c \
 *         target/release/liblariat_c.a $(pkg-config --cflags --libs libuv) -lpthread -ldl -lm -o uv
 *     ./uv [ADDRESS]
 *
 * What a client says goes to all others. libuv's timer tells everybody each second how many are
 * there. It serves this host only. SIGINT and SIGTERM stop it.
 */
#include "lariat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const char ROOM[] = "room";

static struct {
    lariat_server *server;
    uv_poll_t readable;   /* the server has something to do */
    uv_timer_t due;       /* it is time for the server to do something */
    uv_prepare_t waiting; /* the loop is about to wait */
    uv_timer_t clock;     /* the host's own timer */
    uv_signal_t interrupt, terminate;
    int status;
} host;

/* What the host keeps for each client. */
struct guest {
    unsigned number;
    char address[64];
};

/* ---- the server ------------------------------------------------------------------------------ */

static int on_request(lariat_server *server, void *user, uint64_t client, lariat_request *request)
{
    (void)server, (void)user, (void)client;
    if (!lariat_request_names_local_host(request))
        return 421;
    return lariat_request_is_same_origin(request) ? 101 : 403;
}

static void on_open(lariat_server *server, void *user, uint64_t client)
{
    static unsigned count;
    struct guest *guest = calloc(1, sizeof *guest);
    (void)user;

    if (guest == NULL || lariat_set_data(server, client, guest) != LARIAT_OK) {
        free(guest);
        lariat_terminate(server, client);
        return;
    }
    guest->number = ++count;
    if (lariat_peer(server, client, guest->address, sizeof guest->address) != LARIAT_OK)
        strcpy(guest->address, "nowhere");
    lariat_subscribe(server, client, ROOM, sizeof ROOM - 1);
}

static void on_message(lariat_server *server, void *user, uint64_t client, int kind, const char *data, size_t length)
{
    const struct guest *guest = lariat_data(server, client);
    char line[1200];
    int written;
    (void)user;

    if (guest == NULL || kind != LARIAT_TEXT || length > 1000 || memchr(data, '\0', length) != NULL)
        return;
    written = snprintf(line, sizeof line, "%u from %s: %.*s", guest->number, guest->address, (int)length, data);
    lariat_publish(server, ROOM, sizeof ROOM - 1, client, LARIAT_TEXT, line, (size_t)written, NULL);
}

static void on_close(lariat_server *server, void *user, uint64_t client, uint16_t code, int clean, const char *reason,
                     size_t length)
{
    (void)user, (void)code, (void)clean, (void)reason, (void)length;
    free(lariat_data(server, client));
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Turns the loop once. When the server has stopped, closes all handles, so that uv_run returns. */
static void turn(void)
{
    host.status = lariat_turn(host.server, 0);
    if (host.status == LARIAT_OK || uv_is_closing((uv_handle_t *)&host.readable))
        return;
    uv_close((uv_handle_t *)&host.readable, NULL);
    uv_close((uv_handle_t *)&host.due, NULL);
    uv_close((uv_handle_t *)&host.waiting, NULL);
    uv_close((uv_handle_t *)&host.clock, NULL);
    uv_close((uv_handle_t *)&host.interrupt, NULL);
    uv_close((uv_handle_t *)&host.terminate, NULL);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)handle, (void)status, (void)events;
    turn();
}

static void on_due(uv_timer_t *handle)
{
    (void)handle;
    turn();
}

/* Asks right before each wait, so that it sees what all other callbacks have asked for. */
static void on_waiting(uv_prepare_t *handle)
{
    int wait = lariat_timeout(host.server);

    uv_update_time(handle->loop);
    if (wait < 0)
        uv_timer_stop(&host.due);
    else
        uv_timer_start(&host.due, on_due, (uint64_t)wait, 0);
}

static void on_clock(uv_timer_t *handle)
{
    char line[64];
    size_t count;
    int written;
    (void)handle;

    if (lariat_subscribers(host.server, ROOM, sizeof ROOM - 1, &count) != LARIAT_OK)
        return;
    written = snprintf(line, sizeof line, "%lu here", (unsigned long)count);
    lariat_publish(host.server, ROOM, sizeof ROOM - 1, 0, LARIAT_TEXT, line, (size_t)written, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_signal_stop(handle);
    lariat_stop(host.server, 2000);
}

static int failed(const char *what)
{
    fprintf(stderr, "uv: %s: %s\n", what, lariat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:9998";
    char where[64];
    uv_loop_t *loop = uv_default_loop();

    if (lariat_new(&host.server) != LARIAT_OK)
        return failed("cannot make a server");
    lariat_on_request(host.server, on_request, NULL);
    lariat_on_open(host.server, on_open, NULL);
    lariat_on_message(host.server, on_message, NULL);
    lariat_on_close(host.server, on_close, NULL);
    if (lariat_listen(host.server, address, strlen(address)) != LARIAT_OK)
        return failed("cannot listen");
    if (lariat_address(host.server, 0, where, sizeof where) != LARIAT_OK)
        return failed("no address");

    if (loop == NULL || uv_poll_init(loop, &host.readable, lariat_fd(host.server)) != 0 ||
        uv_timer_init(loop, &host.due) != 0 || uv_prepare_init(loop, &host.waiting) != 0 ||
        uv_timer_init(loop, &host.clock) != 0 || uv_signal_init(loop, &host.interrupt) != 0 ||
        uv_signal_init(loop, &host.terminate) != 0)
        return failed("no loop");
    uv_poll_start(&host.readable, UV_READABLE, on_readable);
    uv_prepare_start(&host.waiting, on_waiting);
    uv_timer_start(&host.clock, on_clock, 1000, 1000);
    uv_signal_start(&host.interrupt, on_signal, SIGINT);
    uv_signal_start(&host.terminate, on_signal, SIGTERM);
    printf("listening on %s\n", where);
    fflush(stdout);

    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    if (host.status != LARIAT_STOPPED)
        return failed("the server has failed");
    lariat_free(host.server);
    return 0;
}
