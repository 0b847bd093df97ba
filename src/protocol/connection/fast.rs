//! Fast paths: what most messages take.
//!
//! Most messages are short, arrive whole in one frame, and are not compressed, traced or handed out
//! in pieces. Each function here does for them what a plain function does for all. If it returns
//! `None` or `false`, nothing has changed and the plain function is next.
//!
//! The tests are in `fast_tests`. The figures are instructions per message of
//! `benches/baseline.py`, without the one fast path and with it, in these cases:
//!
//! * single: `echo-text-20`
//! * many: `echo-text-20-pipelined-32`
//! * group: `prepared-20-to-100`
//! * loop: `loop-echo-text-20`
//!
//! | fast path | equals | shown by | case | without | with |
//! |---|---|---|---|--:|--:|
//! | `receive_single` | `receive` | `receiving_*` | single | 600 | 356 |
//! | `receive_run` | `receive`, repeatedly | `receiving_*` | many | 418 | 176 |
//! | `send_short` | `send_whole` in `send` | `sending_*` | many | 288 | 176 |
//! | `append_small` | `Frame::copy_or_share` in `prepared` | `sending_*` | group | 228 | 195 |
//! | `simple_output` | `output` | `sending_*` | loop | 1,477 | 1,195 |
//! | `simple_output_sent` | `sent` | `sending_*` | loop | as above | |

use super::byte_queue::ByteQueue;
use super::message::Message;
use super::outbox::Outbox;
use super::shared::Shared;
use super::{Connection, Modes, State};
use crate::protocol::time::Tick;
use crate::protocol::wire::fast::{BLOCKS, WORD, apply_mask_in_blocks, apply_mask_moving, short_text};
use crate::protocol::wire::utf8::InvalidUtf8;
use crate::protocol::wire::{Header, Input, MAX_CONTROL_PAYLOAD, Opcode, ProtocolError, Role, utf8};

/// The first byte of a whole, uncompressed message: FIN and its opcode.
const TEXT: u8 = 0x80 | Opcode::Text as u8;
const BINARY: u8 = 0x80 | Opcode::Binary as u8;

/// Bytes of a short frame's header, with a masking key and without.
const MASKED: usize = 6;
const UNMASKED: usize = 2;

/// The longest payload of a short frame.
const MAX_SHORT: usize = MAX_CONTROL_PAYLOAD;

/// Bytes that a short message may take in a read buffer, in whole blocks, and a word more.
const ROOM: usize = MASKED + BLOCKS + WORD;

impl Modes {
    /// A run needs the plain path: its messages are traced, handed out in pieces or held.
    const NO_RUN: Modes = Modes(Modes::TRACED.0 | Modes::PIECES.0 | Modes::PAUSED.0);
    /// A single message needs the plain path: the same, or it is not masked or not handed out.
    const NO_FAST_RECEIVE: Modes = Modes(Modes::NO_RUN.0 | Modes::CLIENT.0 | Modes::NOT_OPEN.0);
    /// A short message that is sent needs the plain path: it is traced, masked or refused.
    const NO_FAST_SEND: Modes = Modes(Modes::TRACED.0 | Modes::SENDING.0 | Modes::CLIENT.0 | Modes::NOT_OPEN.0);
    /// The driver must not read now: the connection is not open, is paused, or holds bytes.
    const NO_FAST_READ: Modes = Modes(Modes::NOT_OPEN.0 | Modes::PAUSED.0 | Modes::HOLDS.0);
}

// ---- receiving ----------------------------------------------------------------------------------

