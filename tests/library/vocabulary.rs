//! The types that applications hold: errors with their sources, what `Debug` shows, what may move
//! to another thread.

use lariat::protocol::ProtocolError;
use lariat::{
    ClientId, CloseCode, CloseFrame, CloseReason, Closures, Config, Drain, OwnedMessage, Remote, Router, SendError,
    Server, Stats,
};
use std::error::Error;

#[test]
fn a_close_reason_is_an_error_that_names_its_source() {
    let failed = CloseReason::Protocol(ProtocolError::InvalidUtf8);
    let boxed: Box<dyn Error + Send + Sync> = failed.clone().into();
    assert_eq!(boxed.to_string(), failed.to_string());
    assert_eq!(boxed.source().map(ToString::to_string), Some(ProtocolError::InvalidUtf8.to_string()));
    let status = lariat::http::StatusCode::OK;
    let cut_off = CloseReason::CutOff { status, sent: 1, total: 2, why: Box::new(failed) };
    let why = cut_off.source().expect("why it was cut off");
    assert_eq!(why.to_string(), boxed.to_string());
    assert!(why.source().is_some_and(|rule| rule.is::<ProtocolError>()));
    assert!(CloseReason::Eof.source().is_none());
}

#[test]
fn a_close_frame_shows_its_code_and_no_control_characters() {
    let frame = |reason: &str| CloseFrame { code: CloseCode::Library(4_000), reason: reason.to_owned() }.to_string();
    assert_eq!(frame(""), "4000");
    assert_eq!(frame("bye"), "4000 bye");
    assert!(!frame("bye\u{1b}[2J").contains('\u{1b}'));
}

#[test]
fn the_text_of_a_send_error_says_what_to_do() {
    let told = [
        (SendError::Full, "Limits::max_unsent"),
        (SendError::Dropped, "on_drain"),
        (SendError::TooLong, "123"),
        (SendError::InvalidCloseCode, "3000 to 4999"),
        (SendError::Unfinished, "last piece"),
    ];
    for (error, advice) in told {
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn a_server_and_what_reaches_it_may_move_to_another_thread() {
    const fn moves<T: Send>() {}
    moves::<Server<()>>();
    moves::<Remote<std::rc::Rc<()>>>();
    moves::<(Config, Drain, ClientId, CloseReason, OwnedMessage, Stats)>();
}

#[test]
fn what_has_a_handler_shows_what_it_consists_of() {
    let closures = Closures::<()>::new().on_message(|_, _, _| ());
    assert!(format!("{closures:?}").contains("on_message: true"), "{closures:?}");
    let router = Router::new().route("/chat", closures);
    assert!(format!("{router:?}").contains("/chat"), "{router:?}");
    let server = Server::bind("127.0.0.1:0").expect("a free port");
    let port = server.local_addrs()[0].to_string();
    assert!(format!("{server:?}").contains(port.rsplit(':').next().expect("a port")), "{server:?}");
    let event_loop = server.start(router).expect("a loop");
    assert!(format!("{event_loop:?}").contains("connections: 0"), "{event_loop:?}");
}

#[cfg(unix)]
#[test]
fn both_ways_to_the_descriptor_of_a_loop_lead_to_the_same() {
    use std::os::fd::{AsFd, AsRawFd};
    let event_loop = Server::bind("127.0.0.1:0").expect("a free port").start(Closures::<()>::new()).expect("a loop");
    assert_eq!(event_loop.as_raw_fd(), event_loop.as_fd().as_raw_fd());
}
