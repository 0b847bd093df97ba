//! An open connection that goes to another process: what travels with it.
//!
//! A connection is a few numbers and bytes. [`Connection::carry`] copies them and changes nothing,
//! so the connection can go on here if the other process does not take it.
//! [`Connection::from_carried`] checks them: they come from another program.
//!
//! Times are durations, because each process has its own clock. Shared frames are numbers: they
//! travel once. A compressor does not travel: what it sends next refers to nothing before it, which
//! its peer cannot tell from a choice. What a decompressor remembers does.
//!
//! These stay behind ([`Connection::carry`] returns `None`): connections that wait for an answer of
//! the application, send a response, connect to a server, or are nearly over; and those in the
//! middle of a message that is decompressed as it arrives.

use super::error::CloseReason;
use super::inbox::{Inbox, PartialFrame};
use super::machine::check_close;
use super::outbox::{Outbox, UnsentPiece};
use super::partial_message::{Decoder, PartialMessage, PartialPayload};
use super::shared::Shared;
use super::shared_bytes::SharedBytes;
use super::{Connection, Modes, State};
use crate::parts::{CONNECTING, PAUSES, PIECES, TRACES};
use crate::protocol::deflate::Agreed;
use crate::protocol::time::Tick;
use crate::protocol::wire::{CloseFrame, Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode, Role};
use minicbor_derive::{Decode, Encode};
use std::fmt;
use std::time::Duration;

/// What a connection is, for another process. Durations are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Carried {
    /// 0: the opening handshake; 1: open; 2: closing.
    #[n(0)]
    state: u8,
    /// The bits of [`Modes`].
    #[n(1)]
    modes: u8,
    #[n(2)]
    pinged: u8,
    /// How long ago the state's timeout began.
    #[n(3)]
    since: u32,
    /// [`Agreed`], if messages may be compressed.
    #[n(4)]
    agreed: Option<u8>,
    /// What the decompressor remembers.
    #[cbor(n(5), with = "crate::protocol::byte_string")]
    window: Option<Vec<u8>>,
    #[n(6)]
    incomplete: Option<Box<CarriedInbox>>,
    #[n(7)]
    unsent: Option<Box<CarriedOutbox>>,
    /// How long ago the connection opened, if its lifetime is limited.
    #[n(8)]
    opened: Option<u32>,
    /// The label of its traces.
    #[n(9)]
    label: Option<u64>,
    /// Why it is closing.
    #[n(10)]
    reason: Option<CarriedReason>,
}

