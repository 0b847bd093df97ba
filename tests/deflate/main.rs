//! permessage-deflate (RFC 7692) on connections without sockets.

#![cfg(feature = "deflate")]

mod agreement;
#[path = "../kit/mod.rs"]
mod kit;
mod many;
mod messages;
mod pair;
mod pieces;
mod violations;

use kit::{CONTINUATION, FIN, PING, RSV1, Seen, Sent, TEXT, Talk, frame};
use lariat::protocol::time::Tick;
use lariat::protocol::{Deflater, Inflater, Limits, STEP, Shared, State};
use lariat::{Deflate, Takeover};

/// Returns the default settings with changes.
fn deflate(change: impl FnOnce(&mut Deflate)) -> Deflate {
    let mut deflate = Deflate::default();
    change(&mut deflate);
    deflate
}

/// Returns settings that compress everything and keep contexts for `takeover`.
fn eager(takeover: Takeover) -> Deflate {
    deflate(|deflate| {
        deflate.threshold = 0;
        deflate.context_takeover = takeover;
    })
}

fn shared(deflate: Deflate) -> Shared {
    Shared::with_seed(Limits::default(), 0).with_deflate(Some(deflate))
}

/// Creates a server's connection for a request with these lines. Also returns the extension in the
/// response.
fn offered(shared: Shared, lines: &[&str]) -> (Talk, Option<String>) {
    let mut talk = Talk::fresh(shared, Tick::default());
    let request = offer(&mut talk, lines);
    (talk, request)
}

fn offer(talk: &mut Talk, lines: &[&str]) -> Option<String> {
    let head = kit::REQUEST.strip_suffix(b"\r\n").expect("a head ends with an empty line");
    let lines: String = lines.iter().map(|line| format!("Sec-WebSocket-Extensions: {line}\r\n")).collect();
    talk.receive(&[head, lines.as_bytes(), b"\r\n"].concat());
    assert_eq!(talk.state(), State::Open);
    let sent = talk.flushed();
    talk.seen.clear();
    talk.most_memory = 0;
    match &sent[..] {
        [Sent::Response(response)] => response.header("Sec-WebSocket-Extensions"),
        other => panic!("{other:?}"),
    }
}

/// Creates an open connection that compresses each message separately.
fn open(limits: Limits) -> Talk {
    let shared = Shared::with_seed(limits, 0).with_deflate(Some(eager(Takeover::Never)));
    let (talk, response) = offered(shared, &["permessage-deflate"]);
    assert!(response.is_some());
    talk
}

/// Receives a compressed message in fragments, cut at each byte, with a ping and `empty` empty
/// fragments between. Then receives them byte by byte, and calls `then`.
fn each_cut(open: impl Fn() -> Talk, empty: usize, then: impl Fn(&mut Talk)) {
    let text = "A long enough text with some repetition: abcabcabcabc, κόσμε κόσμε. ".repeat(3);
    let compressed = compress(&text);
    for cut in 0..=compressed.len() {
        let bytes = [
            frame(RSV1 | TEXT, &compressed[..cut]),
            frame(FIN | PING, "between"),
            frame(CONTINUATION, "").repeat(empty),
            frame(FIN | CONTINUATION, &compressed[cut..]),
        ]
        .concat();
        let mut talk = open();
        talk.receive(&bytes);
        assert_eq!(talk.seen, [Seen::ping("between"), Seen::text(&text)], "cut at {cut}");
        let mut talk = open();
        bytes.iter().for_each(|byte| talk.receive(&[*byte]));
        assert_eq!(talk.seen, [Seen::ping("between"), Seen::text(&text)], "cut at {cut}, byte by byte");
        then(&mut talk);
    }
}

/// Compresses a message separately.
fn compress(message: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new(6, 15).compress(message.as_ref(), &mut out);
    out
}

fn decompress(message: &[u8]) -> Vec<u8> {
    let (mut out, mut scratch, mut inflater) = (Vec::new(), vec![0; STEP], Inflater::new());
    let mut take = |step: &[u8]| {
        out.extend_from_slice(step);
        Ok(())
    };
    inflater.push(message, &mut scratch, &mut take).expect("valid");
    inflater.finish_and_forget(&mut scratch, &mut take).expect("valid");
    out
}

/// Returns a compressed text message in one frame.
fn compressed_text(text: impl AsRef<[u8]>) -> Vec<u8> {
    kit::frame(FIN | RSV1 | TEXT, compress(text))
}
