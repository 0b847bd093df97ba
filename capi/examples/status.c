/*
 * A router's status page: the counters of its network interfaces, once a second, in a browser.
 * One process, no thread, a loop of its own. Linux only (/proc/net/dev).
 *
 *     make -C capi static
 *     gcc -Wall -Wextra -Werror -Icapi/include capi/examples/status.c \
 *         target/release/liblariat_c.a -lpthread -ldl -lm -o status
 *     ./status [ADDRESS]
 *
 * Open http://127.0.0.1:9998/ then. SIGINT and SIGTERM stop it.
 */
#include "lariat.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char TOPIC[] = "counters";
static const char PAGE[] =
    "<!doctype html><meta charset=utf-8><title>Status</title>\n"
    "<h1>Interfaces</h1>\n<pre id=out>no data yet</pre>\n"
    "<script>\n"
    "const socket = new WebSocket(location.href.replace(/^http/, 'ws') + 'counters')\n"
    "const line = ({ name, received, sent }) => `${name.padEnd(12)} ${received} in, ${sent} out`\n"
    "socket.onmessage = event => { out.textContent = JSON.parse(event.data).map(line).join('\\n') }\n"
    "socket.onclose = () => { out.textContent += '\\n(disconnected)' }\n"
    "</script>\n";

static volatile sig_atomic_t is_signalled;

static void on_signal(int number)
{
    (void)number;
    is_signalled = 1;
}

/* Writes the counters as JSON. Returns the length, or 0. */
static size_t counters(char *json, size_t size)
{
    char line[512], name[32];
    unsigned long long received, sent;
    size_t length = 1;
    FILE *file = fopen("/proc/net/dev", "r");

    if (file == NULL)
        return 0;
    json[0] = '[';
    while (fgets(line, sizeof line, file) != NULL) {
        /* Names that need escapes in JSON are left out. So are those that do not fit. */
        if (sscanf(line, " %31[A-Za-z0-9_.-]: %llu %*u %*u %*u %*u %*u %*u %*u %llu", name, &received, &sent) != 3)
            continue;
        int written = snprintf(json + length, size - length, "%s{\"name\":\"%s\",\"received\":%llu,\"sent\":%llu}",
                               length > 1 ? "," : "", name, received, sent);
        if (written < 0 || (size_t)written + 2 > size - length)
            break;
        length += (size_t)written;
    }
    fclose(file);
    json[length++] = ']';
    return length;
}

static int on_request(lariat_server *server, void *user, uint64_t client, lariat_request *request)
{
    const char *path;
    size_t length;
    (void)server, (void)user, (void)client;

    /* A page of an attacker may have made its own name resolve to this host. */
    if (!lariat_request_names_local_host(request))
        return 421;
    if (!lariat_request_is_same_origin(request))
        return 403;
    if (lariat_request_part(request, LARIAT_PATH, &path, &length) != LARIAT_OK)
        return 400;
    if (length == 9 && memcmp(path, "/counters", 9) == 0)
        return 101;
    if (length != 1)
        return 404;
    lariat_answer_body(request, "text/html; charset=utf-8", 24, PAGE, sizeof PAGE - 1);
    return 200;
}

static void on_open(lariat_server *server, void *user, uint64_t client)
{
    char json[4096];
    size_t length = counters(json, sizeof json);
    (void)user;

    lariat_subscribe(server, client, TOPIC, sizeof TOPIC - 1);
    if (length > 0)
        lariat_send(server, client, LARIAT_TEXT, json, length);
}

static void on_timer(lariat_server *server, void *user, uint64_t timer, uint64_t token)
{
    char json[4096];
    size_t length = counters(json, sizeof json);
    (void)user, (void)timer, (void)token;

    if (length > 0)
        lariat_publish(server, TOPIC, sizeof TOPIC - 1, 0, LARIAT_TEXT, json, length, NULL);
}

static int failed(const char *what)
{
    fprintf(stderr, "status: %s: %s\n", what, lariat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:9998";
    char where[64];
    struct sigaction action;
    struct pollfd watched;
    lariat_server *server;
    int status = LARIAT_OK, is_stopping = 0;

    if (lariat_new(&server) != LARIAT_OK)
        return failed("cannot make a server");
    /* For hosts with 8 to 64 MB. What else is set comes after it. */
    if (lariat_configure(server, LARIAT_SMALL, 1) != LARIAT_OK)
        return failed("no options");
    /* Nobody has to send anything here. */
    lariat_configure(server, LARIAT_MAX_CONNECTIONS, 100);
    lariat_configure(server, LARIAT_MAX_MESSAGE, 1024);
    lariat_on_request(server, on_request, NULL);
    lariat_on_open(server, on_open, NULL);
    lariat_on_timer(server, on_timer, NULL);
    if (lariat_listen(server, address, strlen(address)) != LARIAT_OK)
        return failed("cannot listen");
    if (lariat_set_timer(server, 1000, 1, 0, NULL) != LARIAT_OK)
        return failed("no timer");
    if (lariat_address(server, 0, where, sizeof where) != LARIAT_OK)
        return failed("no address");
    printf("listening on %s\n", where);
    fflush(stdout);

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    watched.fd = lariat_fd(server);
    watched.events = POLLIN;
    while (status == LARIAT_OK) {
        /* The timer ends the wait once a second, so that no signal is missed. */
        if (poll(&watched, 1, lariat_timeout(server)) < 0 && errno != EINTR) {
            perror("status: poll");
            return 1;
        }
        if (is_signalled && !is_stopping) {
            is_stopping = 1;
            lariat_stop(server, 2000);
        }
        status = lariat_turn(server, 0);
    }
    if (status != LARIAT_STOPPED)
        return failed("the loop has failed");
    lariat_free(server);
    return 0;
}
