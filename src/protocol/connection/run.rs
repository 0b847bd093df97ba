//! Short messages, many at a time: what most of the bytes from most peers are.
//!
//! ```text
//!  read buffer   [hdr key abc][hdr key defg][hdr key hi]        frames, one after the other
//!  a run         abcdefghi            3 4 2                     payloads unmasked and moved together, lengths apart
//! ```
//!
//! Text is validated once for the whole run, since that costs next to nothing for each byte and
//! much for each call; a message is text if the cuts before and behind it lie between two
//! characters.

use super::message::Message;
use super::shared::Shared;
use super::{Connection, Modes, State};
use crate::protocol::time::Tick;
use crate::protocol::wire::utf8::InvalidUtf8;
use crate::protocol::wire::{Input, MAX_CONTROL_PAYLOAD, Opcode, Role, mask, utf8};

/// The first byte of a whole, uncompressed message: FIN and its opcode.
const TEXT: u8 = 0x80 | Opcode::Text as u8;
const BINARY: u8 = 0x80 | Opcode::Binary as u8;

/// Bytes of a short frame's header, with a masking key and without.
const MASKED: usize = 6;
const UNMASKED: usize = 2;

/// Bytes that a short message may take in a read buffer, in whole blocks, and a word more.
const ROOM: usize = MASKED + mask::BLOCKS + utf8::WORD;

/// How many messages there are in a run, at most.
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

impl<'b> Run<'b> {
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

impl<X: Default> Connection<X> {
    /// The short messages that come next in `input`, `most` of them at most: each whole in one
    /// frame, and this frame whole in `input`. `None`: something else comes next, which is for
    /// [`receive_other`](Self::receive_other).
    ///
    /// What this does, `receive_frame` does as well, among all the rest and at many times the
    /// price.
    #[inline]
    pub fn receive_run<'b>(
        &mut self,
        shared: &Shared,
        now: Tick,
        input: &mut Input<'b>,
        most: usize,
    ) -> Option<Run<'b>> {
        if self.state() != State::Open || self.inbox.is_some() || self.modes.has(Modes::WATCHED) {
            return None;
        }
        // What does not even begin like one, has not to pay for the rest.
        let is_short = input.peek().get(1).is_some_and(|second| usize::from(second & 0x7f) <= MAX_CONTROL_PAYLOAD);
        if is_short { self.gather_run(shared, now, input, most) } else { None }
    }

    #[inline(never)]
    fn gather_run<'b>(&mut self, shared: &Shared, now: Tick, input: &mut Input<'b>, most: usize) -> Option<Run<'b>> {
        let limit = MAX_CONTROL_PAYLOAD.min(shared.limits.max_message);
        let mut lengths = [0; LONGEST_RUN];
        let places = &mut lengths[..most.min(LONGEST_RUN)];
        let Region { count, start, end, taken, first } = match self.role() {
            Role::Server => gather::<MASKED>(input.peek_mut(), limit, places),
            Role::Client => gather::<UNMASKED>(input.peek_mut(), limit, places),
        };
        if count == 0 {
            return None;
        }
        self.heard(now);
        let payloads = &input.take(taken)[start..end];
        let rest = match first {
            TEXT => Message::Text(utf8::whole(payloads).unwrap_or_else(|_| utf8::valid_part(payloads))),
            _ => Message::Binary(payloads),
        };
        Some(Run { rest, lengths, next: 0, count })
    }

    /// A short message that is all that was read: whole, in one frame, in the first `count` bytes
    /// of the read buffer, where it stays. `None`: it is something else, and nothing has been
    /// changed. The bytes behind it are not kept.
    ///
    /// A [run](Self::receive_run) of one, at half the price: most reads from most peers bring one
    /// message.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`], for which [`receive_bad_text`](Self::receive_bad_text) is to be called.
    #[inline(always)]
    pub fn receive_only<'b>(
        &mut self,
        shared: &Shared,
        now: Tick,
        buffer: &'b mut [u8],
        count: usize,
    ) -> Option<Result<Message<'b>, InvalidUtf8>> {
        let [first, second, a, b, c, d, payload @ ..] = buffer.first_chunk_mut::<ROOM>()?;
        let length = count.wrapping_sub(MASKED);
        let is_short = (length <= MAX_CONTROL_PAYLOAD) & (length <= shared.limits.max_message);
        let is_alone = is_short & (usize::from(*second) == count.wrapping_add(0x80 - MASKED));
        let is_message = (*first == TEXT) | (*first == BINARY);
        let is_usual = !self.modes.has(Modes::RECEIVES_UNUSUALLY) & self.inbox.is_none();
        if !(is_alone & is_message & is_usual) {
            return None;
        }
        self.heard(now);
        mask::apply_in_blocks([*a, *b, *c, *d], payload.first_chunk_mut()?, length);
        Some(match *first {
            TEXT => utf8::whole_with_room(payload, length).map(Message::Text),
            _ => Ok(Message::Binary(&payload[..length])),
        })
    }

    /// Whether a short message is to be handed out like those before.
    #[inline]
    pub fn takes_messages(&self) -> bool {
        // The bit alone: to ask whether the part is used costs 7 instructions for each message of a
        // run.
        self.state() == State::Open && !self.modes.has(Modes::PIECES)
    }
}

/// Where the payloads of a run lie together.
struct Region {
    count: usize,
    start: usize,
    end: usize,
    /// Bytes of the frames.
    taken: usize,
    /// The first byte of each frame.
    first: u8,
}

/// How far the next word boundary is: `str::from_utf8`, which validates what is short, goes by
/// words.
#[inline(always)]
fn aligned(bytes: &[u8]) -> usize {
    bytes.as_ptr().align_offset(align_of::<u64>())
}

/// Unmasks the payloads of frames with headers of `HEADER` bytes and moves them together.
#[inline]
fn gather<const HEADER: usize>(bytes: &mut [u8], limit: usize, lengths: &mut [u8]) -> Region {
    let first = bytes.first().copied().unwrap_or_default();
    let start = aligned(bytes).min(HEADER);
    let (mut count, mut end, mut taken) = (0, start, 0);
    if first != TEXT && first != BINARY {
        return Region { count, start, end, taken, first };
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
        mask::apply_moving(key, &mut bytes[end..], taken + HEADER - end, length);
        *place = length as u8;
        (count, end, taken) = (count + 1, end + length, next);
    }
    Region { count, start, end, taken, first }
}
