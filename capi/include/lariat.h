/*
 * Lariat: a WebSocket server to embed. One thread, one epoll or kqueue loop.
 *
 *     static void on_message(lariat_server *server, void *user, uint64_t client,
 *                            int kind, const char *data, size_t length)
 *     {
 *         lariat_send(server, client, kind, data, length);
 *     }
 *
 *     lariat_server *server;
 *     lariat_new(&server);
 *     lariat_on_message(server, on_message, NULL);
 *     lariat_listen(server, "127.0.0.1:9998", strlen("127.0.0.1:9998"));
 *     lariat_run(server);
 *     lariat_free(server);
 *
 * PHASES. A server is configured (lariat_configure), then it listens (lariat_listen and the like,
 * any number of times, or never), then its loop runs. Each function that needs the loop starts it:
 * lariat_run, lariat_turn, lariat_fd, lariat_timeout, lariat_get_stats, and all that concern
 * clients, topics and timers. Callbacks can be set at any time.
 *
 * RESULTS. Functions return a lariat_status as an int: 0 is success, negative numbers are errors,
 * and lariat_last_error says in English what is wrong. Call it in a statement after the one that
 * has failed: arguments of one call are evaluated in any order. Functions that return something
 * else say so. Unless stated otherwise, NULL is refused with LARIAT_INVALID. User pointers may be
 * NULL. An error in Lariat itself (a panic) is returned as LARIAT_PANIC and never unwinds into C.
 * It is also written to standard error. In a build with panic=abort, it ends the process.
 *
 * TEXTS are passed as a pointer and a length in bytes. They must be UTF-8, except paths, headers
 * and bodies of answers, and binary data. They need no NUL at the end. With length 0, the pointer
 * may be NULL. Results that are written into a buffer of the caller do have a NUL at the end.
 *
 * IDS of clients and timers are never used again, so a stale one does no harm: the function returns
 * LARIAT_GONE. 0 is never an id. The upper 32 bits of a client's id are its place in a table, from
 * 0 on without large gaps: an index into an array of the host's own. A later client may have the
 * same place, but never the same id. Connections that are not open yet have places too, so let the
 * array grow. With LARIAT_RESERVE n, and without lariat_connect, n + n / 16 + 4 elements are always
 * enough.
 *
 * OWNERSHIP. Data that is given to a function is copied before it returns. Data that a callback
 * gets belongs to Lariat and is valid until the callback returns. The caller of lariat_new owns the
 * server and must free it with lariat_free. Lariat never follows or frees a user pointer or a
 * pointer of lariat_set_data. What a user pointer points to must live until its callback is
 * replaced, or the server is freed.
 *
 * THREADS. The thread that calls lariat_new is the loop's thread. All functions that take a server,
 * lariat_free included, must be called on it (otherwise: LARIAT_WRONG_THREAD). The exceptions are
 * lariat_post and lariat_stop, which any thread can call until lariat_free. A request may be used
 * only on the thread of its callback. All other functions can be called on any thread. No function
 * may be called in a signal handler. If the loop is to see signals, block them in all other threads
 * (pthread_sigmask). Several servers can exist, also on several threads. Lariat itself starts a
 * thread only when lariat_connect has to look up a name. That thread blocks all signals. It may
 * outlive lariat_free, so the library must not be unloaded (dlclose).
 *
 * CALLBACKS run one at a time on the loop's thread, inside lariat_run or lariat_turn. (A callback
 * of the log runs on any thread, and `dropped` of lariat_post also inside lariat_free.) They can
 * call all functions of their server except these, which return LARIAT_BUSY (lariat_timeout: 0):
 * lariat_run, lariat_turn, lariat_fd, lariat_timeout, lariat_configure, lariat_listen,
 * lariat_listen_unix, lariat_listen_fd, lariat_listen_tls, lariat_free. Calls only queue work, so
 * callbacks never nest. A callback that blocks stops all clients. It must return: no longjmp. A C++
 * exception that leaves a callback ends the program. In on_request, lariat_set_data,
 * lariat_subscribe and lariat_pause work, but lariat_send, lariat_ping and lariat_close return
 * LARIAT_NOT_OPEN. In on_close, nothing of the client can be read any more but its pointer
 * (lariat_data), and nothing can be sent to it (LARIAT_NOT_OPEN).
 *
 * PROCESSES. Lariat installs no signal handler, and its writes raise no SIGPIPE. Its descriptors
 * are closed by exec. After fork without exec, the child must not use the server, and not free it
 * either.
 *
 * VERSIONS. From version 1.0 on, values and functions may be added, but none changes its meaning.
 */


