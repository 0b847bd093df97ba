//! The guide: how a WebSocket server works, from "what is a WebSocket?" to "one turn of the loop".
//!
//! It is for readers who know Rust and no networking. Nothing is assumed about sockets, HTTP or
//! event loops; what is said about Lariat is true of the code as it stands, and each chapter names
//! the file in which it is done. Read in order, it takes an afternoon. After that, the sources read
//! like a book that you have been told the plot of.
//!
//! # How to read it
//!
//! Keep three windows open:
//!
//! 1. this guide: `cargo doc --no-deps --open`, then the module `guide`;
//! 2. the site, in a browser: `cargo run --release -- --teach`, then <http://localhost:9998/>. Two of
//!    its pages go with nearly every chapter: the **Console** (<http://localhost:9998/console>), a WebSocket
//!    by hand that shows each byte of what went over the wire; and the **Loop** (<http://localhost:9998/loop>),
//!    the event loop as it turns, which `--teach` lets you slow down, hold, and step turn by turn;
//! 3. an editor, in the folder `src`.
//!
//! Every example in Rust is a test and passes: `cargo test --doc guide` runs them all. Most need no
//! network. They drive the protocol on bytes in memory, or a whole server in the simulator
//! (`lariat::sim`), where an hour takes no time and every run is the same. Copy one, change it, and
//! see what happens. In a program of your own the simulator needs a line in `Cargo.toml`; [chapter
//! 12](ch12_application) has it.
//!
//! # The chapters
//!
//! | | | the question |
//! |--:|---|---|
//! | 1 | [Purpose](ch01_purpose) | What is a WebSocket for, and what would one do without it? |
//! | 2 | [The opening handshake](ch02_opening_handshake) | How does an HTTP request become a WebSocket? |
//! | 3 | [Frames](ch03_frames) | What do the bytes look like, bit by bit? |
//! | 4 | [Messages](ch04_messages) | How do frames become messages, and bytes text? |
//! | 5 | [Closing](ch05_closing) | How do two sides find out that it is over? |
//! | 6 | [Readiness](ch06_readiness) | How can one thread serve everybody? |
//! | 7 | [State machines](ch07_state_machines) | How does a conversation stop at any byte and go on later? |
//! | 8 | [One turn of the loop](ch08_turn) | What happens between two waits? |
//! | 9 | [Time](ch09_time) | What about those who say nothing? |
//! | 10 | [Slow readers](ch10_slow_readers) | What about those who do not listen? |
//! | 11 | [Many receivers](ch11_many_receivers) | How does one message reach ten thousand people? |
//! | 12 | [An application](ch12_application) | How do I write my own, and test it? |
//! | 13 | [How many?](ch13_how_many) | How many connections does a host hold, and how does one measure it honestly? |
//!
//! Chapters 1 to 5 are the protocol, RFC 6455, which any WebSocket library has to follow. Chapters
//! 6 to 11 are the server. The last two are yours.
//!
//! # Words
//!
//! The guide uses the field's words, and says what each means where it first occurs. *We* are the
//! server, the *peer* is whoever is at the other end. RFCs are the documents in which the
//! Internet's protocols are written down; [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) is the one on WebSockets, and "§5.2" means its section 5.2. It is
//! well written, and after chapter 5 you can read it.

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
