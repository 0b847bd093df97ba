/*
 * An echo server on libwebsockets. What differs from its defaults makes it smaller: no extensions,
 * no TLS, no IPv6, and a table of 1,100 descriptors instead of one for as many as the process may
 * have.
 *
 *     libwebsockets PORT
 */
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

/* A message that arrives, and then its echo that waits for the socket. */
struct session {
    unsigned char *buffer;
    size_t length;
    int is_binary, is_whole;
};

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct session *session = user;
    unsigned char *larger;

    switch (reason) {
    case LWS_CALLBACK_RECEIVE:
        if (session->is_whole)
            return -1; /* a message came before the last one was echoed */
        larger = realloc(session->buffer, LWS_PRE + session->length + length);
        if (!larger)
            return -1;
        session->buffer = larger;
        memcpy(larger + LWS_PRE + session->length, in, length);
        session->length += length;
        if (lws_is_final_fragment(wsi)) {
            session->is_binary = lws_frame_is_binary(wsi);
            session->is_whole = 1;
            lws_callback_on_writable(wsi);
        }
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (!session->is_whole)
            break;
        if (lws_write(wsi, session->buffer + LWS_PRE, session->length,
                      session->is_binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < (int)session->length)
            return -1;
        /* fall through */
    case LWS_CALLBACK_CLOSED:
        free(session->buffer);
        memset(session, 0, sizeof *session);
        break;
    default:
        break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {"echo", on_event, sizeof(struct session), 4096, 0, NULL, 0},
        {NULL, NULL, 0, 0, 0, NULL, 0},
    };
    struct lws_context_creation_info info;
    struct lws_context *context;

    if (argc != 2)
        return 2;
    lws_set_log_level(LLL_ERR, NULL);
    memset(&info, 0, sizeof info);
    info.port = atoi(argv[1]);
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.gid = info.uid = -1;
    info.options = LWS_SERVER_OPTION_DISABLE_IPV6;
    info.fd_limit_per_thread = 1100;
    context = lws_create_context(&info);
    if (!context)
        return 1;
    while (lws_service(context, 0) >= 0)
        ;
    lws_context_destroy(context);
    return 1;
}