#ifndef LARIAT_H
#define LARIAT_H

#include <stddef.h>
#include <stdint.h>

// What functions return. Negative numbers are errors: nothing has changed, unless a line below
// says so.
typedef enum lariat_status {
    // All went well.
    LARIAT_OK = 0,
    // The server has stopped: lariat_turn has nothing more to do.
    LARIAT_STOPPED = 1,
    // A pointer is NULL, or a number or text makes no sense.
    LARIAT_INVALID = -1,
    // The client or timer is not there any more, or never was.
    LARIAT_GONE = -2,
    // The connection is not open yet, is closing, or is no longer being answered.
    LARIAT_NOT_OPEN = -3,
    // Too many bytes would be unsent (the client is then closed as a slow consumer), or too many
    // calls of lariat_post wait.
    LARIAT_FULL = -4,
    // A text is not UTF-8.
    LARIAT_NOT_UTF8 = -5,
    // The function cannot be called inside this callback: see CALLBACKS above. A log callback can
    // call none.
    LARIAT_BUSY = -6,
    // The function is called too late or too early, such as lariat_listen after the loop has
    // started. Or the loop could not be started: the server can then only be freed.
    LARIAT_WRONG_STATE = -7,
    // The function was called on another thread than lariat_new.
    LARIAT_WRONG_THREAD = -8,
    // The operating system has refused. lariat_last_error says what.
    LARIAT_IO = -9,
    // This build lacks the feature, such as TLS.
    LARIAT_UNSUPPORTED = -10,
    // The name is not there: a header of a request, a subprotocol that was not offered, an
    // address.
    LARIAT_NOT_FOUND = -11,
    // A buffer of the caller is too small. What fits was written.
    LARIAT_TOO_SMALL = -12,
    // Lariat has failed: a bug. The call may have taken effect in part. Free the server.
    LARIAT_PANIC = -13,
} lariat_status;

// The kind of a message.
typedef enum lariat_kind {
    // UTF-8 text.
    LARIAT_TEXT = 1,
    // Bytes.
    LARIAT_BINARY = 2,
} lariat_kind;

