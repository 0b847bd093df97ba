/*
 * Counters of a service, in a GLib main loop: a GTK or GStreamer program has one already.
 *
 *     make -C capi static
 *     gcc -Wall -Wextra -Werror -Icapi/include capi/examples/glib.c \
 *         target/release/liblariat_c.a $(pkg-config --cflags --libs glib-2.0) \
 *         -lpthread -ldl -lm -o glib
 *     ./glib [ADDRESS]
 *
 * A GLib timeout pushes the counters to all clients, as JSON. A client that sends "reset" sets the
 * number of its own messages to zero. SIGINT and SIGTERM stop it.
 */
#include "lariat.h"

#include <glib-unix.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

static const char TOPIC[] = "counters";

/* ---- a server as a source of events ---------------------------------------------------------- */

typedef struct {
    GSource source;
    lariat_server *server;
    gpointer readable;
    GMainLoop *loop;
    int status;
} ServerSource;

static gboolean prepare(GSource *source, gint *timeout)
{
    *timeout = lariat_timeout(((ServerSource *)source)->server);
    return *timeout == 0;
}

static gboolean check(GSource *source)
{
    ServerSource *self = (ServerSource *)source;
    return g_source_query_unix_fd(source, self->readable) != 0 || lariat_timeout(self->server) == 0;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
    ServerSource *self = (ServerSource *)source;
    (void)callback, (void)user;

    self->status = lariat_turn(self->server, 0);
    if (self->status == LARIAT_OK)
        return G_SOURCE_CONTINUE;
    g_main_loop_quit(self->loop);
    return G_SOURCE_REMOVE;
}

static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};

/* ---- the service ----------------------------------------------------------------------------- */

static int on_request(lariat_server *server, void *user, uint64_t client, lariat_request *request)
{
    (void)server, (void)user, (void)client;
    if (!lariat_request_names_local_host(request))
        return 421;
    return lariat_request_is_same_origin(request) ? 101 : 403;
}

static void on_open(lariat_server *server, void *user, uint64_t client)
{
    (void)user;
    lariat_subscribe(server, client, TOPIC, sizeof TOPIC - 1);
}

static void on_message(lariat_server *server, void *user, uint64_t client, int kind, const char *data, size_t length)
{
    /* A number fits into the pointer, so nothing has to be freed. */
    gsize count = GPOINTER_TO_SIZE(lariat_data(server, client)) + 1;
    char line[64];
    int written;
    (void)user;

    if (kind == LARIAT_TEXT && length == 5 && memcmp(data, "reset", 5) == 0)
        count = 0;
    lariat_set_data(server, client, GSIZE_TO_POINTER(count));
    written = snprintf(line, sizeof line, "{\"yours\":%" G_GSIZE_FORMAT "}", count);
    lariat_send(server, client, LARIAT_TEXT, line, (size_t)written);
}

static gboolean push(gpointer user)
{
    lariat_server *server = user;
    lariat_stats stats = {.size = sizeof stats};
    char json[256];
    int written;

    if (lariat_get_stats(server, &stats) != LARIAT_OK)
        return G_SOURCE_REMOVE;
    written = snprintf(json, sizeof json,
                       "{\"clients\":%" G_GUINT64_FORMAT ",\"received\":%" G_GUINT64_FORMAT
                       ",\"sent\":%" G_GUINT64_FORMAT ",\"bytes\":%" G_GUINT64_FORMAT "}",
                       stats.open, stats.messages_received, stats.messages_sent, stats.bytes_written);
    lariat_publish(server, TOPIC, sizeof TOPIC - 1, 0, LARIAT_TEXT, json, (size_t)written, NULL);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer user)
{
    lariat_stop(user, 2000);
    return G_SOURCE_CONTINUE;
}

static int failed(const char *what)
{
    fprintf(stderr, "glib: %s: %s\n", what, lariat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:9998";
    char where[64];
    ServerSource *source;
    lariat_server *server;
    int status;

    if (lariat_new(&server) != LARIAT_OK)
        return failed("cannot make a server");
    lariat_on_request(server, on_request, NULL);
    lariat_on_open(server, on_open, NULL);
    lariat_on_message(server, on_message, NULL);
    if (lariat_listen(server, address, strlen(address)) != LARIAT_OK)
        return failed("cannot listen");
    if (lariat_address(server, 0, where, sizeof where) != LARIAT_OK)
        return failed("no address");
    if (lariat_fd(server) < 0)
        return failed("no loop");

    source = (ServerSource *)g_source_new(&functions, sizeof *source);
    source->server = server;
    source->loop = g_main_loop_new(NULL, FALSE);
    source->readable = g_source_add_unix_fd(&source->source, lariat_fd(server), G_IO_IN);
    g_source_attach(&source->source, NULL);
    g_timeout_add(1000, push, server);
    g_unix_signal_add(SIGINT, on_signal, server);
    g_unix_signal_add(SIGTERM, on_signal, server);
    printf("listening on %s\n", where);
    fflush(stdout);

    g_main_loop_run(source->loop);
    status = source->status;
    g_main_loop_unref(source->loop);
    g_source_unref(&source->source);
    if (status != LARIAT_STOPPED)
        return failed("the server has failed");
    lariat_free(server);
    return 0;
}