/// Why a connection ends, for another process: the reasons that are known before the end.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CarriedReason {
    /// [`CloseReason::Local`]: the code and the text.
    #[n(0)]
    Local(#[n(0)] u16, #[n(1)] String),
    /// [`CloseReason::Peer`], with a code.
    #[n(1)]
    Peer(#[n(0)] u16, #[n(1)] String),
    /// [`CloseReason::Peer`], without one.
    #[n(2)]
    PeerWithoutCode,
    /// [`CloseReason::Lifetime`].
    #[n(3)]
    Lifetime,
    /// [`CloseReason::Terminated`].
    #[n(4)]
    Terminated,
    /// [`CloseReason::Eof`].
    #[n(5)]
    Eof,
    /// [`CloseReason::SlowConsumer`].
    #[n(6)]
    SlowConsumer,
    /// [`CloseReason::Evicted`].
    #[n(7)]
    Evicted,
    /// [`CloseReason::TooFast`].
    #[n(8)]
    TooFast,
    /// [`CloseReason::HandlerPanicked`].
    #[n(9)]
    HandlerPanicked,
}

impl CarriedReason {
    /// Returns a reason that can be told.
    fn of(reason: &CloseReason) -> Option<CarriedReason> {
        Some(match reason {
            CloseReason::Local(frame) => CarriedReason::Local(frame.code.into(), frame.reason.clone()),
            CloseReason::Peer(Some(frame)) => CarriedReason::Peer(frame.code.into(), frame.reason.clone()),
            CloseReason::Peer(None) => CarriedReason::PeerWithoutCode,
            CloseReason::Lifetime => CarriedReason::Lifetime,
            CloseReason::Terminated => CarriedReason::Terminated,
            CloseReason::Eof => CarriedReason::Eof,
            CloseReason::SlowConsumer => CarriedReason::SlowConsumer,
            CloseReason::Evicted => CarriedReason::Evicted,
            CloseReason::TooFast => CarriedReason::TooFast,
            CloseReason::HandlerPanicked => CarriedReason::HandlerPanicked,
            _ => return None,
        })
    }

    /// Whether the code and the text can have been sent.
    fn is_sensible(&self) -> bool {
        match self {
            CarriedReason::Local(code, text) => check_close((*code).into(), text).is_ok(),
            _ => true,
        }
    }

    /// Returns the reason.
    pub fn into_reason(self) -> CloseReason {
        let frame = |code: u16, reason: String| CloseFrame { code: code.into(), reason };
        match self {
            CarriedReason::Local(code, text) => CloseReason::Local(frame(code, text)),
            CarriedReason::Peer(code, text) => CloseReason::Peer(Some(frame(code, text))),
            CarriedReason::PeerWithoutCode => CloseReason::Peer(None),
            CarriedReason::Lifetime => CloseReason::Lifetime,
            CarriedReason::Terminated => CloseReason::Terminated,
            CarriedReason::Eof => CloseReason::Eof,
            CarriedReason::SlowConsumer => CloseReason::SlowConsumer,
            CarriedReason::Evicted => CloseReason::Evicted,
            CarriedReason::TooFast => CloseReason::TooFast,
            CarriedReason::HandlerPanicked => CloseReason::HandlerPanicked,
        }
    }
}

/// Something incomplete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct CarriedInbox {
    #[cbor(n(0), with = "crate::protocol::byte_string")]
    head: Option<Vec<u8>>,
    #[cbor(n(1), with = "crate::protocol::byte_string")]
    held: Option<Vec<u8>>,
    /// The first bytes of a frame's header.
    #[cbor(n(2), with = "crate::protocol::byte_string")]
    begun: Option<Vec<u8>>,
    /// The header of an incomplete frame. Its masking key is rotated to the next byte.
    #[cbor(n(3), with = "crate::protocol::byte_string")]
    header: Option<Vec<u8>>,
    /// Bytes of that frame that are missing.
    #[n(4)]
    missing: Option<u64>,
    #[cbor(n(5), with = "crate::protocol::byte_string")]
    control: Option<Vec<u8>>,
    #[n(6)]
    message: Option<CarriedMessage>,
    /// How long ago it began.
    #[n(7)]
    since: u32,
}

/// An incomplete message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct CarriedMessage {
    #[n(0)]
    is_text: bool,
    #[n(1)]
    is_compressed: bool,
    #[cbor(n(2), with = "crate::protocol::byte_string")]
    bytes: Vec<u8>,
    #[n(3)]
    fragments: u32,
    #[n(4)]
    in_pieces: bool,
    #[n(5)]
    is_handed_out: bool,
    /// It is decompressed as it arrives, but nothing has arrived.
    #[n(6)]
    inflates: bool,
}