// Options of lariat_configure. Sizes are in bytes, times in milliseconds. Where it says so, 0
// turns the limit off.
typedef enum lariat_option {
    // How many connections there may be. Further upgrades get 503. 0: no limit. Default 0.
    LARIAT_MAX_CONNECTIONS = 1,
    // How many connections one address may have. Further ones get 429. 0: no limit. Default 0.
    LARIAT_MAX_PER_ADDRESS = 2,
    // The most bytes that all clients together may hold. Default 64 MiB.
    LARIAT_MEMORY_BUDGET = 3,
    // The largest message that is accepted. A larger one closes its connection with 1009.
    // Default 1 MiB.
    LARIAT_MAX_MESSAGE = 4,
    // The most unsent bytes of one client. Default 4 MiB.
    LARIAT_MAX_UNSENT = 5,
    // The unsent bytes above which a client is not read, until on_drain. Default 64 KiB.
    LARIAT_HIGH_WATER = 6,
    // The size of the read buffer, which all clients share. Default 64 KiB.
    LARIAT_READ_BUFFER = 7,
    // The silence after which a ping is sent. 0: never. Default 50,000.
    LARIAT_PING_INTERVAL = 8,
    // The silence after which a client is closed. 0: never. Default 120,000.
    LARIAT_IDLE_TIMEOUT = 9,
    // The time for an opening handshake. Default 10,000.
    LARIAT_HANDSHAKE_TIMEOUT = 10,
    // The time for a closing handshake. Default 5,000.
    LARIAT_CLOSE_TIMEOUT = 11,
    // The time after which a client that reads nothing is closed. 0: never. Default 30,000.
    LARIAT_WRITE_TIMEOUT = 12,
    // 0 turns compression off, 1 turns it on (with the build's feature deflate). Default 1 with
    // that feature.
    LARIAT_DEFLATE = 13,
    // The most calls of lariat_post that may wait. Default 65,536.
    LARIAT_MAX_POSTED = 14,
    // The largest head of a request. Default 8 KiB.
    LARIAT_MAX_HEAD = 15,
    // The most connections that one turn accepts. Default 256.
    LARIAT_ACCEPTS_PER_TURN = 16,
    // The most events that one wait returns. Default 1,024.
    LARIAT_EVENTS_PER_TURN = 17,
    // 1 sets all other options to values for hosts with 8 to 64 MB of memory, 0 sets them to their
    // defaults. Both replace what was set before, so set this option first. Default 0.
    LARIAT_SMALL = 18,
    // The number of connections for which memory is reserved when the loop starts. Further
    // connections get 503, and nothing is allocated for connections later. Compression must be
    // off. LARIAT_MAX_MESSAGE, LARIAT_MAX_HEAD, LARIAT_MAX_UNSENT and LARIAT_READ_BUFFER determine
    // how much each connection needs. LARIAT_MEMORY_BUDGET then has no effect, but a lower
    // LARIAT_MAX_CONNECTIONS still applies. 0: nothing is reserved. Default 0.
    LARIAT_RESERVE = 19,
    // With LARIAT_RESERVE: how many timers can be set without an allocation. Default 16.
    LARIAT_RESERVED_TIMERS = 20,
    // With LARIAT_RESERVE: how many kept topics (lariat_keep_topic) a client can be a member of
    // without an allocation. Default 1.
    LARIAT_RESERVED_TOPICS = 21,
} lariat_option;

// Parts of a request, for lariat_request_part.
typedef enum lariat_part {
    // The method, such as GET.
    LARIAT_METHOD = 1,
    // The path, such as /chat.
    LARIAT_PATH = 2,
    // The query, without the question mark. LARIAT_NOT_FOUND if there is none.
    LARIAT_QUERY = 3,
} lariat_part;

// Levels of the log.
typedef enum lariat_level {
    // No log.
    LARIAT_LOG_OFF = 0,
    // What should not happen.
    LARIAT_LOG_ERROR = 1,
    // What an administrator should know.
    LARIAT_LOG_WARN = 2,
    // Starts and stops.
    LARIAT_LOG_INFO = 3,
    // Each connection.
    LARIAT_LOG_DEBUG = 4,
    // Everything.
    LARIAT_LOG_TRACE = 5,
} lariat_level;

// A request, valid in its on_request.
typedef struct lariat_request lariat_request;

// A server, made by lariat_new and freed by lariat_free.
typedef struct lariat_server lariat_server;

// Called with each request. Returns the HTTP status of the answer: 101 makes the connection a
// WebSocket, any other final status (200 to 599) is sent as a response, with the body of
// lariat_answer_body if that was called. An invalid status is sent as 500. It is also called for
// requests that are not upgrades: for them, 101 is sent as 426. `request` is valid until the
// callback returns.
typedef int (*lariat_request_fn)(struct lariat_server *server,
                                 void *user,
                                 uint64_t client,
                                 struct lariat_request *request);

// Called when a WebSocket has opened (on_open), and when a slow client has caught up (on_drain).
typedef void (*lariat_client_fn)(struct lariat_server *server, void *user, uint64_t client);

// Called for each message: kind is LARIAT_TEXT (then it is UTF-8) or LARIAT_BINARY. `data` has no
// NUL at its end, and is valid until the callback returns.
typedef void (*lariat_message_fn)(struct lariat_server *server,
                                  void *user,
                                  uint64_t client,
                                  int kind,
                                  const char *data,
                                  size_t length);

