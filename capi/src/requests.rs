//! What C can learn of a request, and answer.

use crate::abi::lariat_part::{LARIAT_METHOD, LARIAT_PATH, LARIAT_QUERY};
use crate::abi::lariat_status::{LARIAT_NOT_FOUND, LARIAT_WRONG_THREAD};
use crate::boundary::{Failure, Outcome, status, value_or};
use crate::pointers::{bytes, check_out, text, write};
use crate::thread::ThreadNumber;
use lariat::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, UPGRADE};
use lariat::http::{HeaderName, HeaderValue, Response, StatusCode};
use lariat::{Answer, Request, Upgrade};
use std::cell::RefCell;
use std::ffi::{c_char, c_int};
use std::fmt;

/// A request, valid in its on_request.
#[expect(non_camel_case_types, reason = "the name of C")]
pub struct lariat_request {
    owner: ThreadNumber,
    /// The request is there as long as this is. Its lifetime is not `'static`, so nothing of it may
    /// be kept in Rust.
    request: *const Request<'static>,
    subprotocol: RefCell<Option<String>>,
    /// Further headers of the answer.
    headers: RefCell<Vec<(HeaderName, HeaderValue)>>,
    /// The type and the bytes of the response.
    body: RefCell<Option<(HeaderValue, Vec<u8>)>>,
}

impl lariat_request {
    pub(crate) fn new(request: &Request<'_>) -> lariat_request {
        lariat_request {
            owner: ThreadNumber::own(),
            request: std::ptr::from_ref(request).cast::<Request<'static>>(),
            subprotocol: RefCell::default(),
            headers: RefCell::default(),
            body: RefCell::default(),
        }
    }

    /// Returns what is behind a pointer.
    ///
    /// # Safety
    ///
    /// Unless it is NULL, it is the pointer of an `on_request` that has not returned.
    unsafe fn of<'a>(request: *const lariat_request) -> Outcome<&'a lariat_request> {
        // SAFETY: promised by the caller. Nobody makes a `&mut` of it.
        let given = unsafe { request.as_ref() }.ok_or_else(|| Failure::invalid("the request is NULL"))?;
        match given.owner == ThreadNumber::own() {
            true => Ok(given),
            false => Err(Failure::new(LARIAT_WRONG_THREAD, "a request belongs to the thread of its on_request")),
        }
    }

    fn request(&self) -> &Request<'_> {
        // SAFETY: `of` is only given what `on_request` has lent, and `on_request` keeps the request
        // for that long. The lifetime is shortened to that of this borrow.
        unsafe { &*self.request }
    }

    /// Returns the answer, as the callback has decided.
    pub(crate) fn answer(self, status: c_int) -> Answer {
        let headers = self.headers.into_inner();
        if status == 101 {
            let mut upgrade = Upgrade::new();
            upgrade.subprotocol = self.subprotocol.into_inner();
            return headers.into_iter().fold(upgrade, |upgrade, (name, value)| upgrade.header(name, value)).into();
        }
        let final_status = u16::try_from(status).ok().filter(|status| (200..600).contains(status));
        let Some(status) = final_status.and_then(|status| StatusCode::from_u16(status).ok()) else {
            log::error!("on_request returned {status}, which is neither 101 nor from 200 to 599: answering with 500");
            return StatusCode::INTERNAL_SERVER_ERROR.into();
        };
        let body = self.body.into_inner();
        if body.is_none() && headers.is_empty() {
            return status.into();
        }
        let (content_type, body) = body.unzip();
        let mut response = Response::new(body.unwrap_or_default());
        *response.status_mut() = status;
        for (name, value) in headers {
            response.headers_mut().append(name, value);
        }
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        response.into()
    }
}

impl fmt::Debug for lariat_request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lariat_request").finish_non_exhaustive()
    }
}

/// Lends a part of the request to C.
///
/// # Safety
///
/// Unless they are NULL, both places can be written.
unsafe fn lend(part: Option<&[u8]>, data: *mut *const c_char, length: *mut usize) -> Outcome {
    check_out(data, "the place for the text")?;
    check_out(length, "the place for the length")?;
    let part = part.ok_or_else(|| Failure::new(LARIAT_NOT_FOUND, "the request has no such part"))?;
    // SAFETY: promised by the caller.
    unsafe { write(data, part.as_ptr().cast()) };
    // SAFETY: as above.
    unsafe { write(length, part.len()) };
    Ok(())
}

/// Returns a part of a request, one of lariat_part. The text has no NUL at its end and is valid as
/// long as the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_request_part(
    request: *const lariat_request,
    part: c_int,
    data: *mut *const c_char,
    length: *mut usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a request of a callback that has not returned.
        let given = unsafe { lariat_request::of(request)? }.request();
        let part = match part {
            part if part == LARIAT_METHOD as c_int => Some(given.method().as_str()),
            part if part == LARIAT_PATH as c_int => Some(given.path()),
            part if part == LARIAT_QUERY as c_int => given.query(),
            _ => return Err(Failure::invalid("no such part of a request")),
        };
        // SAFETY: the header demands places that can be written.
        unsafe { lend(part.map(str::as_bytes), data, length) }
    })
}

