/*
 * A device that reports to a server, and is told what to do: it connects, a thread of its own reads
 * the sensor, and after a failure it connects again.
 *
 *     make -C capi static
 *     gcc -Wall -Wextra -Werror -Icapi/include capi/examples/device.c \
 *         target/release/liblariat_c.a -lpthread -ldl -lm -o device
 *     ./device URL [TOKEN [AUTHORITIES]]
 *
 * The URL is ws://... or, in a build with TLS, wss://.... AUTHORITIES is a PEM file: the device
 * trusts these authorities instead of the platform's. The server may send "now" for a reading at
 * once. The sensor is the load average of this host. SIGINT and SIGTERM stop it.
 */
#include "lariat.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PERIOD = 500, SHORTEST_PAUSE = 250, LONGEST_PAUSE = 60000 }; /* milliseconds */

static volatile sig_atomic_t is_signalled;

/* What the thread of the sensor and that of the loop share. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t is_over;
    int is_ending;
    double load;
} shared = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

/* What belongs to the thread of the loop. */
static struct {
    const char *url;
    char headers[256];
    uint64_t connection; /* 0: there is none */
    int is_open;
    uint64_t pause;
} device;

static void on_signal(int number)
{
    (void)number;
    is_signalled = 1;
}

/* ---- the sensor's thread --------------------------------------------------------------------- */

static void report(lariat_server *server, void *user)
{
    char json[64];
    double load;
    int written;
    (void)user;

    if (!device.is_open)
        return;
    pthread_mutex_lock(&shared.lock);
    load = shared.load;
    pthread_mutex_unlock(&shared.lock);
    written = snprintf(json, sizeof json, "{\"load\":%.2f}", load);
    lariat_send(server, device.connection, LARIAT_TEXT, json, (size_t)written);
}

static void *read_sensor(void *server)
{
    struct timespec until;
    double load;

    pthread_mutex_lock(&shared.lock);
    while (!shared.is_ending) {
        pthread_mutex_unlock(&shared.lock);
        if (getloadavg(&load, 1) != 1) /* it may block: nobody waits for it */
            load = -1;
        pthread_mutex_lock(&shared.lock);
        shared.load = load;
        /* If too many calls wait, the next one has a newer value anyway. */
        lariat_post(server, report, NULL, NULL);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PERIOD * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        while (!shared.is_ending && pthread_cond_timedwait(&shared.is_over, &shared.lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&shared.lock);
    return NULL;
}

/* ---- the connection -------------------------------------------------------------------------- */

static int begin(lariat_server *server)
{
    return lariat_connect(server, device.url, strlen(device.url), device.headers, strlen(device.headers),
                          &device.connection);
}

static void on_open(lariat_server *server, void *user, uint64_t client)
{
    (void)client;
    device.is_open = 1;
    device.pause = SHORTEST_PAUSE;
    report(server, user);
}

static void on_message(lariat_server *server, void *user, uint64_t client, int kind, const char *data, size_t length)
{
    (void)client;
    if (kind == LARIAT_TEXT && length == 3 && memcmp(data, "now", 3) == 0)
        report(server, user);
}

static void on_close(lariat_server *server, void *user, uint64_t client, uint16_t code, int clean, const char *reason,
                     size_t length)
{
    (void)user, (void)client, (void)clean;
    fprintf(stderr, "device: disconnected with %u: %.*s\n", (unsigned)code, (int)length, reason);
    device.is_open = 0;
    /* While the server stops, the timer does not come any more. */
    lariat_set_timer(server, device.pause, 0, 0, NULL);
    device.pause = device.pause * 2 < LONGEST_PAUSE ? device.pause * 2 : LONGEST_PAUSE;
}

static void on_timer(lariat_server *server, void *user, uint64_t timer, uint64_t token)
{
    (void)user, (void)timer, (void)token;
    if (begin(server) != LARIAT_OK)
        fprintf(stderr, "device: %s\n", lariat_last_error());
}

static int failed(const char *what)
{
    fprintf(stderr, "device: %s: %s\n", what, lariat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    struct sigaction action;
    lariat_server *server;
    pthread_t sensor;
    int status, is_stopping = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: device URL [TOKEN [AUTHORITIES]]\n");
        return 2;
    }
    device.url = argv[1];
    device.pause = SHORTEST_PAUSE;
    if (argc > 2) {
        int written = snprintf(device.headers, sizeof device.headers,
                               "Authorization: Bearer %s\nSec-WebSocket-Protocol: readings\n", argv[2]);
        if (written < 0 || (size_t)written >= sizeof device.headers) {
            fprintf(stderr, "device: the token is too long\n");
            return 2;
        }
    }

    if (lariat_new(&server) != LARIAT_OK)
        return failed("cannot make a server");
    /* It listens nowhere, so this is what one connection may hold. */
    lariat_configure(server, LARIAT_READ_BUFFER, 4096);
    lariat_configure(server, LARIAT_MAX_MESSAGE, 4096);
    lariat_configure(server, LARIAT_PING_INTERVAL, 20000);
    lariat_configure(server, LARIAT_IDLE_TIMEOUT, 60000);
    lariat_on_open(server, on_open, NULL);
    lariat_on_message(server, on_message, NULL);
    lariat_on_close(server, on_close, NULL);
    lariat_on_timer(server, on_timer, NULL);
    if (argc > 3 && lariat_trust(server, argv[3], strlen(argv[3])) != LARIAT_OK)
        return failed("the authorities cannot be used");
    if (begin(server) != LARIAT_OK)
        return failed("cannot connect");
    if (pthread_create(&sensor, NULL, read_sensor, server) != 0)
        return failed("no thread");

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    while ((status = lariat_turn(server, 1000)) == LARIAT_OK) {
        if (is_signalled && !is_stopping) {
            is_stopping = 1;
            lariat_stop(server, 2000);
        }
    }
    if (status != LARIAT_STOPPED)
        return failed("the loop has failed");

    /* No thread may use the server when it is freed. */
    pthread_mutex_lock(&shared.lock);
    shared.is_ending = 1;
    pthread_cond_signal(&shared.is_over);
    pthread_mutex_unlock(&shared.lock);
    pthread_join(sensor, NULL);
    lariat_free(server);
    return 0;
}