// Called for each pong of a client, with its data, at most 125 bytes. That is the data of a
// lariat_ping, nothing for Lariat's own pings, or anything in a pong that answers no ping. `data`
// has no NUL at its end, and is valid until the callback returns.
typedef void (*lariat_pong_fn)(struct lariat_server *server,
                               void *user,
                               uint64_t client,
                               const char *data,
                               size_t length);

// Called when a connection has ended: the last callback of its client. `code` is what a browser
// would show: 1000 to 4999, among them 1005 for a Close frame without a code, and 1006 if there
// was no closing handshake. If `clean` is 1, both sides have sent a Close frame, and `reason` is
// the text of the first one. If it is 0, `reason` says in English what happened. `reason` has no
// NUL at its end, and is valid until the callback returns.
typedef void (*lariat_close_fn)(struct lariat_server *server,
                                void *user,
                                uint64_t client,
                                uint16_t code,
                                int clean,
                                const char *reason,
                                size_t length);

// Called when a timer has expired, with the token that lariat_set_timer was given.
typedef void (*lariat_timer_fn)(struct lariat_server *server,
                                void *user,
                                uint64_t timer,
                                uint64_t token);

// A call that lariat_post has taken to the loop's thread.
typedef void (*lariat_post_fn)(struct lariat_server *server, void *user);

// Called for a call of lariat_post that will never be made, to free what `user` points to.
typedef void (*lariat_dropped_fn)(void *user);

// What a server has done and holds, for lariat_get_stats. All numbers count from the start of the
// server, but for `open`, `connections` and `buffered`.
typedef struct lariat_stats {
    // sizeof(lariat_stats), set by the caller. Later versions may add members: the library writes
    // only `size` bytes, and sets members that it does not know to 0.
    size_t size;
    // WebSockets that are open now.
    uint64_t open;
    // Connections now, in any state.
    uint64_t connections;
    // Connections that were accepted.
    uint64_t accepted;
    // Connections that lariat_connect has begun.
    uint64_t connected;
    // Opening handshakes that succeeded.
    uint64_t opened;
    // Requests that were answered without a WebSocket.
    uint64_t refused;
    // Connections that have ended, other than after such a request.
    uint64_t closed;
    // Messages that clients have sent.
    uint64_t messages_received;
    // Messages that were queued for clients.
    uint64_t messages_sent;
    // Bytes read from sockets.
    uint64_t bytes_read;
    // Bytes written to sockets.
    uint64_t bytes_written;
    // Bytes that count against LARIAT_MEMORY_BUDGET now.
    uint64_t buffered;
    // Clients that were closed because memory was short.
    uint64_t evictions;
} lariat_stats;

// Called for each line of the log, on any thread. `text` has no NUL, and is valid until the
// callback returns. It must call no function of Lariat: all that return a lariat_status return
// LARIAT_BUSY.
typedef void (*lariat_log_fn)(void *user, int level, const char *text, size_t length);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a server. The calling thread is the loop's thread from now on. Free it with lariat_free.
int lariat_new(struct lariat_server **server);

// Frees a server. Call it on the loop's thread. It closes all sockets at once, without Close
// frames and without on_close, so nothing frees what lariat_set_data has attached. It calls
// `dropped` of calls of lariat_post that still wait. To close properly, first call lariat_stop and
// run the loop. From now on, no thread may use the server, not even for lariat_post or
// lariat_stop. LARIAT_BUSY in a callback: nothing has happened.
int lariat_free(struct lariat_server *server);

// Sets an option, one of lariat_option. LARIAT_WRONG_STATE after the first lariat_listen. Options
// that contradict one another, such as LARIAT_RESERVE and LARIAT_DEFLATE, are refused by the first
// lariat_listen, with LARIAT_INVALID: lariat_last_error names them.
int lariat_configure(struct lariat_server *server, int option, uint64_t value);

// Also listens on a TCP address: "127.0.0.1:9998", an IPv6 address in brackets, or
// "localhost:9998". A name is looked up, which can take long; one of its addresses is used. Port 0
// means any free port: lariat_address returns it. If it fails, the server is as before.
int lariat_listen(struct lariat_server *server, const char *address, size_t length);