/// Returns the value of the first header of a name, whatever its letter case. LARIAT_NOT_FOUND if
/// there is none. The value has no NUL at its end and is valid as long as the request. It need not
/// be UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_request_header(
    request: *const lariat_request,
    name: *const c_char,
    name_length: usize,
    data: *mut *const c_char,
    length: *mut usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a request of a callback that has not returned.
        let given = unsafe { lariat_request::of(request)? }.request();
        // SAFETY: the header demands a readable text.
        let name = unsafe { text(name, name_length, "the name")? };
        let value = given.values(name).next();
        // SAFETY: the header demands places that can be written.
        unsafe { lend(value, data, length) }
    })
}

/// Returns 1 if the request comes from a page of this server, or not from a browser (it has no
/// Origin). Returns 0 if it comes from a page of another origin, and if the call fails. Compares
/// the host and the port in Origin with those in Host, but not http with https: a proxy may have
/// ended TLS. A proxy must forward Host as the browser has sent it. A server that trusts cookies,
/// or the network that it is in, must answer 0 with 403.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_request_is_same_origin(request: *const lariat_request) -> c_int {
    // SAFETY: the header demands a request of a callback that has not returned.
    value_or(|| Ok(c_int::from(unsafe { lariat_request::of(request)? }.request().is_same_origin())), |_| 0)
}

/// Returns 1 if the request names this host by any IP address, by "localhost" or a name that ends
/// in ".localhost", or by no name at all, and 0 if it names another host, and if the call fails. A
/// server that listens on a loopback address must answer 0 with 421: an attacker's page may have
/// made its own name resolve to this host (DNS rebinding). Behind a proxy that forwards a public
/// name, compare the header Host with that name instead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_request_names_local_host(request: *const lariat_request) -> c_int {
    let call = || {
        // SAFETY: the header demands a request of a callback that has not returned.
        let given = unsafe { lariat_request::of(request)? }.request();
        Ok(c_int::from(given.names_local_host::<&str>(&[])))
    };
    value_or(call, |_| 0)
}

/// Chooses a subprotocol for the answer 101. LARIAT_NOT_FOUND if the client does not offer it: then
/// try another one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_answer_subprotocol(
    request: *mut lariat_request,
    name: *const c_char,
    length: usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a request of a callback that has not returned.
        let given = unsafe { lariat_request::of(request)? };
        // SAFETY: the header demands a readable text.
        let name = unsafe { text(name, length, "the subprotocol")? };
        if !given.request().subprotocols().any(|offered| offered == name) {
            return Err(Failure::new(LARIAT_NOT_FOUND, "the client does not offer this subprotocol"));
        }
        given.subprotocol.replace(Some(name.to_owned()));
        Ok(())
    })
}

/// Adds a header to the answer, such as "Set-Cookie", "Location" or "WWW-Authenticate". Both texts
/// are copied. LARIAT_INVALID for those that the answer has anyway: Connection, Upgrade,
/// Content-Length, Transfer-Encoding, Sec-WebSocket-*.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_answer_header(
    request: *mut lariat_request,
    name: *const c_char,
    name_length: usize,
    value: *const c_char,
    length: usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a request of a callback that has not returned.
        let given = unsafe { lariat_request::of(request)? };
        // SAFETY: the header demands readable bytes.
        let name = unsafe { bytes(name, name_length, "the name")? };
        // SAFETY: as above.
        let value = unsafe { bytes(value, length, "the value")? };
        let name = HeaderName::from_bytes(name).map_err(|_| Failure::invalid("the name is that of no header"))?;
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| Failure::invalid("the value has characters that no header may have"))?;
        let is_own = [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name)
            || name.as_str().starts_with("sec-websocket-");
        if is_own {
            return Err(Failure::invalid(format!("Lariat sets the header {name} itself")));
        }
        given.headers.borrow_mut().push((name, value));
        Ok(())
    })
}

/// Sets the body of an answer other than 101, and its type, such as "text/html; charset=utf-8".
/// Both are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_answer_body(
    request: *mut lariat_request,
    content_type: *const c_char,
    content_type_length: usize,
    body: *const c_char,
    length: usize,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a request of a callback that has not returned.
        let given = unsafe { lariat_request::of(request)? };
        // SAFETY: the header demands readable bytes.
        let content_type = unsafe { bytes(content_type, content_type_length, "the type")? };
        let content_type = HeaderValue::from_bytes(content_type)
            .map_err(|_| Failure::invalid("the type has characters that no header may have"))?;
        // SAFETY: the header demands readable bytes.
        let body = unsafe { bytes(body, length, "the body")? };
        given.body.replace(Some((content_type, body.to_vec())));
        Ok(())
    })
}
