#![doc = include_str!("introduction.md")]

#[cfg(feature = "guide")]
pub mod texts;

/// The pictures of a chapter, hidden at the end of its page. The text refers to each by `<use>`.
macro_rules! pictures {
    ($($name:literal),+) => {
        concat!("\n\n<div hidden>\n", $(include_str!(concat!("pictures/", $name, ".svg")),)+ "</div>\n")
    };
}

#[doc = include_str!("ch01_purpose.md")]
#[doc = pictures!("stream", "ways-to-ask")]
pub mod ch01_purpose {}
#[doc = include_str!("ch02_opening_handshake.md")]
#[doc = pictures!("opening-handshake")]
pub mod ch02_opening_handshake {}
#[doc = include_str!("ch03_frames.md")]
#[doc = pictures!("frame", "masking")]
pub mod ch03_frames {}
#[doc = include_str!("ch04_messages.md")]
#[doc = pictures!("fragments", "utf8")]
pub mod ch04_messages {}
#[doc = include_str!("ch05_closing.md")]
#[doc = pictures!("closing-handshake")]
pub mod ch05_closing {}
#[doc = include_str!("ch06_readiness.md")]
#[doc = pictures!("readiness")]
pub mod ch06_readiness {}
#[doc = include_str!("ch07_state_machines.md")]
#[doc = pictures!("states")]
pub mod ch07_state_machines {}
#[doc = include_str!("ch08_turn.md")]
#[doc = pictures!("turn")]
pub mod ch08_turn {}
#[doc = include_str!("ch09_time.md")]
#[doc = pictures!("timing-wheel")]
pub mod ch09_time {}
#[doc = include_str!("ch10_slow_readers.md")]
#[doc = pictures!("backpressure", "memory-budget")]
pub mod ch10_slow_readers {}
#[doc = include_str!("ch11_many_receivers.md")]
#[doc = pictures!("fan-out")]
pub mod ch11_many_receivers {}
#[doc = include_str!("ch12_application.md")]
#[doc = pictures!("application")]
pub mod ch12_application {}
#[doc = include_str!("ch13_how_many.md")]
#[doc = pictures!("limits-of-a-host", "coordinated-omission")]
pub mod ch13_how_many {}
#[doc = include_str!("ch14_tls.md")]
#[doc = pictures!("tls-layers", "tls-handshake", "tls-buffers", "tls-trap")]
pub mod ch14_tls {}
#[doc = include_str!("ch15_handover.md")]
#[doc = pictures!("handover")]
pub mod ch15_handover {}