// Also listens on a Unix socket. Its file is created now, and removed when the server stops or is
// freed. A stale file, on which no server listens any more, is replaced. If it fails, the server
// is unchanged.
int lariat_listen_unix(struct lariat_server *server, const char *path, size_t length);

// Also accepts from a socket that is listening already, TCP or Unix, such as one from systemd. The
// descriptor is duplicated: the caller keeps its own, and may close it. The socket becomes
// non-blocking. If it fails, the server is as before.
int lariat_listen_fd(struct lariat_server *server, int descriptor);

// Also listens on a TCP address with TLS (wss://). `certificate` and `key` are paths of PEM files,
// which are read now and by lariat_reload_tls: the server's certificate followed by those that
// signed it, and its private key, which is not encrypted: RSA with 2048 to 4096 bits, ECDSA with
// P-256 or P-384, or Ed25519. Clients get TLS 1.2 or 1.3. LARIAT_INVALID if a file cannot be read
// or used. LARIAT_UNSUPPORTED if this build has no TLS. If it fails, the server is unchanged.
int lariat_listen_tls(struct lariat_server *server,
                      const char *address,
                      size_t length,
                      const char *certificate,
                      size_t certificate_length,
                      const char *key,
                      size_t key_length);

// Reads the files of all calls of lariat_listen_tls again. New connections get what they contain,
// and existing ones go on. Call it when a certificate was renewed. If a pair of files cannot be
// used, its addresses keep what they have, and the call returns LARIAT_INVALID after it has read
// the others. A relative path is resolved again, in the directory that is current now. Without
// addresses of lariat_listen_tls, nothing happens. LARIAT_UNSUPPORTED if this build has no TLS.
int lariat_reload_tls(struct lariat_server *server);

// Writes where the server listens, with a NUL at its end: "127.0.0.1:9998" or "unix:/run/x". The
// first address has the index 0. LARIAT_NOT_FOUND if there is no such address. 64 bytes are enough
// for all that are not Unix sockets.
int lariat_address(struct lariat_server *server, size_t index, char *buffer, size_t size);

// Sets what is called with each request. Without it, every upgrade is accepted, even from pages of
// other origins, no subprotocol is chosen, and plain HTTP gets 426. A callback of NULL unsets it,
// here and below.
int lariat_on_request(struct lariat_server *server, lariat_request_fn callback, void *user);

// Sets what is called when a WebSocket has opened: one of a client, or of lariat_connect.
int lariat_on_open(struct lariat_server *server, lariat_client_fn callback, void *user);

// Sets what is called for each message.
int lariat_on_message(struct lariat_server *server, lariat_message_fn callback, void *user);

// Sets what is called for each pong, such as the answer to a lariat_ping.
int lariat_on_pong(struct lariat_server *server, lariat_pong_fn callback, void *user);

// Sets what is called when a connection has ended: once for each that was open, and for each of
// lariat_connect. It is also called for those that lariat_stop cuts at its deadline, but not for
// those that lariat_free closes.
int lariat_on_close(struct lariat_server *server, lariat_close_fn callback, void *user);

// Sets what is called when the unsent bytes of a client, which were above LARIAT_HIGH_WATER, no
// longer are.
int lariat_on_drain(struct lariat_server *server, lariat_client_fn callback, void *user);

// Sets what is called when a timer has expired.
int lariat_on_timer(struct lariat_server *server, lariat_timer_fn callback, void *user);

// Runs the loop until the server has stopped. Signals do not end it: a host that waits for one
// calls lariat_turn instead, with a timeout. Starts the loop if need be.
int lariat_run(struct lariat_server *server);

// Runs one turn of the loop: waits at most so many milliseconds for something to do (0: not at
// all, negative: without a limit), then does it. A signal that the calling thread receives ends
// the wait, but not if it comes right before: a host that looks at a flag needs a timeout as well.
// Returns LARIAT_STOPPED once the server has stopped. Starts the loop if need be.
int lariat_turn(struct lariat_server *server, int timeout_ms);

