/*
 * Slow work on threads: a client sends a number, and gets how many primes are below it.
 *
 *     make -C capi static
 *     gcc -Wall -Wextra -Werror -Icapi/include capi/examples/jobs.c \
 *         target/release/liblariat_c.a -lpthread -ldl -lm -o jobs
 *     ./jobs [ADDRESS]
 *
 * Each client has one job at a time: until it is done, the client is paused. SIGINT and SIGTERM
 * stop the server.
 */
#include "lariat.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 2, LARGEST = 10000000 };

static volatile sig_atomic_t must_stop;

/* It belongs to the loop's thread, to the queue, to a worker, or to a posted call: to one of them
 * at a time. */
struct job {
    struct job *next;
    uint64_t client;
    unsigned long number, primes;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t has_more;
    struct job *first, **end;
    int is_ending;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &queue.first, 0};

static void on_signal(int number)
{
    (void)number;
    must_stop = 1;
}

/* ---- the workers' threads -------------------------------------------------------------------- */

static struct job *take(void)
{
    struct job *job;

    pthread_mutex_lock(&queue.lock);
    while (queue.first == NULL && !queue.is_ending)
        pthread_cond_wait(&queue.has_more, &queue.lock);
    job = queue.is_ending ? NULL : queue.first;
    if (job != NULL) {
        queue.first = job->next;
        if (queue.first == NULL)
            queue.end = &queue.first;
    }
    pthread_mutex_unlock(&queue.lock);
    return job;
}

static unsigned long primes_below(unsigned long number)
{
    unsigned long count = 0, each, divisor;

    for (each = 2; each < number; each++) {
        for (divisor = 2; divisor * divisor <= each && each % divisor != 0; divisor++)
            ;
        count += divisor * divisor > each;
    }
    return count;
}

/* The loop's thread calls this. If the client has left, nothing is sent. */
static void answer(lariat_server *server, void *user)
{
    struct job *job = user;
    char text[64];
    int written = snprintf(text, sizeof text, "%lu: %lu", job->number, job->primes);

    lariat_send(server, job->client, LARIAT_TEXT, text, (size_t)written);
    lariat_resume(server, job->client);
    free(job);
}

static void *work(void *server)
{
    struct job *job;

    while ((job = take()) != NULL) {
        job->primes = primes_below(job->number);
        /* If the server stops before it has made the call, Lariat calls free. */
        if (lariat_post(server, answer, free, job) != LARIAT_OK)
            free(job);
    }
    return NULL;
}

/* ---- the loop's thread ----------------------------------------------------------------------- */

static int on_request(lariat_server *server, void *user, uint64_t client, lariat_request *request)
{
    (void)server, (void)user, (void)client;
    if (!lariat_request_names_local_host(request))
        return 421;
    return lariat_request_is_same_origin(request) ? 101 : 403;
}

/* Returns a number from 0 to LARGEST, or -1. */
static long parsed(const char *data, size_t length)
{
    long number = 0;
    size_t i;

    for (i = 0; i < length && number <= LARGEST; i++) {
        if (data[i] < '0' || data[i] > '9')
            return -1;
        number = number * 10 + (data[i] - '0');
    }
    return length > 0 && number <= LARGEST ? number : -1;
}

static void on_message(lariat_server *server, void *user, uint64_t client, int kind, const char *data, size_t length)
{
    static const char WRONG[] = "send a number, at most 10000000";
    long number = kind == LARIAT_TEXT ? parsed(data, length) : -1;
    struct job *job;
    (void)user;

    if (number < 0) {
        lariat_send(server, client, LARIAT_TEXT, WRONG, sizeof WRONG - 1);
        return;
    }
    job = calloc(1, sizeof *job);
    if (job == NULL) {
        lariat_close(server, client, 1011, "no memory", 9);
        return;
    }
    job->client = client;
    job->number = (unsigned long)number;
    lariat_pause(server, client);
    pthread_mutex_lock(&queue.lock);
    *queue.end = job;
    queue.end = &job->next;
    pthread_cond_signal(&queue.has_more);
    pthread_mutex_unlock(&queue.lock);
}

static int failed(const char *what)
{
    fprintf(stderr, "jobs: %s: %s\n", what, lariat_last_error());
    return 1;
}

/* Starts the workers. They take no signals, so that these end the wait of the loop's thread. */
static int start(pthread_t *workers, lariat_server *server)
{
    sigset_t all, before;
    int i, error = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (i = 0; i < WORKERS && error == 0; i++)
        error = pthread_create(&workers[i], NULL, work, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:9998";
    char where[64];
    struct sigaction action;
    pthread_t workers[WORKERS];
    lariat_server *server;
    struct job *job;
    int i, status, is_stopping = 0;

    if (lariat_new(&server) != LARIAT_OK)
        return failed("cannot make a server");
    lariat_configure(server, LARIAT_MAX_MESSAGE, 64);
    lariat_on_request(server, on_request, NULL);
    lariat_on_message(server, on_message, NULL);
    if (lariat_listen(server, address, strlen(address)) != LARIAT_OK)
        return failed("cannot listen");
    if (lariat_address(server, 0, where, sizeof where) != LARIAT_OK)
        return failed("no address");
    if (start(workers, server) != 0) {
        fprintf(stderr, "jobs: no thread\n");
        return 1;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("listening on %s\n", where);
    fflush(stdout);

    while ((status = lariat_turn(server, 1000)) == LARIAT_OK) {
        if (must_stop && !is_stopping) {
            is_stopping = 1;
            lariat_stop(server, 2000);
        }
    }
    if (status != LARIAT_STOPPED)
        failed("the loop has failed");

    /* Workers may post until they have ended, so the server is freed after that. */
    pthread_mutex_lock(&queue.lock);
    queue.is_ending = 1;
    pthread_cond_broadcast(&queue.has_more);
    pthread_mutex_unlock(&queue.lock);
    for (i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    while ((job = queue.first) != NULL) {
        queue.first = job->next;
        free(job);
    }
    lariat_free(server);
    return status == LARIAT_STOPPED ? 0 : 1;
}
