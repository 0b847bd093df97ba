//! Takeovers between any two bytes of what a client sends. The client notices nothing.

use crate::common::{Folder, Wire, binary, close, descriptors, frame, ping, request_with, text, until};
use crate::kit::{Running, echo, nothing_saved, run, serve_with, taking_over};
use lariat::{Closures, Config, ListenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;

/// What a client sees: the head of the response, and messages and control frames.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    head: String,
    frames: Vec<(u8, Vec<u8>)>,
}

type Inflate = Box<dyn FnMut(&[u8]) -> Vec<u8>>;

/// Reads to the end of the stream. `inflate` decompresses a message.
fn see<S: Read + Write>(wire: &mut Wire<S>, mut inflate: Inflate) -> Seen {
    let head = wire.response().head;
    let (mut frames, mut begun): (_, Option<(u8, Vec<u8>)>) = (Vec::new(), None);
    loop {
        let frame = wire.frame();
        match frame.first & 0x0f {
            0x8.. => frames.push((frame.first, frame.payload)),
            opcode => {
                let (first, mut payload) = begun.take().unwrap_or((frame.first & 0x7f, Vec::new()));
                assert_eq!(opcode == 0, !payload.is_empty() || first == 0, "a message begins and goes on");
                payload.extend(frame.payload);
                if frame.first & 0x80 == 0 {
                    begun = Some((first, payload));
                } else if first & 0x40 == 0 {
                    frames.push((first, payload));
                } else {
                    frames.push((first & 0x0f, inflate(&payload)));
                }
            }
        }
        if frames.last().is_some_and(|(first, _)| *first == 0x88) {
            wire.expect_end();
            return Seen { head, frames };
        }
    }
}

fn uncompressed() -> Inflate {
    Box::new(|_| panic!("nothing was compressed"))
}

/// Opens a connection for each place at which the stream is cut, and takes over twice meanwhile.
fn takeovers_at_every_cut<S: Read + Write>(
    start: impl Fn() -> Running<Closures<()>>,
    connect: impl Fn(SocketAddr) -> Wire<S>,
    stream: &[u8],
    cuts: impl Iterator<Item = usize>,
    inflate: fn() -> Inflate,
) {
    descriptors();
    let mut server = start();
    let mut undisturbed = connect(server.addr);
    undisturbed.send(stream);
    let expected = see(&mut undisturbed, inflate());
    drop(undisturbed);
    until(|| server.ask(|clients| clients.iter_all().count()) == 0 && server.stats().connections.closing == 0);
    assert!(expected.head.starts_with("HTTP/1.1 101"), "{expected:?}");
    assert!(expected.frames.len() > 1);
    let mut clients: Vec<(usize, Wire<S>)> = cuts.map(|cut| (cut, connect(server.addr))).collect();
    let before = server.stats().bytes_read as usize;
    for (cut, client) in &mut clients {
        client.send(&stream[..*cut]);
    }
    let sent: usize = clients.iter().map(|(cut, _)| cut).sum();
    let accepted = clients.len() as u64 + 1;
    until(|| server.stats().bytes_read as usize == before + sent && server.stats().accepted == accepted);
    for _ in 0..2 {
        let next = start();
        server.handed_over();
        server = next;
    }
    for (cut, client) in &mut clients {
        client.send(&stream[*cut..]);
        assert_eq!(see(client, inflate()), expected, "cut before byte {cut}");
    }
}

/// A request, a message in fragments with a ping between, lengths of all kinds, and a Close.
fn stream(headers: &str) -> (Vec<u8>, usize) {
    let head = request_with("/", headers);
    let frames = [
        frame(0x01, "Grüße aus der ".as_bytes()),
        ping(b"still there?"),
        frame(0x00, "größten Stadt, ".as_bytes()),
        frame(0x80, b"and good bye"),
        binary(&[7; 200]),
        frame(0x8a, b"a pong that nobody asked for"),
        text(""),
        binary(&vec![9; 70_000]),
        text("the end"),
        close(4000, "enough"),
    ];
    let (whole, large) = ([vec![head.into_bytes()], frames.to_vec()].concat().concat(), 70_000);
    (whole, large)
}

