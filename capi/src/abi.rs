//! The types and numbers that C sees. Their names are those of the header.
//!
//! Functions take and return plain numbers, not these enums: a number from C that is no variant
//! would be undefined behaviour.
#![expect(non_camel_case_types, reason = "the names of C")]

use crate::host::lariat_server;
use crate::requests::lariat_request;
use std::ffi::{c_char, c_int, c_void};

/// What functions return. Negative numbers are errors: nothing has changed, unless a line below
/// says so.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lariat_status {
    /// All went well.
    LARIAT_OK = 0,
    /// The server has stopped: lariat_turn has nothing more to do.
    LARIAT_STOPPED = 1,
    /// A pointer is NULL, or a number or text makes no sense.
    LARIAT_INVALID = -1,
    /// The client or timer is not there any more, or never was.
    LARIAT_GONE = -2,
    /// The connection is not open yet, is closing, or is no longer being answered.
    LARIAT_NOT_OPEN = -3,
    /// Too many bytes would be unsent (the client is then closed as a slow consumer), or too many
    /// calls of lariat_post wait.
    LARIAT_FULL = -4,
    /// A text is not UTF-8.
    LARIAT_NOT_UTF8 = -5,
    /// The function cannot be called inside this callback: see CALLBACKS above. A log callback can
    /// call none.
    LARIAT_BUSY = -6,
    /// The function is called too late or too early, such as lariat_listen after the loop has
    /// started. Or the loop could not be started: the server can then only be freed.
    LARIAT_WRONG_STATE = -7,
    /// The function was called on another thread than lariat_new.
    LARIAT_WRONG_THREAD = -8,
    /// The operating system has refused. lariat_last_error says what.
    LARIAT_IO = -9,
    /// This build lacks the feature, such as TLS.
    LARIAT_UNSUPPORTED = -10,
    /// The name is not there: a header of a request, a subprotocol that was not offered, an
    /// address.
    LARIAT_NOT_FOUND = -11,
    /// A buffer of the caller is too small. What fits was written.
    LARIAT_TOO_SMALL = -12,
    /// Lariat has failed: a bug. The call may have taken effect in part. Free the server.
    LARIAT_PANIC = -13,
}

/// The kind of a message.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lariat_kind {
    /// UTF-8 text.
    LARIAT_TEXT = 1,
    /// Bytes.
    LARIAT_BINARY = 2,
}

/// Options of lariat_configure. Sizes are in bytes, times in milliseconds. Where it says so, 0
/// turns the limit off.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lariat_option {
    /// How many connections there may be. Further upgrades get 503. 0: no limit. Default 0.
    LARIAT_MAX_CONNECTIONS = 1,
    /// How many connections one address may have. Further ones get 429. 0: no limit. Default 0.
    LARIAT_MAX_PER_ADDRESS = 2,
    /// The most bytes that all clients together may hold. Default 64 MiB.
    LARIAT_MEMORY_BUDGET = 3,
    /// The largest message that is accepted. A larger one closes its connection with 1009.
    /// Default 1 MiB.
    LARIAT_MAX_MESSAGE = 4,
    /// The most unsent bytes of one client. Default 4 MiB.
    LARIAT_MAX_UNSENT = 5,
    /// The unsent bytes above which a client is not read, until on_drain. Default 64 KiB.
    LARIAT_HIGH_WATER = 6,
    /// The size of the read buffer, which all clients share. Default 64 KiB.
    LARIAT_READ_BUFFER = 7,
    /// The silence after which a ping is sent. 0: never. Default 50,000.
    LARIAT_PING_INTERVAL = 8,
    /// The silence after which a client is closed. 0: never. Default 120,000.
    LARIAT_IDLE_TIMEOUT = 9,
    /// The time for an opening handshake. Default 10,000.
    LARIAT_HANDSHAKE_TIMEOUT = 10,
    /// The time for a closing handshake. Default 5,000.
    LARIAT_CLOSE_TIMEOUT = 11,
    /// The time after which a client that reads nothing is closed. 0: never. Default 30,000.
    LARIAT_WRITE_TIMEOUT = 12,
    /// 0 turns compression off, 1 turns it on (with the build's feature deflate). Default 1 with
    /// that feature.
    LARIAT_DEFLATE = 13,
    /// The most calls of lariat_post that may wait. Default 65,536.
    LARIAT_MAX_POSTED = 14,
    /// The largest head of a request. Default 8 KiB.
    LARIAT_MAX_HEAD = 15,
    /// The most connections that one turn accepts. Default 256.
    LARIAT_ACCEPTS_PER_TURN = 16,
    /// The most events that one wait returns. Default 1,024.
    LARIAT_EVENTS_PER_TURN = 17,
    /// 1 sets all other options to values for hosts with 8 to 64 MB of memory, 0 sets them to their
    /// defaults. Both replace what was set before, so set this option first. Default 0.
    LARIAT_SMALL = 18,
    /// The number of connections for which memory is reserved when the loop starts. Further
    /// connections get 503, and nothing is allocated for connections later. Compression must be
    /// off. LARIAT_MAX_MESSAGE, LARIAT_MAX_HEAD, LARIAT_MAX_UNSENT and LARIAT_READ_BUFFER determine
    /// how much each connection needs. LARIAT_MEMORY_BUDGET then has no effect, but a lower
    /// LARIAT_MAX_CONNECTIONS still applies. 0: nothing is reserved. Default 0.
    LARIAT_RESERVE = 19,
    /// With LARIAT_RESERVE: how many timers can be set without an allocation. Default 16.
    LARIAT_RESERVED_TIMERS = 20,
    /// With LARIAT_RESERVE: how many kept topics (lariat_keep_topic) a client can be a member of
    /// without an allocation. Default 1.
    LARIAT_RESERVED_TOPICS = 21,
}

