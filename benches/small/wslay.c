/*
 * An echo server on wslay, which has neither a socket nor an opening handshake: those are here,
 * with epoll, and with SHA-1 and base64 of nettle, which wslay's own example uses as well.
 *
 *     wslay PORT
 */
#define _GNU_SOURCE

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#define MOST_HEAD 4096

struct client {
    int fd, events;
    /* Until the handshake is done. */
    char *head;
    size_t head_length;
    wslay_event_context_ptr session;
};

static int poller;

static ssize_t on_recv(wslay_event_context_ptr session, uint8_t *data, size_t length, int flags, void *user)
{
    struct client *client = user;
    ssize_t count = recv(client->fd, data, length, 0);

    (void)flags;
    if (count > 0)
        return count;
    wslay_event_set_error(session, count < 0 && errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr session, const uint8_t *data, size_t length, int flags, void *user)
{
    struct client *client = user;
    ssize_t count = send(client->fd, data, length, MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));

    if (count >= 0)
        return count;
    wslay_event_set_error(session, errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_message(wslay_event_context_ptr session, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct wslay_event_msg message = {arg->opcode, arg->msg, arg->msg_length};

    (void)user;
    if (!wslay_is_ctrl_frame(arg->opcode))
        wslay_event_queue_msg(session, &message);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_recv,
    .send_callback = on_send,
    .on_msg_recv_callback = on_message,
};

static void drop(struct client *client)
{
    if (client->session)
        wslay_event_context_free(client->session);
    close(client->fd);
    free(client->head);
    free(client);
}

static int open_session(struct client *client)
{
    static const char key_name[] = "\r\nsec-websocket-key:", guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char response[160], accept[BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) + 1] = {0};
    char *key = strcasestr(client->head, key_name);
    struct sha1_ctx sha1;
    uint8_t digest[SHA1_DIGEST_SIZE];
    int length;

    if (!key)
        return -1;
    key += sizeof key_name - 1;
    key += strspn(key, " ");
    sha1_init(&sha1);
    sha1_update(&sha1, strcspn(key, " \r"), (uint8_t *)key);
    sha1_update(&sha1, sizeof guid - 1, (const uint8_t *)guid);
    sha1_digest(&sha1, sizeof digest, digest);
    base64_encode_raw(accept, sizeof digest, digest);
    length = snprintf(response, sizeof response,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: %s\r\n\r\n",
                      accept);
    free(client->head);
    client->head = NULL;
    if (send(client->fd, response, length, MSG_NOSIGNAL) != length)
        return -1;
    return wslay_event_context_server_init(&client->session, &callbacks, client);
}

static int read_head(struct client *client)
{
    ssize_t count;

    if (!client->head && !(client->head = calloc(1, MOST_HEAD)))
        return -1;
    count = recv(client->fd, client->head + client->head_length, MOST_HEAD - 1 - client->head_length, 0);
    if (count <= 0)
        return count < 0 && errno == EAGAIN ? 0 : -1;
    client->head_length += count;
    if (strstr(client->head, "\r\n\r\n"))
        return open_session(client);
    return client->head_length < MOST_HEAD - 1 ? 0 : -1;
}

static int serve(struct client *client, int events)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};

    if (!client->session)
        return read_head(client);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && wslay_event_recv(client->session))
        return -1;
    if (wslay_event_send(client->session))
        return -1;
    if (wslay_event_want_write(client->session))
        event.events |= EPOLLOUT;
    else if (!wslay_event_want_read(client->session))
        return -1;
    if ((int)event.events != client->events) {
        client->events = event.events;
        return epoll_ctl(poller, EPOLL_CTL_MOD, client->fd, &event);
    }
    return 0;
}

static void admit(int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *client;
    struct epoll_event event;

    if (fd < 0)
        return;
    client = calloc(1, sizeof *client);
    if (!client) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    client->fd = fd;
    client->events = EPOLLIN;
    event = (struct epoll_event){.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
        drop(client);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event events[64], own = {.events = EPOLLIN, .data.ptr = NULL};
    int i, count, one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (argc != 2)
        return 2;
    address.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024) ||
        epoll_ctl(poller, EPOLL_CTL_ADD, listener, &own))
        return 1;
    for (;;) {
        count = epoll_wait(poller, events, 64, -1);
        for (i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client)
                admit(listener);
            else if (serve(client, events[i].events))
                drop(client);
        }
    }
}
