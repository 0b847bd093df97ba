//! The texts of the guide as Markdown, and its pictures, for programs that show them. The site of
//! `lariat serve` does.
//!
//! In a chapter, `<div>...<use href="#NAME"/>...</div>` is the place of a picture. Its `aria-label`
//! says what the picture shows. Links are those of rustdoc: `crate::guide::ch03_frames` is a
//! chapter, other paths are items of this crate. In a code block without a language, which is Rust,
//! lines that begin with `# ` are hidden.

macro_rules! chapter {
    ($name:literal) => {
        Chapter { name: $name, english: include_str!(concat!($name, ".md")), chinese: None }
    };
    ($name:literal, translated) => {
        Chapter {
            name: $name,
            english: include_str!(concat!($name, ".md")),
            chinese: Some(include_str!(concat!("zh/", $name, ".md"))),
        }
    };
}

macro_rules! picture {
    ($name:literal) => {
        Picture { name: $name, svg: include_str!(concat!("pictures/", $name, ".svg")) }
    };
}

/// A chapter, or the introduction.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Chapter {
    /// The name of its module, such as `ch03_frames`.
    pub name: &'static str,
    /// Its text in English.
    pub english: &'static str,
    /// Its text in Chinese, if it is translated. No native reader has reviewed it yet.
    pub chinese: Option<&'static str>,
}

/// A picture, as SVG. It has no colours of its own but some that suit a light and a dark page, and
/// `currentColor`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Picture {
    /// Its name, such as `frame`.
    pub name: &'static str,
    /// A document with one `svg` element.
    pub svg: &'static str,
}

/// The page before the chapters.
pub const INTRODUCTION: Chapter = chapter!("introduction", translated);

/// All chapters, in order.
pub const CHAPTERS: &[Chapter] = &[
    chapter!("ch01_purpose", translated),
    chapter!("ch02_opening_handshake", translated),
    chapter!("ch03_frames", translated),
    chapter!("ch04_messages", translated),
    chapter!("ch05_closing", translated),
    chapter!("ch06_readiness", translated),
    chapter!("ch07_state_machines", translated),
    chapter!("ch08_turn", translated),
    chapter!("ch09_time", translated),
    chapter!("ch10_slow_readers", translated),
    chapter!("ch11_many_receivers", translated),
    chapter!("ch12_application", translated),
    chapter!("ch13_how_many", translated),
    chapter!("ch14_tls", translated),
    chapter!("ch15_handover", translated),
];

/// All pictures, in the order of the chapters.
pub const PICTURES: &[Picture] = &[
    picture!("stream"),
    picture!("ways-to-ask"),
    picture!("opening-handshake"),
    picture!("frame"),
    picture!("masking"),
    picture!("fragments"),
    picture!("utf8"),
    picture!("closing-handshake"),
    picture!("readiness"),
    picture!("states"),
    picture!("turn"),
    picture!("timing-wheel"),
    picture!("backpressure"),
    picture!("memory-budget"),
    picture!("fan-out"),
    picture!("application"),
    picture!("limits-of-a-host"),
    picture!("coordinated-omission"),
    picture!("tls-layers"),
    picture!("tls-handshake"),
    picture!("tls-buffers"),
    picture!("tls-trap"),
    picture!("handover"),
];

/// The words in the pictures, in Chinese: `[frame]` begins a picture, and a line below it is such
/// as `length = 长度`. Words that are not there are the same in both languages.
pub const CHINESE_WORDS: &str = include_str!("zh/pictures.txt");
