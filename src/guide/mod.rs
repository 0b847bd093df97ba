//! The guide: explains how a WebSocket server works, from the protocol to one turn of the event
//! loop.
//!
//! It is for readers who know Rust but not networking. It assumes no knowledge of sockets, HTTP or
//! event loops. What it says about Lariat is true of the current code, and each chapter names the
//! source files. Read in order, it takes an afternoon. After that, you can read the source code.
//!
//! # How to read it
//!
//! Keep three windows open:
//!
//! 1. This guide: `cargo doc --no-deps --open`, then the module `guide`.
//! 2. The site, in a browser: `cargo run --release -- --teach`, then <http://localhost:9998/>. Most
//!    chapters use two of its pages. The **Console** (<http://localhost:9998/console>) lets you use
//!    a WebSocket by hand and shows each byte on the wire. The **Loop**
//!    (<http://localhost:9998/loop>) shows the event loop at work. With `--teach` you can slow the
//!    loop down, hold it, and step through it turn by turn.
//! 3. An editor, in the folder `src`.
//!
//! Every Rust example is a test: `cargo test --doc guide` runs all of them. Most need no network.
//! They run the protocol on bytes in memory, or a whole server in the simulator (`lariat::sim`). In
//! the simulator an hour takes no time, and every run is the same. Copy an example, change it, and
//! see what happens. To use the simulator in your own program, add a line to `Cargo.toml`: see
//! [chapter 12](ch12_application).
//!
//! # The chapters
//!
//! | | | the question |
//! |--:|---|---|
//! | 1 | [Purpose](ch01_purpose) | What is a WebSocket for, and what does a page do without one? |
//! | 2 | [The opening handshake](ch02_opening_handshake) | How does an HTTP request become a WebSocket? |
//! | 3 | [Frames](ch03_frames) | What do the bytes look like, bit by bit? |
//! | 4 | [Messages](ch04_messages) | How do frames become messages, and bytes become text? |
//! | 5 | [Closing](ch05_closing) | How do both sides learn that a connection has ended? |
//! | 6 | [Readiness](ch06_readiness) | How can one thread serve all clients? |
//! | 7 | [State machines](ch07_state_machines) | How can a connection stop at any byte and continue later? |
//! | 8 | [One turn of the loop](ch08_turn) | What does the loop do between two waits? |
//! | 9 | [Time](ch09_time) | How does the server handle clients that stay silent? |
//! | 10 | [Slow readers](ch10_slow_readers) | How does the server handle clients that read too slowly? |
//! | 11 | [Many receivers](ch11_many_receivers) | How does one message reach ten thousand clients? |
//! | 12 | [An application](ch12_application) | How do I write an application and test it? |
//! | 13 | [How many?](ch13_how_many) | How many connections can a host hold, and how do I measure it correctly? |
//! | 14 | [TLS](ch14_tls) | What does encryption add to a connection and to the loop? |
//! | 15 | [Handover](ch15_handover) | How does a new process take over all connections? |
//!
//! Chapters 1 to 5 explain the protocol, RFC 6455, which every WebSocket library must follow.
//! Chapters 6 to 11 explain the server. Chapters 12 and 13 are about your own application. The last
//! two stand alone: TLS needs chapters 6 to 10, and the handover chapters 7, 8 and 12.
//!
//! # Words
//!
//! The guide uses the standard terms and explains each one where it first appears. *We* are the
//! server. The *peer* is the other side of a connection. RFCs are the documents that define the
//! protocols of the Internet. [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) defines
//! WebSockets, and "§5.2" means its section 5.2. It is well written, and after chapter 5 you can
//! read it.

#[doc = include_str!("ch01_purpose.md")]
pub mod ch01_purpose {}
#[doc = include_str!("ch02_opening_handshake.md")]
pub mod ch02_opening_handshake {}
#[doc = include_str!("ch03_frames.md")]
pub mod ch03_frames {}
#[doc = include_str!("ch04_messages.md")]
pub mod ch04_messages {}
#[doc = include_str!("ch05_closing.md")]
pub mod ch05_closing {}
#[doc = include_str!("ch06_readiness.md")]
pub mod ch06_readiness {}
#[doc = include_str!("ch07_state_machines.md")]
pub mod ch07_state_machines {}
#[doc = include_str!("ch08_turn.md")]
pub mod ch08_turn {}
#[doc = include_str!("ch09_time.md")]
pub mod ch09_time {}
#[doc = include_str!("ch10_slow_readers.md")]
pub mod ch10_slow_readers {}
#[doc = include_str!("ch11_many_receivers.md")]
pub mod ch11_many_receivers {}
#[doc = include_str!("ch12_application.md")]
pub mod ch12_application {}
#[doc = include_str!("ch13_how_many.md")]
pub mod ch13_how_many {}
#[doc = include_str!("ch14_tls.md")]
pub mod ch14_tls {}
#[doc = include_str!("ch15_handover.md")]
pub mod ch15_handover {}