/// Unsent bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct CarriedOutbox {
    #[n(0)]
    pieces: Vec<CarriedPiece>,
    #[n(1)]
    is_begun: bool,
    /// How long the peer has taken nothing.
    #[n(2)]
    stalled: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum CarriedPiece {
    #[n(0)]
    Own(#[cbor(n(0), with = "crate::protocol::byte_string")] Vec<u8>),
    /// The number of a shared frame, and how many of its bytes have been sent.
    #[n(1)]
    Shared(#[n(0)] u32, #[n(1)] u64),
}

/// What another process says of a connection makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what the other process says of a connection makes no sense: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// The modes that travel. The others follow from what else does.
const TRAVELLING: u8 =
    Modes::TRACED.0 | Modes::PIECES.0 | Modes::SENDING.0 | Modes::CLIENT.0 | Modes::PAUSED.0 | Modes::HOLDS.0;

fn millis(now: Tick, since: Tick) -> u32 {
    now.since(since).as_millis() as u32
}

fn ago(now: Tick, millis: u32) -> Tick {
    now.before(Duration::from_millis(millis.into()))
}

/// `None` instead of nothing.
fn some(bytes: &[u8]) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then(|| bytes.to_vec())
}

impl Carried {
    /// Whether it comes from a client whose connection is open.
    pub const fn is_open(&self) -> bool {
        self.state == 1
    }

    /// The most bytes of memory that its buffers take.
    pub fn memory(&self) -> usize {
        let of_inbox = self.incomplete.as_ref().map_or(0, |inbox| {
            let parts = [&inbox.head, &inbox.held, &inbox.control].into_iter().flatten().map(Vec::len);
            parts.sum::<usize>() + inbox.message.as_ref().map_or(0, |message| message.bytes.len())
        });
        let of_piece = |piece: &CarriedPiece| match piece {
            CarriedPiece::Own(bytes) => bytes.len(),
            CarriedPiece::Shared(..) => size_of::<CarriedPiece>(),
        };
        let of_outbox = self.unsent.as_ref().map_or(0, |outbox| outbox.pieces.iter().map(of_piece).sum());
        of_inbox + of_outbox + self.window.as_ref().map_or(0, Vec::len)
    }
}

impl<X: Default> Connection<X> {
    /// Why the connection ends, if that is known and can be told to another process.
    pub fn carried_reason(&self) -> Option<CarriedReason> {
        CarriedReason::of(self.rare.as_ref()?.reason.as_ref()?)
    }

    /// Copies what another process needs to go on with this connection. `frames` gives each shared
    /// frame a number. Returns `None` if the connection stays behind.
    pub fn carry(&mut self, now: Tick, mut frames: impl FnMut(&SharedBytes) -> u32) -> Option<Carried> {
        let state = match (self.state(), self.role()) {
            (State::Handshaking, Role::Server) if self.requests() == 0 => 0,
            (State::Open, _) => 1,
            // Without a reason, the peer's Close would be the reason.
            (State::Closing, _) if self.carried_reason().is_some() => 2,
            _ => return None,
        };
        let incomplete = match &self.inbox {
            None => None,
            Some(inbox) => Some(Box::new(carry_inbox(inbox, now)?)),
        };
        let window = match self.rare.as_mut().and_then(|rare| rare.contexts.as_mut()?.used_inflater()) {
            None => None,
            Some(inflater) => some(&inflater.window().ok()?),
        };
        let agreed = self.agreed();
        let rare = self.rare.as_ref();
        Some(Carried {
            state,
            modes: self.modes.0 & TRAVELLING,
            pinged: self.pinged,
            since: millis(now, self.since),
            agreed: agreed.is_compressed().then_some(agreed.to_bits()),
            window,
            incomplete,
            unsent: self.outbox.as_ref().map(|outbox| Box::new(carry_outbox(outbox, now, &mut frames))),
            opened: rare.and_then(|rare| rare.opened).map(|opened| millis(now, opened)),
            label: rare.filter(|_| self.modes.is_traced()).map(|rare| rare.label),
            reason: self.carried_reason(),
        })
    }

    /// Goes on with a connection of another process, whose shared frames have these numbers.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn from_carried(
        shared: &mut Shared,
        now: Tick,
        carried: Carried,
        frames: &[SharedBytes],
    ) -> Result<Connection<X>, Malformed> {
        if carried.modes & !TRAVELLING != 0 {
            return Err(Malformed("unknown modes"));
        }
        let modes = Modes(carried.modes);
        let role = if modes.has(Modes::CLIENT) { Role::Client } else { Role::Server };
        let mut connection = Connection::new(role, ago(now, carried.since));
        connection.modes = restored_modes(modes);
        connection.pinged = carried.pinged;
        let outcome = connection.fill(shared, now, carried, frames);
        if outcome.is_err() {
            // Nothing that was counted stays counted.
            connection.drop_all(shared);
        }
        outcome.map(|()| connection)
    }

    fn fill(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        carried: Carried,
        frames: &[SharedBytes],
    ) -> Result<(), Malformed> {
        let to = match (carried.state, self.role()) {
            (0, Role::Server) => State::Handshaking,
            (1, _) => State::Open,
            (2, _) => State::Closing,
            _ => return Err(Malformed("a state")),
        };
        if let Some(opened) = carried.opened {
            self.rare().opened = Some(ago(now, opened));
        }
        if to == State::Closing && !carried.reason.as_ref().is_some_and(CarriedReason::is_sensible) {
            return Err(Malformed("a Close frame"));
        }
        if let Some(reason) = carried.reason {
            self.rare().reason = Some(reason.into_reason());
        }
        if let Some(label) = carried.label {
            self.rare().label = label;
        }
        let agreed = Agreed::from_bits(carried.agreed.unwrap_or_default()).ok_or(Malformed("compression"))?;
        self.agree(shared, agreed);
        if let Some(window) = carried.window {
            let contexts = super::compress::contexts(&mut self.rare).filter(|_| agreed.keeps_received());
            let inflater = contexts.ok_or(Malformed("a window without contexts"))?.inflater();
            inflater.remember(&window).map_err(|_| Malformed("a window"))?;
        }
        if let Some(outbox) = carried.unsent {
            self.fill_outbox(shared, now, *outbox, frames)?;
        }
        match carried.incomplete {
            Some(inbox) => self.fill_inbox(shared, now, *inbox, agreed)?,
            None if self.modes.has(Modes::HOLDS) => return Err(Malformed("no held bytes")),
            None => {}
        }
        if to != State::Handshaking {
            self.enter_carried(shared, to);
        }
        Ok(())
    }

    /// The state of another process: no step of this one.
    fn enter_carried(&mut self, shared: &mut Shared, to: State) {
        let is_traced = self.modes.has(Modes::TRACED);
        self.modes.set(Modes::TRACED, false);
        self.enter(shared, to);
        self.modes.set(Modes::TRACED, is_traced);
    }

    fn fill_outbox(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        carried: CarriedOutbox,
        frames: &[SharedBytes],
    ) -> Result<(), Malformed> {
        let mut outbox = shared.outbox(&mut self.outbox);
        for piece in &carried.pieces {
            match piece {
                CarriedPiece::Own(bytes) => outbox.own().extend_from_slice(bytes),
                CarriedPiece::Shared(number, sent) => {
                    let frame = frames.get(*number as usize).ok_or(Malformed("a shared frame that is missing"))?;
                    let sent = usize::try_from(*sent).map_err(|_| Malformed("a shared frame"))?;
                    if !outbox.append_rest_of_shared(frame, sent) {
                        return Err(Malformed("a shared frame that was sent in part"));
                    }
                }
            }
        }
        outbox.set_begun(carried.is_begun);
        outbox.stalled = carried.stalled.map(|stalled| ago(now, stalled));
        Ok(())
    }

    fn fill_inbox(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        carried: CarriedInbox,
        agreed: Agreed,
    ) -> Result<(), Malformed> {
        let begun = carried.begun.unwrap_or_default();
        if begun.len() > MAX_HEADER || !matches!(Header::decode(&begun), Ok(None)) {
            return Err(Malformed("a header"));
        }
        let frame = match (carried.header, carried.missing) {
            (None, None) => None,
            (Some(header), Some(missing)) => {
                let Ok(Some((header, _))) = Header::decode(&header) else { return Err(Malformed("a frame's header")) };
                Some(PartialFrame::with_remaining(header, missing).ok_or(Malformed("a frame's length"))?)
            }
            _ => return Err(Malformed("a frame")),
        };
        let control = carried.control.unwrap_or_default();
        if control.len() > MAX_CONTROL_PAYLOAD {
            return Err(Malformed("a control frame"));
        }
        let (head, held) = (carried.head.unwrap_or_default(), carried.held.unwrap_or_default());
        if held.is_empty() == self.modes.has(Modes::HOLDS) {
            return Err(Malformed("held bytes"));
        }
        if carried.message.as_ref().is_some_and(|message| message.is_compressed && !agreed.is_compressed()) {
            return Err(Malformed("a compressed message"));
        }
        let message = carried.message.map(restored_message).transpose()?;
        let mut inbox = shared.inbox(&mut self.inbox, ago(now, carried.since));
        inbox.decode_header(&begun).map_err(|_| Malformed("a header"))?;
        (inbox.head, inbox.held, inbox.frame) = (head, held, frame);
        (inbox.control, inbox.message) = (control, message);
        drop(inbox);
        self.release_inbox(shared);
        Ok(())
    }

    /// Gives everything back.
    fn drop_all(&mut self, shared: &mut Shared) {
        self.release_contexts(shared);
        if let Some(inbox) = self.inbox.take() {
            shared.give_inbox(inbox);
        }
        if let Some(outbox) = self.outbox.take() {
            shared.give_outbox(outbox);
        }
        if self.state() != State::Handshaking {
            self.enter_carried(shared, State::Handshaking);
        }
    }
}

