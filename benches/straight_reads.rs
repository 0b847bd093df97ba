//! Compares two ways to read a large message: directly into its own buffer, and through the loop's
//! read buffer with a copy.
//!
//! ```text
//! cargo bench --bench straight_reads
//! ```
//!
//! Without `unsafe`, a direct read needs initialised memory, and text must be validated again at
//! the end to become a `&str`. The benchmark measures the CPU time of the reading thread for a
//! message of 1 MiB over loopback. The message is read in steps of 64 KiB, unmasked, and validated
//! on arrival if it is text. The buffer is reused. The four ways take turns.

#![allow(missing_docs)]
#![cfg(unix)]

use rustix::time::{ClockId, clock_gettime};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const MESSAGE: usize = 1 << 20;
const STEP: usize = 64 << 10;
const ROUNDS: usize = 1_000;
const WARM_UP: usize = 10;
/// All four bytes are equal, so that the key need not be rotated between the pieces.
const KEY: u8 = 0x55;

fn cpu_micros() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn mask(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte ^= KEY);
}

fn through_the_read_buffer(stream: &mut TcpStream, shared: &mut [u8], message: &mut Vec<u8>, is_text: bool) {
    while message.len() < MESSAGE {
        let count = stream.read(shared).expect("the writer writes");
        mask(&mut shared[..count]);
        if is_text {
            let _ = simdutf8::compat::from_utf8(&shared[..count]);
        }
        message.extend_from_slice(&shared[..count]);
    }
}

fn straight(stream: &mut TcpStream, message: &mut Vec<u8>, is_text: bool) {
    while message.len() < MESSAGE {
        let start = message.len();
        message.resize(start + STEP.min(MESSAGE - start), 0);
        let count = stream.read(&mut message[start..]).expect("the writer writes");
        message.truncate(start + count);
        mask(&mut message[start..]);
        if is_text {
            let _ = simdutf8::compat::from_utf8(&message[start..]);
        }
    }
    if is_text {
        simdutf8::basic::from_utf8(message).expect("valid text");
    }
}

fn write_messages(addr: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(addr).expect("the reader listens");
    let mut message = "aé€😀".repeat(MESSAGE / 10).into_bytes();
    message.resize(MESSAGE, b'.');
    mask(&mut message);
    for _ in 0..ROUNDS * 4 {
        stream.write_all(&message).expect("the reader reads");
        stream.read_exact(&mut [0]).expect("the reader has read");
    }
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let writer = std::thread::spawn(move || write_messages(addr));
    let (mut stream, _) = listener.accept().expect("the writer connects");
    let (mut shared, mut message) = (vec![0; STEP], Vec::new());
    let mut micros = [0.0; 4];
    for round in 0..ROUNDS * 4 {
        message.clear();
        let before = cpu_micros();
        match round % 4 {
            0 => through_the_read_buffer(&mut stream, &mut shared, &mut message, false),
            1 => straight(&mut stream, &mut message, false),
            2 => through_the_read_buffer(&mut stream, &mut shared, &mut message, true),
            _ => straight(&mut stream, &mut message, true),
        }
        if round >= WARM_UP * 4 {
            micros[round % 4] += cpu_micros() - before;
        }
        stream.write_all(b".").expect("the writer waits");
    }
    writer.join().expect("the writer has ended without a panic");
    let ways = ["binary, read buffer and copy", "binary, straight", "text, read buffer and copy", "text, straight"];
    for (way, micros) in ways.iter().zip(micros) {
        println!("{way:30} {:4.0} us CPU for 1 MiB", micros / (ROUNDS - WARM_UP) as f64);
    }
}