// Returns the descriptor of the whole loop, for poll, epoll or kqueue of the host: when it is
// readable, call lariat_turn with 0. Level-triggered. It belongs to the server: do not close it.
// Negative: a lariat_status. Starts the loop if need be.
int lariat_fd(struct lariat_server *server);

// Returns for how many milliseconds the host may wait for lariat_fd before it calls lariat_turn,
// as poll(2) takes them: -1 for ever, 0 not at all. Call it last, right before each wait: other
// calls between two turns change it. If it fails, it returns 0, and lariat_turn then returns the
// error.
int lariat_timeout(struct lariat_server *server);

// Stops the server: accepts no new clients, and closes each client with 1001. A client still gets
// what was queued before its Close frame, which comes in one of the next turns. Keep calling
// lariat_turn until it returns LARIAT_STOPPED; lariat_run returns by itself. That is when the last
// client has gone, after `deadline_ms` at the latest. A client that does not answer is cut after
// LARIAT_CLOSE_TIMEOUT, if that is earlier. Connections that are cut get on_close too, with 1006.
// A second call can only shorten the deadline. To let clients finish their work first, answer new
// requests with 503 in on_request, and stop the server when nothing is left to do. Can be called
// on any thread, and in callbacks, but not in a signal handler. LARIAT_WRONG_STATE: the server
// neither listens nor runs yet, or has stopped.
int lariat_stop(struct lariat_server *server, uint32_t deadline_ms);

// Queues a call of `callback`, and wakes the loop, whose thread makes the call at the start of a
// turn. Calls are made in the order in which they were queued. Can be called on any thread, and in
// callbacks, but not in a signal handler. It never waits for a callback, so it can be called while
// a lock is held. `callback` sees all that the calling thread has written before. LARIAT_OK:
// either `callback` is called, once, or, if the server has stopped or is freed before, `dropped`.
// What `user` points to then belongs to the one that is called. A server that is being stopped
// still makes calls, until lariat_turn returns LARIAT_STOPPED or lariat_run returns. `dropped`
// runs on the loop's thread, inside lariat_turn, lariat_run or lariat_free, and must not use the
// server. It may be NULL. What it uses must exist until lariat_free has returned. LARIAT_FULL:
// LARIAT_MAX_POSTED calls wait; try again later, or have less work under way. LARIAT_WRONG_STATE:
// the server neither listens nor runs yet, or has stopped. After an error, neither is called, and
// `user` still belongs to the caller.
int lariat_post(struct lariat_server *server,
                lariat_post_fn callback,
                lariat_dropped_fn dropped,
                void *user);

// Queues a message for a client: kind is LARIAT_TEXT or LARIAT_BINARY. All messages of one turn
// are sent in one write, in order, when the turn ends. The data is copied. Fails with LARIAT_GONE
// or LARIAT_NOT_OPEN, or with LARIAT_FULL if more than LARIAT_MAX_UNSENT bytes would be unsent,
// even if one callback sends them all. The connection is then cut, and on_close gets 1006.
int lariat_send(struct lariat_server *server,
                uint64_t id,
                int kind,
                const char *data,
                size_t length);

// Begins to close a client: what is queued is sent first, then a Close frame with a code (1000 to
// 1003, 1007 to 1014, 3000 to 4999) and a reason of at most 123 bytes, or none. on_close comes
// when the client has answered, or after LARIAT_CLOSE_TIMEOUT. No message of the client is
// delivered any more.
int lariat_close(struct lariat_server *server,
                 uint64_t id,
                 uint16_t code,
                 const char *reason,
                 size_t length);

// Ends a connection at once, without a Close frame. Unsent bytes are dropped, and no message of
// the client is delivered any more. on_close comes at the end of the turn.
int lariat_terminate(struct lariat_server *server, uint64_t id);

// Stops reading from a client, so that TCP flow control slows it down. Until lariat_resume, no
// message is delivered, no ping is answered, and an end of the connection may go unnoticed.
// LARIAT_NOT_OPEN if the client is closing.
int lariat_pause(struct lariat_server *server, uint64_t id);