/// Returns the modes of a connection that is not open yet, and notes which parts it needs.
fn restored_modes(modes: Modes) -> Modes {
    let parts = [(Modes::CLIENT, &CONNECTING), (Modes::TRACED, &TRACES), (Modes::PIECES, &PIECES)];
    let parts = parts.into_iter().chain([(Modes::PAUSED, &PAUSES)]);
    parts.filter(|(mode, _)| modes.has(*mode)).for_each(|(_, part)| part.use_it());
    Modes(modes.0 | Modes::NOT_OPEN.0)
}

fn carry_inbox(inbox: &Inbox, now: Tick) -> Option<CarriedInbox> {
    if inbox.body.is_some() {
        return None;
    }
    let message = match &inbox.message {
        None => None,
        Some(message) => Some(carry_message(message)?),
    };
    let header = inbox.frame.map(|frame| {
        let mut header = Vec::with_capacity(MAX_HEADER);
        frame.header.encode(&mut header);
        header
    });
    Some(CarriedInbox {
        head: some(&inbox.head),
        held: some(&inbox.held),
        begun: some(inbox.partial_header()),
        header,
        missing: inbox.frame.map(|frame| frame.remaining() as u64),
        control: some(&inbox.control),
        message,
        since: millis(now, inbox.since),
    })
}

