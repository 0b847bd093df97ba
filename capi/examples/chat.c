/*
 * A chat inside a loop of its own: poll(2), which also waits for standard input.
 *
 *     make -C capi static
 *     gcc -Wall -Wextra -Werror -Icapi/include capi/examples/chat.c \
 *         target/release/liblariat_c.a -lpthread -ldl -lm -o chat
 *     ./chat [ADDRESS]
 *
 * The path is the room: what a client says goes to all others in it. Clients must offer the
 * subprotocol "chat". Each line of standard input goes to everybody, and its end stops the server.
 */
#include "lariat.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 1000, MOST_ROOM = 64 };

/* What the host knows of its clients, by the upper half of their ids. */
static struct {
    char room[MOST_ROOM];
    size_t room_length;
} clients[MOST];

static int on_request(lariat_server *server, void *user, uint64_t client, lariat_request *request)
{
    const char *path;
    size_t length;
    (void)server, (void)user;

    if (!lariat_request_names_local_host(request))
        return 421;
    if (!lariat_request_is_same_origin(request))
        return 403;
    if (lariat_request_part(request, LARIAT_PATH, &path, &length) != LARIAT_OK || length > MOST_ROOM)
        return 404;
    if (lariat_answer_subprotocol(request, "chat", 4) != LARIAT_OK) {
        static const char text[] = "Offer the subprotocol \"chat\".\n";
        lariat_answer_body(request, "text/plain", 10, text, sizeof text - 1);
        return 400;
    }
    if ((client >> 32) >= MOST)
        return 503;
    memcpy(clients[client >> 32].room, path, length);
    clients[client >> 32].room_length = length;
    return 101;
}

static void say(lariat_server *server, uint64_t client, const char *what, const char *data, size_t length)
{
    char line[1200];
    int written = snprintf(line, sizeof line, "%u %s%.*s", (unsigned)(client >> 32), what, (int)length, data);
    if (written > 0 && (size_t)written < sizeof line)
        lariat_publish(server, clients[client >> 32].room, clients[client >> 32].room_length, client,
                       LARIAT_TEXT, line, (size_t)written, NULL);
}

static void on_open(lariat_server *server, void *user, uint64_t client)
{
    (void)user;
    lariat_subscribe(server, client, clients[client >> 32].room, clients[client >> 32].room_length);
    say(server, client, "has come", "", 0);
}

static void on_message(lariat_server *server, void *user, uint64_t client, int kind, const char *data, size_t length)
{
    static const char reason[] = "short texts only";
    (void)user;
    if (kind != LARIAT_TEXT || length > 1000 || memchr(data, '\0', length) != NULL)
        lariat_close(server, client, 1003, reason, sizeof reason - 1);
    else
        say(server, client, "", data, length);
}

static void on_close(lariat_server *server, void *user, uint64_t client, uint16_t code, int clean, const char *reason,
                     size_t length)
{
    (void)user, (void)code, (void)clean, (void)reason, (void)length;
    say(server, client, "has gone", "", 0);
}

static void on_log(void *user, int level, const char *text, size_t length)
{
    (void)user;
    fprintf(stderr, "%s: %.*s\n", level == LARIAT_LOG_ERROR ? "error" : "warning", (int)length, text);
}

static int failed(const char *what)
{
    fprintf(stderr, "chat: %s: %s\n", what, lariat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:9998";
    char where[64], input[512];
    lariat_server *server;
    struct pollfd watched[2];
    int status = LARIAT_OK;

    lariat_set_log(LARIAT_LOG_WARN, on_log, NULL);
    if (lariat_new(&server) != LARIAT_OK)
        return failed("cannot make a server");
    lariat_configure(server, LARIAT_MAX_CONNECTIONS, MOST);
    lariat_configure(server, LARIAT_MAX_MESSAGE, 4096);
    lariat_on_request(server, on_request, NULL);
    lariat_on_open(server, on_open, NULL);
    lariat_on_message(server, on_message, NULL);
    lariat_on_close(server, on_close, NULL);
    if (lariat_listen(server, address, strlen(address)) != LARIAT_OK)
        return failed("cannot listen");
    if (lariat_address(server, 0, where, sizeof where) != LARIAT_OK)
        return failed("no address");
    printf("listening on %s\n", where);
    fflush(stdout);

    watched[0].fd = lariat_fd(server);
    watched[0].events = POLLIN;
    watched[1].fd = STDIN_FILENO;
    watched[1].events = POLLIN;
    do {
        if (poll(watched, 2, lariat_timeout(server)) < 0) {
            if (errno == EINTR)
                continue; /* to the condition of the loop */
            perror("chat: poll");
            return 1;
        }
        if (watched[1].revents != 0) {
            ssize_t length = read(STDIN_FILENO, input, sizeof input);
            if (length > 0) {
                /* What is not UTF-8 is refused. */
                lariat_broadcast(server, LARIAT_TEXT, input, (size_t)length, NULL);
            } else {
                watched[1].fd = -1;
                lariat_stop(server, 2000);
            }
        }
        status = lariat_turn(server, 0);
    } while (status == LARIAT_OK);
    if (status != LARIAT_STOPPED)
        return failed("the loop has failed");
    lariat_free(server);
    return 0;
}
