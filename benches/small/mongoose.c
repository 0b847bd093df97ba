/*
 * An echo server on Mongoose, whose sources are compiled with it.
 *
 *     mongoose PORT
 */
#include "mongoose.h"

static void on_event(struct mg_connection *connection, int event, void *data)
{
    if (event == MG_EV_HTTP_MSG) {
        mg_ws_upgrade(connection, data, NULL);
    } else if (event == MG_EV_WS_MSG) {
        struct mg_ws_message *message = data;
        mg_ws_send(connection, message->data.buf, message->data.len, message->flags & 15);
    }
}

int main(int argc, char **argv)
{
    struct mg_mgr manager;
    char url[48];

    if (argc != 2)
        return 2;
    mg_log_set(MG_LL_NONE);
    mg_mgr_init(&manager);
    mg_snprintf(url, sizeof url, "http://127.0.0.1:%s", argv[1]);
    if (!mg_http_listen(&manager, url, on_event, NULL))
        return 1;
    for (;;)
        mg_mgr_poll(&manager, 1000);
}