fn carry_message(message: &PartialMessage) -> Option<CarriedMessage> {
    let (is_text, is_compressed, bytes) = match &message.payload {
        PartialPayload::Text(text) => (true, false, text.to_vec()),
        PartialPayload::Binary(bytes) => (false, false, bytes.clone()),
        PartialPayload::Compressed(opcode, bytes) => (*opcode == Opcode::Text, true, bytes.clone()),
    };
    let inflates = match message.decoder {
        Decoder::None => false,
        Decoder::Later => true,
        Decoder::Own(_) | Decoder::Context => return None,
    };
    let (fragments, in_pieces, is_handed_out) = (message.fragments, message.in_pieces, message.is_handed_out);
    Some(CarriedMessage { is_text, is_compressed, bytes, fragments, in_pieces, is_handed_out, inflates })
}

fn restored_message(carried: CarriedMessage) -> Result<PartialMessage, Malformed> {
    let opcode = if carried.is_text { Opcode::Text } else { Opcode::Binary };
    let mut message = match (carried.is_compressed, carried.inflates) {
        (true, false) if !carried.in_pieces => PartialMessage::compressed(opcode, Vec::new()),
        (false, true) if carried.in_pieces && carried.bytes.is_empty() => PartialMessage::inflating(opcode, Vec::new()),
        (false, false) if carried.in_pieces => PartialMessage::in_pieces(opcode, Vec::new()),
        (false, false) => PartialMessage::new(opcode, Vec::new()),
        _ => return Err(Malformed("a message")),
    };
    message.push(&carried.bytes, 0).map_err(|_| Malformed("a text that is not UTF-8"))?;
    message.fragments = carried.fragments;
    message.is_handed_out = carried.is_handed_out;
    Ok(message)
}

fn carry_outbox(outbox: &Outbox, now: Tick, frames: &mut impl FnMut(&SharedBytes) -> u32) -> CarriedOutbox {
    let pieces = outbox.pieces().map(|piece| match piece {
        UnsentPiece::Own(bytes) => CarriedPiece::Own(bytes.to_vec()),
        UnsentPiece::Shared(frame, sent) => CarriedPiece::Shared(frames(frame), sent as u64),
    });
    CarriedOutbox {
        pieces: pieces.collect(),
        is_begun: !outbox.is_whole(),
        stalled: outbox.stalled.map(|stalled| millis(now, stalled)),
    }
}