impl<X: Default> Connection<X> {
    /// Receives a short message that is all that was read: whole, in one frame, in the first
    /// `count` bytes of the read buffer, where it stays.
    ///
    /// Equals [`receive`](Self::receive). It returns `None` if there is anything else, and then
    /// nothing has changed, with one exception: a text that is not UTF-8 has failed the connection,
    /// and `receive` will drop the bytes. The bytes behind the first `count` are not kept.
    ///
    /// Nothing is allocated, so the budget has nothing to count, and the state stays the same, so
    /// the driver has nothing to settle.
    #[inline(always)]
    pub fn receive_single<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        buffer: &'b mut [u8],
        count: usize,
    ) -> Option<Message<'b>> {
        match self.unmask_single(shared, now, buffer, count)? {
            Ok(message) => Some(message),
            Err(InvalidUtf8) => {
                self.fail(shared, now, ProtocolError::InvalidUtf8);
                None
            }
        }
    }

    #[inline(always)]
    fn unmask_single<'b>(
        &mut self,
        shared: &Shared,
        now: Tick,
        buffer: &'b mut [u8],
        count: usize,
    ) -> Option<Result<Message<'b>, InvalidUtf8>> {
        let [first, second, a, b, c, d, payload @ ..] = buffer.first_chunk_mut::<ROOM>()?;
        let length = count.wrapping_sub(MASKED);
        let is_short = (length <= MAX_SHORT) & (length <= shared.limits.max_message);
        let is_alone = is_short & (usize::from(*second) == count.wrapping_add(0x80 - MASKED));
        let is_message = (*first == TEXT) | (*first == BINARY);
        let is_expected = !self.modes.has(Modes::NO_FAST_RECEIVE) & self.inbox.is_none();
        if !(is_alone & is_message & is_expected) {
            return None;
        }
        self.heard(now);
        apply_mask_in_blocks([*a, *b, *c, *d], payload.first_chunk_mut()?, length);
        Some(match *first {
            TEXT => short_text(payload, length).map(Message::Text),
            _ => Ok(Message::Binary(&payload[..length])),
        })
    }

    /// Receives the short messages of one kind that come next in `input`, at most `most` of them:
    /// each whole in one frame, and this frame whole in `input`. Returns `None` if something else
    /// comes next.
    ///
    /// Equals as many calls of [`receive`](Self::receive), if the driver handles all messages of
    /// the run and calls [`finish_run`](Self::finish_run) before it does anything else.
    ///
    /// ```text
    ///  read buffer   [hdr key abc][hdr key defg][hdr key hi]    frames, one after the other
    ///  a run         abcdefghi            3 4 2                 payloads moved together, and lengths
    /// ```
    ///
    /// Text is validated once for the whole run: a call of the validator costs 65 instructions for
    /// 20 bytes, the bytes themselves 3. Nothing is allocated, so the budget has nothing to count.
    #[inline]
    pub fn receive_run<'b>(
        &mut self,
        shared: &Shared,
        now: Tick,
        input: &mut Input<'b>,
        most: usize,
    ) -> Option<Run<'b>> {
        if self.state() != State::Open || self.inbox.is_some() || self.modes.has(Modes::NO_RUN) {
            return None;
        }
        // What does not even begin like a short frame has not to pay for the rest.
        let is_short = input.peek().get(1).is_some_and(|second| usize::from(second & 0x7f) <= MAX_SHORT);
        if is_short { self.gather_run(shared, now, input, most) } else { None }
    }

    #[inline(never)]
    fn gather_run<'b>(&mut self, shared: &Shared, now: Tick, input: &mut Input<'b>, most: usize) -> Option<Run<'b>> {
        let limit = MAX_SHORT.min(shared.limits.max_message);
        let mut lengths = [0; LONGEST_RUN];
        let places = &mut lengths[..most.min(LONGEST_RUN)];
        let Region { count, end, taken, first } = match self.role() {
            Role::Server => gather::<MASKED>(input.peek_mut(), limit, places),
            Role::Client => gather::<UNMASKED>(input.peek_mut(), limit, places),
        };
        if count == 0 {
            return None;
        }
        self.heard(now);
        let payloads = &input.take(taken)[..end];
        let rest = match first {
            TEXT => Message::Text(utf8::whole(payloads).unwrap_or_else(|_| valid_part(payloads))),
            _ => Message::Binary(payloads),
        };
        Some(Run { rest, lengths, next: 0, count })
    }

    /// Fails the connection if the message behind the last one of a run is text that is not UTF-8.
    /// If the connection has been paused since, it fails later.
    #[inline]
    pub fn finish_run(&mut self, shared: &mut Shared, now: Tick, run: &Run<'_>) {
        if run.ends_badly() {
            self.fail_run(shared, now);
        }
    }

    #[cold]
    fn fail_run(&mut self, shared: &mut Shared, now: Tick) {
        match self.state() {
            // No text can begin with this byte.
            State::Open if self.is_paused() => self.hold_short(shared, now, Opcode::Text, b"\xff"),
            State::Open | State::Closing => self.fail(shared, now, ProtocolError::InvalidUtf8),
            State::Handshaking
            | State::Deciding
            | State::Draining
            | State::Flushing
            | State::Responding
            | State::Closed => {}
        }
    }

    /// Holds a message of a run, because the application has paused the connection since.
    #[cold]
    pub fn hold_message(&mut self, shared: &mut Shared, now: Tick, message: Message<'_>) {
        self.hold_short(shared, now, message.opcode(), message.as_bytes());
    }

    /// Holds a short frame. The key 0 masks nothing.
    fn hold_short(&mut self, shared: &mut Shared, now: Tick, opcode: Opcode, payload: &[u8]) {
        let (mask, key): (u8, &[u8]) = match self.role() {
            Role::Server => (0x80, &[0; 4]),
            Role::Client => (0, &[]),
        };
        let head = [0x80 | opcode as u8, mask | payload.len() as u8];
        [&head, key, payload].into_iter().for_each(|part| self.hold(shared, now, part));
    }

    /// Whether the driver may read the connection on its fast path, as far as the connection
    /// knows.
    #[inline]
    pub const fn may_be_read_fast(&self) -> bool {
        !self.modes.has(Modes::NO_FAST_READ)
    }

    /// Whether the driver may still hand out the messages of a run whole. If not, the connection
    /// has closed, has been paused, or wants pieces since.
    #[inline]
    pub fn takes_messages(&self) -> bool {
        self.state() == State::Open && !self.modes.takes_pieces() && !self.is_paused()
    }
}