// Reads from a client again. It is no error if the client was not paused.
int lariat_resume(struct lariat_server *server, uint64_t id);

// Writes how many bytes for a client are unsent.
int lariat_unsent(struct lariat_server *server, uint64_t id, size_t *bytes);

// Queues a ping with at most 125 bytes. on_pong comes with the same bytes. Lariat pings silent
// clients by itself (LARIAT_PING_INTERVAL): this is for measurements. Fails as lariat_send does.
int lariat_ping(struct lariat_server *server, uint64_t id, const char *data, size_t length);

// Attaches a pointer of the host to a client. Lariat never follows or frees it: in on_close, free
// what it points to. It can be set at any time. But if it is set in on_request and the handshake
// then fails, on_close is not called: allocate in on_open.
int lariat_set_data(struct lariat_server *server, uint64_t id, void *data);

// Returns the pointer that lariat_set_data has attached. NULL if there is none, if the client has
// gone, and after any other failure: lariat_last_error then says which.
void *lariat_data(struct lariat_server *server, uint64_t id);

// Writes the address of a client, with a NUL at its end: "192.0.2.1:50123". LARIAT_NOT_FOUND if it
// has come over a Unix socket, or if its connection is broken already. 64 bytes are enough.
int lariat_peer(struct lariat_server *server, uint64_t id, char *buffer, size_t size);

// Writes the subprotocol that was chosen for a client, with a NUL at its end. LARIAT_NOT_FOUND if
// there is none.
int lariat_subprotocol(struct lariat_server *server, uint64_t id, char *buffer, size_t size);

// Makes a client a member of a topic, which is any text. It is no error if it is one already. A
// client leaves all its topics when it disconnects.
int lariat_subscribe(struct lariat_server *server, uint64_t id, const char *topic, size_t length);

// Keeps a topic when its last member leaves. With LARIAT_RESERVE, it then has room for all
// connections, so that joining and leaving allocate nothing. Call it before the first client
// comes.
int lariat_keep_topic(struct lariat_server *server, const char *topic, size_t length);

// Takes a client out of a topic. It is no error if it is no member.
int lariat_unsubscribe(struct lariat_server *server, uint64_t id, const char *topic, size_t length);

// Writes how many members a topic has.
int lariat_subscribers(struct lariat_server *server,
                       const char *topic,
                       size_t length,
                       size_t *count);

// Queues a message for all members of a topic except one client (0: for all members). The data is
// copied. Writes the number of clients for which it was queued, unless `count` is NULL.
int lariat_publish(struct lariat_server *server,
                   const char *topic,
                   size_t topic_length,
                   uint64_t except,
                   int kind,
                   const char *data,
                   size_t length,
                   size_t *count);

// Queues a message for all open clients, those of lariat_connect included. The data is copied.
// Writes the number of clients for which it was queued, unless `count` is NULL.
int lariat_broadcast(struct lariat_server *server,
                     int kind,
                     const char *data,
                     size_t length,
                     size_t *count);

// Sets a timer: on_timer is called with `token` after `after_ms` milliseconds, never earlier, and
// if `repeat` is not 0, again and again. If the loop was blocked, one call may stand for several
// missed ones. Writes the id of the timer, unless `timer` is NULL.
int lariat_set_timer(struct lariat_server *server,
                     uint64_t after_ms,
                     int repeat,
                     uint64_t token,
                     uint64_t *timer);

// Cancels a timer. LARIAT_GONE if it has expired or was cancelled before.
int lariat_cancel_timer(struct lariat_server *server, uint64_t timer);

// Returns a part of a request, one of lariat_part. The text has no NUL at its end and is valid as
// long as the request.
int lariat_request_part(const struct lariat_request *request,
                        int part,
                        const char **data,
                        size_t *length);

