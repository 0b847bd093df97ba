//! The endpoint for scripts: `curl -d 'hello' http://HOST/chat/lobby` says something in a room.
//!
//! The answer is a line of text. Its status says what has become of the message:
//!
//! | status | meaning |
//! |---|---|
//! | 200 | everybody in the room has it |
//! | 400 | it is no text, or empty, or the room has no name |
//! | 403 | it came from a page of another site |
//! | 405 | only POST |
//! | 413 | it is longer than 8 KiB |
//! | 429 | scripts have sent too many lately |
//! | 503 | there are too many rooms, or the engine between servers cannot be reached |
//!
//! Pages show the sender as `script`, or with `?name=backup` as `backup (script)`.

use lariat::http::{HeaderValue, Response, StatusCode, header};
use lariat::{Answer, Method, Request};
use percent_encoding::percent_decode_str;

/// The paths of rooms.
const ROOMS: &str = "/chat/";

/// Returns whether a path is that of a room.
pub(in crate::site) fn is_room(path: &str) -> bool {
    path.starts_with(ROOMS)
}

/// What a script wants to say.
pub(super) struct Post<'r> {
    pub(super) room: String,
    pub(super) name: String,
    pub(super) text: &'r str,
}

/// Reads what a script wants to say.
///
/// # Errors
///
/// The status and the line of the answer, if it cannot be said.
pub(super) fn read<'r>(request: &Request<'r>, longest: usize) -> Result<Post<'r>, (StatusCode, &'static str)> {
    let refused = |status, why| Err((status, why));
    if *request.method() != Method::POST {
        let why = "only POST is supported here; WebSocket clients connect to /chat";
        return refused(StatusCode::METHOD_NOT_ALLOWED, why);
    }
    let Some(room) = request.path().strip_prefix(ROOMS).and_then(decoded).filter(|room| !room.trim().is_empty()) else {
        return refused(StatusCode::BAD_REQUEST, "the path must name a room: /chat/lobby");
    };
    let name = request.query_value("name").unwrap_or_default().into_owned();
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return refused(StatusCode::BAD_REQUEST, "the name must be percent-encoded UTF-8");
    }
    let body = request.body();
    if body.len() > longest {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "a message has at most 8 KiB");
    }
    match std::str::from_utf8(body).map(str::trim_end) {
        Ok("") => refused(StatusCode::BAD_REQUEST, "the message is empty"),
        Ok(text) => Ok(Post { room, name, text }),
        Err(_) => refused(StatusCode::BAD_REQUEST, "the message must be UTF-8"),
    }
}

/// Decodes the name of a room. Returns `None` if it is not UTF-8.
fn decoded(room: &str) -> Option<String> {
    Some(percent_decode_str(room).decode_utf8().ok()?.into_owned())
}

/// Returns the answer to a message that was not stored.
pub(super) fn unstored() -> Answer {
    answer(StatusCode::SERVICE_UNAVAILABLE, "Redis has not confirmed the message: it may have been said")
}

/// Returns an answer of one line.
pub(super) fn answer(status: StatusCode, line: &str) -> Answer {
    let mut response = Response::new(format!("{line}\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let more = match status {
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, "POST")),
        StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "1")),
        _ => None,
    };
    headers.extend(more.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response.into()
}