/// The most messages in a run.
pub const LONGEST_RUN: usize = 32;

/// Short messages of one kind, one after the other: an iterator.
///
/// If it [ends badly](Self::ends_badly), the message behind the last one is not UTF-8.
#[derive(Debug)]
pub struct Run<'b> {
    rest: Message<'b>,
    lengths: [u8; LONGEST_RUN],
    next: usize,
    count: usize,
}

impl Run<'_> {
    /// The opcode of its messages.
    pub(crate) const fn opcode(&self) -> Opcode {
        self.rest.opcode()
    }

    /// Whether the iterator has ended before its last message, which is not UTF-8.
    pub const fn ends_badly(&self) -> bool {
        self.next < self.count
    }
}

impl<'b> Iterator for Run<'b> {
    type Item = Message<'b>;

    /// The messages were validated together. Each is text if the cuts before and behind it lie
    /// between two characters.
    #[inline]
    fn next(&mut self) -> Option<Message<'b>> {
        let length = usize::from(*self.lengths[..self.count].get(self.next)?);
        let (message, rest) = match self.rest {
            Message::Text(text) => {
                let (message, rest) = text.split_at_checked(length)?;
                (Message::Text(message), Message::Text(rest))
            }
            Message::Binary(bytes) => {
                let (message, rest) = bytes.split_at_checked(length)?;
                (Message::Binary(message), Message::Binary(rest))
            }
        };
        self.rest = rest;
        self.next += 1;
        Some(message)
    }
}

/// The text at the start of bytes that are not all UTF-8.
#[cold]
fn valid_part(bytes: &[u8]) -> &str {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    utf8::whole(&bytes[..valid]).unwrap_or_default()
}

/// The payloads of a run, which lie together in front of the read buffer.
struct Region {
    /// How many there are.
    count: usize,
    /// Bytes of the payloads.
    end: usize,
    /// Bytes of the frames.
    taken: usize,
    /// The first byte of each frame.
    first: u8,
}

/// Unmasks the payloads of frames with headers of `HEADER` bytes and moves them together.
#[inline]
fn gather<const HEADER: usize>(bytes: &mut [u8], limit: usize, lengths: &mut [u8]) -> Region {
    let first = bytes.first().copied().unwrap_or_default();
    let (mut count, mut end, mut taken) = (0, 0, 0);
    if first != TEXT && first != BINARY {
        return Region { count, end, taken, first };
    }
    for place in lengths {
        let Some(header) = bytes[taken..].first_chunk::<HEADER>() else { break };
        let length = usize::from(header[1] & 0x7f);
        let is_masked = header[1] & 0x80 != 0;
        let next = taken + HEADER + length;
        if header[0] != first || is_masked != (HEADER == MASKED) || length > limit || next > bytes.len() {
            break;
        }
        let key = if HEADER == MASKED { [header[2], header[3], header[4], header[5]] } else { [0; 4] };
        apply_mask_moving(key, &mut bytes[end..], taken + HEADER - end, length);
        *place = length as u8;
        (count, end, taken) = (count + 1, end + length, next);
    }
    Region { count, end, taken, first }
}

// ---- sending ------------------------------------------------------------------------------------