/// All places, but only some in the large message.
fn cuts(length: usize, large: usize) -> impl Iterator<Item = usize> {
    let behind = 100;
    (0..=length).filter(move |cut| {
        let in_large = length - behind > *cut && *cut + large > length - behind + 100;
        !in_large || *cut % 9_973 == 0
    })
}

fn served(make: impl Fn() -> Closures<()> + Copy + Send + 'static) -> impl Fn() -> Running<Closures<()>> {
    let folder = Folder::new();
    move || serve_with(Config::default(), &folder.path("handover"), make)
}

#[test]
fn a_client_goes_on_from_any_byte() {
    let (stream, large) = stream("");
    let cuts: Vec<usize> = cuts(stream.len(), large).collect();
    takeovers_at_every_cut(served(echo), Wire::connect, &stream, cuts.into_iter(), uncompressed);
}

#[test]
fn a_message_that_arrives_in_pieces_goes_on_from_any_byte() {
    fn pieces() -> Closures<()> {
        let pieces = Closures::new().on_open(|clients, id| clients.receive_in_pieces(id));
        nothing_saved(pieces.on_piece(|clients, id, piece, position| {
            clients.send_piece(id, piece, position).expect("the positions follow from one another");
        }))
    }
    let (stream, large) = stream("");
    let cuts: Vec<usize> = cuts(stream.len(), large).step_by(2).collect();
    takeovers_at_every_cut(served(pieces), Wire::connect, &stream, cuts.into_iter(), uncompressed);
}

#[test]
fn a_client_behind_a_proxy_goes_on_from_any_byte_of_its_header() {
    fn addresses() -> Closures<()> {
        nothing_saved(Closures::new().on_message(|clients, id, _| {
            let (client, proxy) = (clients.peer_addr(id), clients.direct_addr(id).map(|addr| addr.ip()));
            let _ = clients.send(id, &format!("{client:?} {proxy:?}"));
        }))
    }
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n".to_vec();
    let v2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &[192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0, 80]].concat();
    for header in [v1, v2] {
        let length = header.len();
        let stream = [&header, request_with("/", "").as_bytes(), &text("who am I?"), &close(1000, "")].concat();
        let folder = Folder::new();
        let start = || {
            let mut config = Config::default();
            config.trusted_proxies = "127.0.0.1".parse().expect("an address");
            let mut options = ListenOptions::default();
            options.proxy_protocol = true;
            let server = taking_over(config, &folder.path("handover")).options(options);
            run(server.listen("127.0.0.1:0").expect("a port"), addresses)
        };
        let seen = {
            let server = start();
            let mut wire = Wire::connect(server.addr);
            wire.send(&stream);
            see(&mut wire, uncompressed())
        };
        assert_eq!(seen.frames[0].1, b"Some(192.0.2.7:4711) Some(127.0.0.1)");
        let cuts = (0..length + 60).chain([stream.len() - 20, stream.len()]);
        takeovers_at_every_cut(start, Wire::connect, &stream, cuts, uncompressed);
    }
}

#[test]
fn a_client_of_a_unix_socket_goes_on_from_any_byte() {
    let folder = Folder::new();
    let start = || {
        let server = taking_over(Config::default(), &folder.path("handover")).listen("127.0.0.1:0").expect("a port");
        run(server.listen_unix(folder.path("socket")).expect("a socket"), echo)
    };
    let connect = |_| {
        let stream = std::os::unix::net::UnixStream::connect(folder.path("socket")).expect("it listens");
        stream.set_read_timeout(Some(crate::common::WAIT)).expect("a timeout");
        Wire::new(stream)
    };
    let (stream, large) = stream("");
    let cuts: Vec<usize> = cuts(stream.len(), large).step_by(5).collect();
    takeovers_at_every_cut(start, connect, &stream, cuts.into_iter(), uncompressed);
}

