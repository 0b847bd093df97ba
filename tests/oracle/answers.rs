//! Responses from a seed: a server's answer to an opening handshake, and the expected result.

use rand::RngExt;
use rand::rngs::StdRng;

/// The subprotocols that we offer, if we offer any.
pub const OFFERED: [&str; 2] = ["chat", "talk.v2"];

/// The result of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The connection is open, with this subprotocol.
    Open(Option<String>),
    /// The server answered with a status other than 101.
    Status(u16),
    /// The response was refused.
    Refused,
    /// The stream ended.
    HungUp,
}

/// A flaw in a response, or an allowed variation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    Nothing,
    /// A status other than 101.
    OtherStatus,
    /// A malformed status line, or another version of HTTP.
    StatusLine,
    /// `Upgrade` is missing, or its value is not `websocket` alone.
    Upgrade,
    UpgradeTwice,
    /// `Connection` is missing, or does not list `Upgrade`.
    Connection,
    /// `Connection` also lists other values, which is allowed.
    ConnectionList,
    /// `Sec-WebSocket-Accept` is missing, or does not match the key.
    Accept,
    AcceptTwice,
    /// A subprotocol that was not offered.
    Subprotocol,
    SubprotocolTwice,
    /// No subprotocol, although some were offered, which is allowed.
    NoSubprotocol,
    /// An extension, although none was offered.
    Extension,
    /// A header line that violates the grammar.
    Malformed,
    BareLineFeed,
    /// More than 64 headers.
    ManyHeaders,
    /// More than 8 KiB.
    LargeHead,
    /// The stream ends before the empty line.
    CutShort,
}

impl Flaw {
    pub const ALL: [Flaw; 18] = [
        Flaw::Nothing,
        Flaw::OtherStatus,
        Flaw::StatusLine,
        Flaw::Upgrade,
        Flaw::UpgradeTwice,
        Flaw::Connection,
        Flaw::ConnectionList,
        Flaw::Accept,
        Flaw::AcceptTwice,
        Flaw::Subprotocol,
        Flaw::SubprotocolTwice,
        Flaw::NoSubprotocol,
        Flaw::Extension,
        Flaw::Malformed,
        Flaw::BareLineFeed,
        Flaw::ManyHeaders,
        Flaw::LargeHead,
        Flaw::CutShort,
    ];

    /// Returns the way in which tungstenite differs, if it does.
    fn difference(self) -> Option<Difference> {
        match self {
            Flaw::UpgradeTwice | Flaw::AcceptTwice | Flaw::SubprotocolTwice => Some(Difference::ReadsTheFirstLine),
            Flaw::ConnectionList => Some(Difference::ReadsNoList),
            Flaw::NoSubprotocol => Some(Difference::WantsASubprotocol),
            Flaw::Extension => Some(Difference::ReadsNoExtensions),
            Flaw::BareLineFeed => Some(Difference::TakesBareLineFeeds),
            Flaw::ManyHeaders | Flaw::LargeHead => Some(Difference::TakesLargerHeads),
            Flaw::Nothing
            | Flaw::OtherStatus
            | Flaw::StatusLine
            | Flaw::Upgrade
            | Flaw::Connection
            | Flaw::Accept
            | Flaw::Subprotocol
            | Flaw::Malformed
            | Flaw::CutShort => None,
        }
    }
}

/// The known differences of tungstenite 0.30.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// If a header that may occur once occurs twice, it reads the first line.
    ReadsTheFirstLine,
    /// It refuses `Connection: keep-alive, Upgrade`, which §4.1 allows.
    ReadsNoList,
    /// It refuses a server that chooses no subprotocol, which §4.1 allows.
    WantsASubprotocol,
    /// It does not check extensions. It offers none (§4.1 point 5).
    ReadsNoExtensions,
    /// It accepts lines that end with LF alone, as RFC 9112 §2.2 allows. We refuse them, because
    /// implementations then disagree about the end of a head.
    TakesBareLineFeeds,
    /// It accepts 124 headers and 64 KiB.
    TakesLargerHeads,
}

/// A response and its expected result.
pub struct Answer {
    pub bytes: Vec<u8>,
    pub flaw: Flaw,
    pub ours: Verdict,
    pub theirs: Verdict,
}

pub fn pick<T: Copy>(random: &mut StdRng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}

/// Returns a name in random letter case.
fn any_case(random: &mut StdRng, name: &str) -> String {
    match random.random_range(0..4) {
        0 => name.to_ascii_lowercase(),
        1 => name.to_ascii_uppercase(),
        2 => name.chars().map(|c| if random.random() { c.to_ascii_uppercase() } else { c }).collect(),
        _ => name.to_owned(),
    }
}