impl<X: Default> Connection<X> {
    /// Whether [`send_short`](Self::send_short) can send this message.
    #[inline(always)]
    pub fn can_send_short(&self, shared: &Shared, message: Message<'_>) -> bool {
        let length = message.as_bytes().len();
        let is_short = (length <= MAX_SHORT) & (length <= shared.limits.max_unsent);
        let may_be_sent = !self.modes.has(Modes::NO_FAST_SEND);
        is_short & may_be_sent && (!self.modes.is_compressed() || !shared.compression.is_worth(length))
    }

    /// Queues a message for which [`can_send_short`](Self::can_send_short) has returned `true`.
    ///
    /// Equals the rest of [`send`](Self::send). It returns `false` if memory would have to be
    /// allocated, or if too many bytes would wait.
    ///
    /// Nothing is allocated, so the budget has nothing to count. The frame is written over old
    /// contents of the outbox's buffer: pipelined, a `send` takes 74 instructions with its copy,
    /// and 140 with `Vec::extend_from_slice`, which checks for room three times in one short frame.
    #[inline(always)]
    pub fn send_short(&mut self, shared: &mut Shared, message: Message<'_>) -> bool {
        let length = message.as_bytes().len();
        match &mut self.outbox {
            Some(outbox) if outbox.len() + length > shared.limits.max_unsent => false,
            Some(outbox) => {
                outbox.own.overwrite(SHORT_HEADER + length).is_some_and(|place| fill(place, shared, message))
            }
            None => {
                let Some(outbox) = shared.pools.outboxes.take() else { return false };
                let place = self.outbox.insert(outbox).own.overwrite(SHORT_HEADER + length);
                place.is_some_and(|place| fill(place, shared, message))
            }
        }
    }

    /// Returns all unsent bytes, if they lie in one piece, are no more than `most`, and nothing
    /// follows from their being sent. If the peer takes them all,
    /// [`simple_output_sent`](Self::simple_output_sent) is next, and [`sent`](Self::sent) if not.
    ///
    /// Equals [`output`](Self::output).
    #[inline]
    pub fn simple_output(&self, most: usize) -> Option<&[u8]> {
        let output = self.outbox.as_ref().and_then(|outbox| outbox.simple(most))?;
        (self.state() == State::Open && self.inbox.is_none()).then_some(output)
    }

    /// The peer has taken the whole [`simple_output`](Self::simple_output).
    ///
    /// Equals [`sent`](Self::sent) with its length: the connection is open, so no state follows.
    #[inline(always)]
    pub fn simple_output_sent(&mut self, shared: &mut Shared) {
        if let Some(outbox) = self.outbox.take() {
            shared.give_outbox(outbox);
        }
    }
}

/// Bytes of a short frame's header.
const SHORT_HEADER: usize = 2;

/// Puts a short message with its header into its place.
#[inline(always)]
fn fill(place: &mut [u8], shared: &mut Shared, message: Message<'_>) -> bool {
    let payload = message.as_bytes();
    shared.counters.sent.add(message.opcode(), payload.len());
    [place[0], place[1]] = Header::short(message.opcode(), payload.len());
    place[SHORT_HEADER..].copy_from_slice(payload);
    true
}

/// Appends an encoded frame over old contents of the outbox's buffer. Returns `false` if memory
/// would have to be allocated, or is short: then `Frame::copy_or_share` may share the frame.
///
/// Equals the copy in `Frame::copy_or_share`. The budget has nothing to count.
#[inline]
pub(super) fn append_small(outbox: &mut Option<Box<Outbox>>, shared: &mut Shared, frame: &[u8]) -> bool {
    if shared.is_near_budget() {
        return false;
    }
    if outbox.is_none() {
        *outbox = shared.pools.outboxes.take();
    }
    let place = outbox.as_mut().and_then(|outbox| outbox.own.overwrite(frame.len()));
    place.map(|place| place.copy_from_slice(frame)).is_some()
}

impl Outbox {
    /// All unsent bytes, if they lie in one piece, are no more than `most`, and there are some.
    #[inline]
    fn simple(&self, most: usize) -> Option<&[u8]> {
        let own = self.own.as_slice();
        (!self.has_shared_frames() && !own.is_empty() && own.len() <= most).then_some(own)
    }
}

impl ByteQueue {
    /// Makes room for `count` bytes at the end over old contents, if the buffer has them. The
    /// caller has to fill it.
    #[inline(always)]
    pub(super) fn overwrite(&mut self, count: usize) -> Option<&mut [u8]> {
        let end = self.end.wrapping_add(count);
        let place = self.bytes.get_mut(self.end..end)?;
        self.end = end;
        Some(place)
    }
}