// Returns the value of the first header of a name, whatever its letter case. LARIAT_NOT_FOUND if
// there is none. The value has no NUL at its end and is valid as long as the request. It need not
// be UTF-8.
int lariat_request_header(const struct lariat_request *request,
                          const char *name,
                          size_t name_length,
                          const char **data,
                          size_t *length);

// Returns 1 if the request comes from a page of this server, or not from a browser (it has no
// Origin). Returns 0 if it comes from a page of another origin, and if the call fails. Compares
// the host and the port in Origin with those in Host, but not http with https: a proxy may have
// ended TLS. A proxy must forward Host as the browser has sent it. A server that trusts cookies,
// or the network that it is in, must answer 0 with 403.
int lariat_request_is_same_origin(const struct lariat_request *request);

// Returns 1 if the request names this host by any IP address, by "localhost" or a name that ends
// in ".localhost", or by no name at all, and 0 if it names another host, and if the call fails. A
// server that listens on a loopback address must answer 0 with 421: an attacker's page may have
// made its own name resolve to this host (DNS rebinding). Behind a proxy that forwards a public
// name, compare the header Host with that name instead.
int lariat_request_names_local_host(const struct lariat_request *request);

// Chooses a subprotocol for the answer 101. LARIAT_NOT_FOUND if the client does not offer it: then
// try another one.
int lariat_answer_subprotocol(struct lariat_request *request, const char *name, size_t length);

// Adds a header to the answer, such as "Set-Cookie", "Location" or "WWW-Authenticate". Both texts
// are copied. LARIAT_INVALID for those that the answer has anyway: Connection, Upgrade,
// Content-Length, Transfer-Encoding, Sec-WebSocket-*.
int lariat_answer_header(struct lariat_request *request,
                         const char *name,
                         size_t name_length,
                         const char *value,
                         size_t length);

// Sets the body of an answer other than 101, and its type, such as "text/html; charset=utf-8".
// Both are copied.
int lariat_answer_body(struct lariat_request *request,
                       const char *content_type,
                       size_t content_type_length,
                       const char *body,
                       size_t length);

// Begins to connect to a server: "ws://host:port/path", or wss:// in a build with TLS (otherwise:
// LARIAT_UNSUPPORTED). The connection is a client like any other: on_open, on_message, on_close.
// If it cannot be opened, only on_close is called, later, with the reason. `headers` are further
// lines of the request, one header each, such as
// "Authorization: Bearer abc\nSec-WebSocket-Protocol: chat, other"; with length 0, there are none.
// Writes the id, unless `id` is NULL. LARIAT_WRONG_STATE after lariat_stop.
int lariat_connect(struct lariat_server *server,
                   const char *url,
                   size_t url_length,
                   const char *headers,
                   size_t headers_length,
                   uint64_t *id);

// Sets which authorities later calls of lariat_connect trust for wss://: those in the PEM file
// with this path, which is read now, instead of those of the platform. With length 0, those of the
// platform again. LARIAT_UNSUPPORTED if this build has no TLS.
int lariat_trust(struct lariat_server *server, const char *file, size_t length);

// Writes what the server has done and holds. Set the member `size` to sizeof(lariat_stats) before.
int lariat_get_stats(struct lariat_server *server, struct lariat_stats *stats);

// Returns what went wrong last on this thread, in English, for people. A call that succeeds does
// not clear it. The text is valid until the next call on this thread that fails, or the thread
// ends. Never NULL; empty if nothing has failed.
const char *lariat_last_error(void);

// Returns the name of a status, such as "LARIAT_GONE". Never NULL; valid for ever.
const char *lariat_strerror(int status);

// Returns the version of the library, such as "0.2.0". Never NULL; valid for ever.
const char *lariat_version(void);

// Sets what is called for each line of the log of the whole process, up to a level of
// lariat_level. NULL turns the log off. The callback can run on any thread, and on several at
// once. lariat_set_log waits for calls of the previous callback that are in progress, so hold no
// lock that it takes. It is not called again after that. LARIAT_WRONG_STATE: a Rust program has a
// logger already. Can be called on any thread.
int lariat_set_log(int level, lariat_log_fn callback, void *user);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LARIAT_H */
