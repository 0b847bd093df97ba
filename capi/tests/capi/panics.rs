//! Panics of callbacks never reach the host's call.

use crate::host::{Host, Notes, connect, last, next, notes};
use crate::turns::note_close;
use lariat_c::*;
use std::ffi::{c_char, c_int, c_void};
use std::net::TcpStream;
use std::ptr;
use tungstenite::Message;

/// A callback of each kind that panics.
mod panicking {
    use super::*;

    pub unsafe extern "C-unwind" fn request(
        _: *mut lariat_server,
        user: *mut c_void,
        _: u64,
        _: *mut lariat_request,
    ) -> c_int {
        // SAFETY: the tests give `Notes`.
        unsafe { notes(user) }.texts.push("request".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn client(_: *mut lariat_server, user: *mut c_void, _: u64) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("client".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn message(
        _: *mut lariat_server,
        user: *mut c_void,
        _: u64,
        _: c_int,
        _: *const c_char,
        _: usize,
    ) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("message".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn pong(_: *mut lariat_server, user: *mut c_void, _: u64, _: *const c_char, _: usize) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("pong".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn close(
        _: *mut lariat_server,
        user: *mut c_void,
        _: u64,
        _: u16,
        _: c_int,
        _: *const c_char,
        _: usize,
    ) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("close".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn timer(_: *mut lariat_server, user: *mut c_void, _: u64, _: u64) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("timer".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn post(_: *mut lariat_server, user: *mut c_void) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("post".to_owned());
        panic!("injected");
    }
}

/// The log callback is in `the_log_goes_to_the_host_which_cannot_call_back`.
#[test]
fn a_panic_in_a_callback_of_any_kind_never_reaches_lariat_turn() {
    let (host, mut witness) = (Host::listening(), Notes::default());
    let witness = witness.pointer();
    // Each turn must return LARIAT_OK, which `turn_until` checks.
    let check = |kind: &str,
                 set: &dyn Fn(*mut c_void) -> c_int,
                 provoke: fn(&mut tungstenite::WebSocket<TcpStream>)| {
        let mut all = Notes::default();
        // SAFETY: the notes outlive the turns of this call, here and below.
        unsafe {
            lariat_on_request(host.0, None, ptr::null_mut());
            lariat_on_open(host.0, None, ptr::null_mut());
            lariat_on_message(host.0, None, ptr::null_mut());
            lariat_on_pong(host.0, None, ptr::null_mut());
            lariat_on_close(host.0, None, ptr::null_mut());
            lariat_on_drain(host.0, None, ptr::null_mut());
            lariat_on_timer(host.0, None, ptr::null_mut());
        }
        assert_eq!(set(all.pointer()), 0, "{kind}");
        let address = host.address();
        let client = std::thread::spawn(move || {
            if let Ok(mut socket) = connect(&address, "/", None) {
                provoke(&mut socket);
                while socket.read().is_ok() {}
            }
        });
        host.turn_until(|| !all.texts.is_empty());
        // SAFETY: as above.
        unsafe { lariat_on_close(host.0, Some(note_close), witness) };
        host.turn_until(|| client.is_finished());
        client.join().unwrap();
        assert_eq!(all.texts, [kind], "{kind}");
        // SAFETY: as above.
        assert_eq!(unsafe { lariat_broadcast(host.0, 1, c"x".as_ptr(), 1, ptr::null_mut()) }, 0, "{kind}: {}", last());
    };
    let server = host.0;
    let close = |socket: &mut tungstenite::WebSocket<TcpStream>| drop(socket.close(None));
    // SAFETY: the server is there, here and below.
    unsafe {
        check("request", &|user| lariat_on_request(server, Some(panicking::request), user), |_| {});
        check("client", &|user| lariat_on_open(server, Some(panicking::client), user), |_| {});
        check("message", &|user| lariat_on_message(server, Some(panicking::message), user), |socket| {
            socket.send(Message::text("hello")).unwrap();
        });
        check("pong", &|user| lariat_on_pong(server, Some(panicking::pong), user), |socket| {
            socket.send(Message::Pong(vec![1].into())).unwrap();
        });
        check("close", &|user| lariat_on_close(server, Some(panicking::close), user), close);
        let set_timer = |user| {
            lariat_on_timer(server, Some(panicking::timer), user);
            lariat_set_timer(server, 1, 0, 1, ptr::null_mut())
        };
        check("timer", &set_timer, close);
        check("post", &|user| lariat_post(server, Some(panicking::post), None, user), close);
    }
}

unsafe extern "C-unwind" fn send_much(server: *mut lariat_server, _: *mut c_void, client: u64) {
    let long = vec![b'x'; 3 << 20];
    // SAFETY: all is there.
    assert_eq!(unsafe { lariat_send(server, client, 2, long.as_ptr().cast(), long.len()) }, 0);
}

#[test]
fn a_panic_in_on_drain_closes_its_client() {
    let (host, mut all, mut drained) = (Host::listening(), Notes::default(), Notes::default());
    // SAFETY: the notes outlive the server's turns.
    unsafe {
        lariat_on_open(host.0, Some(send_much), ptr::null_mut());
        lariat_on_drain(host.0, Some(panicking::client), drained.pointer());
        lariat_on_close(host.0, Some(note_close), all.pointer());
    }
    let client = host.client("/", |socket| {
        assert_eq!(next(socket).len(), 3 << 20);
        match next(socket) {
            Message::Close(frame) => u16::from(frame.unwrap().code),
            other => panic!("{other}"),
        }
    });
    host.turn_until(|| all.closed.len() == 1);
    assert_eq!((client.join().unwrap(), drained.texts), (1011, vec!["client".to_owned()]));
}