/// Returns a header line without its end, with random whitespace around its value.
fn line(random: &mut StdRng, name: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut line = any_case(random, name).into_bytes();
    line.push(b':');
    line.extend_from_slice(pick(random, &[" ", " ", " ", "", "\t", "  \t "]).as_bytes());
    line.extend_from_slice(value.as_ref());
    line.extend_from_slice(pick(random, &["", "", "", " ", "\t "]).as_bytes());
    line
}

impl Answer {
    pub fn new(random: &mut StdRng, accept: &str, offers: bool) -> Answer {
        let flaw = match pick(random, &Flaw::ALL) {
            Flaw::NoSubprotocol | Flaw::SubprotocolTwice if !offers => Flaw::Nothing,
            flaw => flaw,
        };
        let mut status: Vec<u8> = b"HTTP/1.1 101 Switching Protocols".into();
        if random.random_ratio(1, 3) {
            let any: [&[u8]; 4] = [b"HTTP/1.1 101", b"HTTP/1.1 101 ", b"HTTP/1.1 101 Yes, do", b"HTTP/1.1 101 \xfcber"];
            status = pick(random, &any).into();
        }
        let websocket = any_case(random, "websocket");
        let upgrade = any_case(random, "Upgrade");
        let mut lines = vec![
            line(random, "Upgrade", websocket),
            line(random, "Connection", upgrade),
            line(random, "Sec-WebSocket-Accept", accept),
        ];
        let chosen = offers.then(|| pick(random, &OFFERED));
        if let Some(name) = chosen {
            lines.push(line(random, "Sec-WebSocket-Protocol", name));
        }
        let mut ours = Verdict::Open(chosen.map(str::to_owned));
        let mut theirs = ours.clone();
        match flaw.difference() {
            Some(Difference::ReadsNoList) => theirs = Verdict::Refused,
            Some(Difference::WantsASubprotocol) => (ours, theirs) = (Verdict::Open(None), Verdict::Refused),
            Some(_) => ours = Verdict::Refused,
            None if flaw == Flaw::Nothing => {}
            None => (ours, theirs) = (Verdict::Refused, Verdict::Refused),
        }
        match flaw {
            Flaw::Nothing | Flaw::BareLineFeed => {}
            Flaw::CutShort => (ours, theirs) = (Verdict::HungUp, Verdict::HungUp),
            Flaw::OtherStatus => {
                let code = pick(random, &[200, 204, 301, 400, 401, 404, 426, 500, 503, 599, 999]);
                status = format!("HTTP/1.1 {code} Whatever").into_bytes();
                (ours, theirs) = (Verdict::Status(code), Verdict::Status(code));
            }
            Flaw::StatusLine => {
                let bad: [&[u8]; 12] = [
                    b"HTTP/1.0 101 Switching Protocols",
                    b"HTTP/1.2 101 Switching Protocols",
                    b"HTTP/2 101 Switching Protocols",
                    b"HTTP/1.1 10 Short",
                    b"HTTP/1.1 1010 Long",
                    b"HTTP/1.1 000 Nothing",
                    b"HTTP/1.1 abc Letters",
                    b"HTTP/1.1  101 Two spaces",
                    b"HTTP/1.1\t101 Tab",
                    b"http/1.1 101 Small",
                    b"GET / HTTP/1.1",
                    b"\x81\x05hello",
                ];
                status = pick(random, &bad).into();
            }
            Flaw::Upgrade => {
                let bad: [&[u8]; 8] = [
                    b"",
                    b"h2c",
                    b"websockets",
                    b"websocket, h2c",
                    b"websocket/13",
                    b"web socket",
                    "websocket\u{a0}".as_bytes(),
                    b"\xffwebsocket",
                ];
                replace(random, &mut lines[0], "Upgrade", &bad);
            }
            Flaw::UpgradeTwice => {
                let value = pick(random, &["websocket", "h2c"]);
                let second = line(random, "Upgrade", value);
                lines.insert(1, second);
            }
            Flaw::Connection => {
                let bad: [&[u8]; 7] = [
                    b"",
                    b"close",
                    b"keep-alive, close",
                    b"Upgrades",
                    b"not upgrade",
                    "Upgrade\u{3000}".as_bytes(),
                    b"Upgrade\xff",
                ];
                replace(random, &mut lines[1], "Connection", &bad);
            }
            Flaw::ConnectionList => {
                let list = pick(random, &["keep-alive, Upgrade", "upgrade,x", ",,Upgrade", "x , \t UPGRADE , y"]);
                lines[1] = line(random, "Connection", list);
                if random.random() {
                    lines.insert(1, line(random, "Connection", "keep-alive"));
                }
            }
            Flaw::Accept => wrong_accept(random, &mut lines[2], accept),
            Flaw::AcceptTwice => {
                let value = pick(random, &[accept, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="]);
                let second = line(random, "Sec-WebSocket-Accept", value);
                lines.insert(3, second);
            }
            Flaw::Subprotocol => {
                let bad: [&[u8]; 7] =
                    [b"", b"other", b"CHAT", b"chat, talk.v2", b"chat;q=1", "chat\u{a0}".as_bytes(), b"chat\xff"];
                lines.truncate(3);
                let value = pick(random, &bad);
                lines.push(line(random, "Sec-WebSocket-Protocol", value));
            }
            Flaw::SubprotocolTwice => {
                let value = pick(random, &["chat", "talk.v2", "other"]);
                lines.push(line(random, "Sec-WebSocket-Protocol", value));
            }
            Flaw::NoSubprotocol => lines.truncate(3),
            Flaw::Extension => {
                let some: [&[u8]; 5] =
                    [b"permessage-deflate", b"x; y=1", b"permessage-deflate; client_max_window_bits", b"a, b", b"\xff"];
                let value = pick(random, &some);
                lines.push(line(random, "Sec-WebSocket-Extensions", value));
            }
            Flaw::Malformed => {
                let bad: [&[u8]; 7] = [
                    b"X-Space : 1",
                    b" X-Folded: 1",
                    b"no colon",
                    b": no name",
                    b"X-N\xe4me: 1",
                    b"X-Null: \0",
                    b"X-Return: a\rb",
                ];
                lines.push(pick(random, &bad).into());
            }
            Flaw::ManyHeaders => {
                let count = random.random_range(65..=124);
                while lines.len() < count {
                    lines.push(line(random, "X-More", "1"));
                }
            }
            Flaw::LargeHead => {
                let size = random.random_range(8_192..20_000);
                lines.push(line(random, "X-Large", "x".repeat(size)));
            }
        }
        let may_grow = !matches!(flaw, Flaw::ManyHeaders | Flaw::LargeHead);
        if may_grow {
            for _ in 0..random.random_range(0..4) {
                let value: &[u8] = pick(random, &[&b"1"[..], b"", b"a, b;c=\"d\"", b"caf\xe9"]);
                let other = line(random, "X-Other", value);
                lines.push(other);
            }
        }
        let keeps_order =
            matches!(flaw, Flaw::UpgradeTwice | Flaw::AcceptTwice | Flaw::SubprotocolTwice | Flaw::ConnectionList);
        if !keeps_order && flaw != Flaw::Malformed {
            for at in (1..lines.len()).rev() {
                lines.swap(at, random.random_range(0..=at));
            }
        }
        let mut bytes = head(random, status, lines, flaw);
        if flaw == Flaw::CutShort {
            bytes.truncate(random.random_range(0..bytes.len()));
        }
        Answer { bytes, flaw, ours, theirs }
    }
}

/// Replaces a header by one with a bad value, or removes it.
fn replace(random: &mut StdRng, place: &mut Vec<u8>, name: &str, bad: &[&[u8]]) {
    let value = pick(random, bad);
    *place = if random.random_ratio(1, 5) { b"X-Instead: 1".into() } else { line(random, name, value) };
}

fn wrong_accept(random: &mut StdRng, place: &mut Vec<u8>, accept: &str) {
    let swapped: String = accept
        .chars()
        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let bad = [
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
        accept[..27].to_owned(),
        accept[..20].to_owned(),
        format!("{accept}="),
        format!("\"{accept}\""),
        format!("{accept}, {accept}"),
        format!("{accept}\u{a0}"),
        swapped,
        String::new(),
    ];
    let bad: Vec<&[u8]> = bad.iter().map(|value| value.as_bytes()).collect();
    replace(random, place, "Sec-WebSocket-Accept", &bad);
}

/// Joins the lines of a head and ends it.
fn head(random: &mut StdRng, status: Vec<u8>, lines: Vec<Vec<u8>>, flaw: Flaw) -> Vec<u8> {
    let mut lines = [vec![status], lines, vec![vec![]]].concat();
    let count = lines.len();
    let bare = random.random_range(0..count);
    for (at, line) in lines.iter_mut().enumerate() {
        let is_bare = flaw == Flaw::BareLineFeed && (at == bare || random.random_ratio(1, 10));
        line.extend_from_slice(if is_bare { b"\n" } else { b"\r\n" });
    }
    let mut head = lines.concat();
    // "A server that is expecting to receive and parse a request-line SHOULD ignore at least one
    // empty line". Both implementations also do so as clients.
    if flaw == Flaw::Nothing && random.random_ratio(1, 10) {
        head.splice(..0, *b"\r\n");
    }
    head
}