/// Parts of a request, for lariat_request_part.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lariat_part {
    /// The method, such as GET.
    LARIAT_METHOD = 1,
    /// The path, such as /chat.
    LARIAT_PATH = 2,
    /// The query, without the question mark. LARIAT_NOT_FOUND if there is none.
    LARIAT_QUERY = 3,
}

/// Levels of the log.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum lariat_level {
    /// No log.
    LARIAT_LOG_OFF = 0,
    /// What should not happen.
    LARIAT_LOG_ERROR = 1,
    /// What an administrator should know.
    LARIAT_LOG_WARN = 2,
    /// Starts and stops.
    LARIAT_LOG_INFO = 3,
    /// Each connection.
    LARIAT_LOG_DEBUG = 4,
    /// Everything.
    LARIAT_LOG_TRACE = 5,
}

/// What a server has done and holds, for lariat_get_stats. All numbers count from the start of the
/// server, but for `open`, `connections` and `buffered`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct lariat_stats {
    /// sizeof(lariat_stats), set by the caller. Later versions may add members: the library writes
    /// only `size` bytes, and sets members that it does not know to 0.
    pub size: usize,
    /// WebSockets that are open now.
    pub open: u64,
    /// Connections now, in any state.
    pub connections: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that lariat_connect has begun.
    pub connected: u64,
    /// Opening handshakes that succeeded.
    pub opened: u64,
    /// Requests that were answered without a WebSocket.
    pub refused: u64,
    /// Connections that have ended, other than after such a request.
    pub closed: u64,
    /// Messages that clients have sent.
    pub messages_received: u64,
    /// Messages that were queued for clients.
    pub messages_sent: u64,
    /// Bytes read from sockets.
    pub bytes_read: u64,
    /// Bytes written to sockets.
    pub bytes_written: u64,
    /// Bytes that count against LARIAT_MEMORY_BUDGET now.
    pub buffered: u64,
    /// Clients that were closed because memory was short.
    pub evictions: u64,
}

/// Called with each request. Returns the HTTP status of the answer: 101 makes the connection a
/// WebSocket, any other final status (200 to 599) is sent as a response, with the body of
/// lariat_answer_body if that was called. An invalid status is sent as 500. It is also called for
/// requests that are not upgrades: for them, 101 is sent as 426. `request` is valid until the
/// callback returns.
pub type lariat_request_fn = Option<
    unsafe extern "C-unwind" fn(
        server: *mut lariat_server,
        user: *mut c_void,
        client: u64,
        request: *mut lariat_request,
    ) -> c_int,
>;

/// Called when a WebSocket has opened (on_open), and when a slow client has caught up (on_drain).
pub type lariat_client_fn =
    Option<unsafe extern "C-unwind" fn(server: *mut lariat_server, user: *mut c_void, client: u64)>;

/// Called for each message: kind is LARIAT_TEXT (then it is UTF-8) or LARIAT_BINARY. `data` has no
/// NUL at its end, and is valid until the callback returns.
pub type lariat_message_fn = Option<
    unsafe extern "C-unwind" fn(
        server: *mut lariat_server,
        user: *mut c_void,
        client: u64,
        kind: c_int,
        data: *const c_char,
        length: usize,
    ),
>;

/// Called for each pong of a client, with its data, at most 125 bytes. That is the data of a
/// lariat_ping, nothing for Lariat's own pings, or anything in a pong that answers no ping. `data`
/// has no NUL at its end, and is valid until the callback returns.
pub type lariat_pong_fn = Option<
    unsafe extern "C-unwind" fn(
        server: *mut lariat_server,
        user: *mut c_void,
        client: u64,
        data: *const c_char,
        length: usize,
    ),
>;

/// Called when a connection has ended: the last callback of its client. `code` is what a browser
/// would show: 1000 to 4999, among them 1005 for a Close frame without a code, and 1006 if there
/// was no closing handshake. If `clean` is 1, both sides have sent a Close frame, and `reason` is
/// the text of the first one. If it is 0, `reason` says in English what happened. `reason` has no
/// NUL at its end, and is valid until the callback returns.
pub type lariat_close_fn = Option<
    unsafe extern "C-unwind" fn(
        server: *mut lariat_server,
        user: *mut c_void,
        client: u64,
        code: u16,
        clean: c_int,
        reason: *const c_char,
        length: usize,
    ),
>;

/// Called when a timer has expired, with the token that lariat_set_timer was given.
pub type lariat_timer_fn =
    Option<unsafe extern "C-unwind" fn(server: *mut lariat_server, user: *mut c_void, timer: u64, token: u64)>;

/// A call that lariat_post has taken to the loop's thread.
pub type lariat_post_fn = Option<unsafe extern "C-unwind" fn(server: *mut lariat_server, user: *mut c_void)>;

/// Called for a call of lariat_post that will never be made, to free what `user` points to.
pub type lariat_dropped_fn = Option<unsafe extern "C-unwind" fn(user: *mut c_void)>;

/// Called for each line of the log, on any thread. `text` has no NUL, and is valid until the
/// callback returns. It must call no function of Lariat: all that return a lariat_status return
/// LARIAT_BUSY.
pub type lariat_log_fn =
    Option<unsafe extern "C-unwind" fn(user: *mut c_void, level: c_int, text: *const c_char, length: usize)>;