#[cfg(feature = "deflate")]
mod deflate {
    use super::*;
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
    use lariat::{Deflate, Takeover};

    /// Decompresses messages that may refer to earlier ones.
    fn inflate() -> Inflate {
        let mut inflater = Decompress::new(false);
        Box::new(move |payload| {
            let (payload, mut message) = ([payload, &[0, 0, 0xff, 0xff]].concat(), Vec::with_capacity(1 << 20));
            inflater.decompress_vec(&payload, &mut message, FlushDecompress::Sync).expect("deflate");
            message
        })
    }

    /// Compresses a message, which may refer to earlier ones.
    fn compress(deflater: &mut Compress, message: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::with_capacity(2 * message.len() + 100);
        deflater.compress_vec(message, &mut compressed, FlushCompress::Sync).expect("deflate");
        assert_eq!(compressed.split_off(compressed.len() - 4), [0, 0, 0xff, 0xff]);
        compressed
    }

    fn config(takeover: Takeover) -> Config {
        let mut deflate = Deflate::default();
        deflate.threshold = 0;
        deflate.context_takeover = takeover;
        deflate.max_context_bytes = 1 << 30;
        let mut config = Config::default();
        config.deflate = Some(deflate);
        config.memory_budget = 2 << 30;
        config
    }

    fn stream(keeps: bool) -> Vec<u8> {
        let mut deflater = Compress::new(Compression::default(), false);
        let mut compressed = |message: &str| {
            if !keeps {
                deflater.reset();
            }
            compress(&mut deflater, message.as_bytes())
        };
        let words = "what was said once need not be said again, ".repeat(3);
        let first = compressed(&words);
        let second = compressed(&format!("{words} and again: {words}"));
        let third = compressed(&words);
        let (begin, rest) = second.split_at(second.len() / 2);
        let (middle, end) = rest.split_at(1);
        let mut frames = request_with("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").into_bytes();
        for (first, payload) in [(0xc1, &first[..]), (0x41, begin), (0x89, b"ping"), (0x00, middle), (0x80, end)] {
            frames.extend(frame(first, payload));
        }
        frames.extend(text("as it is"));
        frames.extend(frame(0xc2, &third));
        frames.extend(close(1000, ""));
        frames
    }

    fn compressed_with(takeover: Takeover, step: usize) {
        let keeps = matches!(takeover, Takeover::Received | Takeover::Both);
        let stream = stream(keeps);
        let folder = Folder::new();
        let start = || serve_with(config(takeover), &folder.path("handover"), echo);
        takeovers_at_every_cut(start, Wire::connect, &stream, (150..=stream.len()).step_by(step), inflate);
    }

    #[test]
    fn compressed_messages_go_on_from_any_byte() {
        compressed_with(Takeover::Never, 1);
    }

    #[test]
    fn compressed_messages_that_refer_to_earlier_ones_go_on_from_any_byte() {
        for (takeover, step) in [(Takeover::Both, 2), (Takeover::Received, 5), (Takeover::Sent, 5)] {
            compressed_with(takeover, step);
        }
    }

    /// The old server goes on, with both contexts.
    #[test]
    fn compressed_messages_go_on_after_a_failed_takeover() {
        let folder = Folder::new();
        let path = folder.path("handover");
        let server = serve_with(config(Takeover::Both), &path, echo);
        let (mut deflater, mut inflate) = (Compress::new(Compression::default(), false), inflate());
        let mut wire = Wire::connect(server.addr);
        wire.send(request_with("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").as_bytes());
        assert_eq!(wire.response().status(), 101);
        let words = "what was said once need not be said again, ".repeat(5);
        for _ in 0..5 {
            wire.send(&frame(0xc1, &compress(&mut deflater, words.as_bytes())));
            let answer = wire.frame();
            assert_eq!((answer.first, inflate(&answer.payload)), (0xc1, words.clone().into_bytes()));
            let mut raw = crate::raw::Raw::prepare(&path);
            raw.send(&crate::raw::unit(crate::raw::READY));
            raw.all();
        }
        drop(server);
    }
}
