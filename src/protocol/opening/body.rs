//! The body of a request (RFC 9112 §6, §7.1): where it ends, and its bytes.
//!
//! If there is any doubt where a body ends, the request is refused and the connection closes.
//! Otherwise, bytes that one server takes for a body could be a request for another one (request
//! smuggling, RFC 9112 §11.2). So this is stricter than the RFC: one `Content-Length` or exactly
//! `Transfer-Encoding: chunked`, and never both.

use super::rejection::Rejection;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    #[default]
    None,
    /// The body has this many bytes. Not 0.
    Length(u64),
    /// The body comes in chunks, the last of which is empty.
    Chunked,
}

impl Framing {
    /// Decides from the values of `Transfer-Encoding` and `Content-Length`.
    ///
    /// # Errors
    ///
    /// [`Rejection::BadRequest`] if the values are malformed, or leave any doubt.
    pub(super) fn of<'v>(
        mut codings: impl Iterator<Item = &'v [u8]>,
        mut lengths: impl Iterator<Item = &'v [u8]>,
        is_http_1_1: bool,
    ) -> Result<Framing, Rejection> {
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Framing::None),
            (Some(_), Some(_)) => Err(Rejection::BadRequest("both Transfer-Encoding and Content-Length")),
            (Some(coding), None) => {
                let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                match is_chunked && codings.next().is_none() && is_http_1_1 {
                    true => Ok(Framing::Chunked),
                    false => Err(Rejection::BadRequest("the only Transfer-Encoding is chunked, of HTTP/1.1")),
                }
            }
            (None, Some(_)) if lengths.next().is_some() => Err(Rejection::BadRequest("more than one Content-Length")),
            (None, Some(length)) => {
                let text = std::str::from_utf8(length).ok();
                let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
                match digits.ok_or(Rejection::BadRequest("malformed Content-Length"))?.parse() {
                    Ok(0) => Ok(Framing::None),
                    Ok(length) => Ok(Framing::Length(length)),
                    Err(_) => Err(Rejection::BodyTooLarge),
                }
            }
        }
    }
}

/// The longest line with the size of a chunk, with its extensions, and the most bytes of all
/// trailers.
const LONGEST_LINE: usize = 256;
const MOST_TRAILERS: usize = 4 << 10;

/// A body that is arriving.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    next: Next,
    most: usize,
    /// The part of a line that has arrived.
    line: Vec<u8>,
    /// Bytes of trailers that have arrived.
    trailers: usize,
}

/// What comes next of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Bytes of the body. `chunked`: they are a chunk.
    Bytes { left: usize, chunked: bool },
    /// The line end behind a chunk.
    ChunkEnd,
    /// The line with the size of a chunk.
    Size,
    /// A trailer, or the empty line behind all of them.
    Trailer,
    /// Nothing.
    End,
}

impl Body {
    /// Begins a body of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// [`Rejection::BodyTooLarge`].
    pub(crate) fn new(framing: Framing, most: usize) -> Result<Body, Rejection> {
        let next = match framing {
            Framing::None => Next::End,
            Framing::Chunked if most > 0 => Next::Size,
            Framing::Length(length) => match usize::try_from(length) {
                Ok(left) if left <= most => Next::Bytes { left, chunked: false },
                Ok(_) | Err(_) => return Err(Rejection::BodyTooLarge),
            },
            Framing::Chunked => return Err(Rejection::BodyTooLarge),
        };
        Ok(Body { bytes: Vec::new(), next, most, line: Vec::new(), trailers: 0 })
    }

    /// Returns whether all of it has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.next == Next::End
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Body>() + self.bytes.capacity() + self.line.capacity()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Takes its next bytes from `input`. Returns how many: all, unless the body ends before.
    ///
    /// # Errors
    ///
    /// [`Rejection::BodyTooLarge`], or [`Rejection::BadRequest`] for malformed chunks.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<usize, Rejection> {
        let mut rest = input;
        while !rest.is_empty() && !self.is_complete() {
            let count = match self.next {
                Next::Bytes { left, chunked } => self.take_bytes(rest, left, chunked),
                Next::Size | Next::ChunkEnd | Next::Trailer => self.take_line(rest)?,
                Next::End => 0,
            };
            rest = &rest[count..];
        }
        Ok(input.len() - rest.len())
    }

    fn take_bytes(&mut self, rest: &[u8], left: usize, chunked: bool) -> usize {
        let count = left.min(rest.len());
        self.bytes.extend_from_slice(&rest[..count]);
        self.next = match (left - count, chunked) {
            (0, true) => Next::ChunkEnd,
            (0, false) => Next::End,
            (left, chunked) => Next::Bytes { left, chunked },
        };
        count
    }

    /// Takes the next part of a line, which must end with CR LF.
    fn take_line(&mut self, rest: &[u8]) -> Result<usize, Rejection> {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(rest.len(), |end| end + 1);
        self.line.extend_from_slice(&rest[..count]);
        if self.line.len() > LONGEST_LINE {
            return Err(Rejection::BadRequest("a line of a chunked body is too long"));
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r\n").ok_or(Rejection::BadRequest("a line must end with CR LF"))?;
            self.next = self.line_ends(line)?;
        }
        Ok(count)
    }

    /// Handles a complete line. Returns what comes next.
    fn line_ends(&mut self, line: &[u8]) -> Result<Next, Rejection> {
        match self.next {
            Next::Size => match chunk_size(line)? {
                0 => Ok(Next::Trailer),
                left if left > self.most - self.bytes.len() => Err(Rejection::BodyTooLarge),
                left => Ok(Next::Bytes { left, chunked: true }),
            },
            Next::ChunkEnd if line.is_empty() => Ok(Next::Size),
            Next::Trailer if line.is_empty() => Ok(Next::End),
            Next::Trailer => {
                self.trailers += line.len();
                match self.trailers > MOST_TRAILERS {
                    true => Err(Rejection::HeadTooLarge),
                    false => Ok(Next::Trailer),
                }
            }
            Next::ChunkEnd | Next::Bytes { .. } | Next::End => {
                Err(Rejection::BadRequest("a chunk is longer than its size"))
            }
        }
    }
}

/// Parses the line with a chunk's size: hexadecimal digits, and perhaps extensions, which are
/// ignored.
fn chunk_size(line: &[u8]) -> Result<usize, Rejection> {
    let malformed = Rejection::BadRequest("malformed size of a chunk");
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extensions = &line[digits..];
    let is_plain = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    if digits == 0 || digits > 15 || !matches!(extensions.first(), None | Some(b';')) {
        return Err(malformed);
    }
    if !extensions.iter().all(is_plain) {
        return Err(malformed);
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| malformed)?;
    usize::from_str_radix(text, 16).map_err(|_| Rejection::BodyTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(codings: &[&str], lengths: &[&str]) -> Result<Framing, Rejection> {
        Framing::of(codings.iter().map(|text| text.as_bytes()), lengths.iter().map(|text| text.as_bytes()), true)
    }

    #[test]
    fn any_doubt_about_the_end_of_a_body_is_an_error() {
        assert_eq!(framing(&[], &[]), Ok(Framing::None));
        assert_eq!(framing(&[], &["0"]), Ok(Framing::None));
        assert_eq!(framing(&[], &["17"]), Ok(Framing::Length(17)));
        assert_eq!(framing(&["Chunked"], &[]), Ok(Framing::Chunked));
        assert_eq!(framing(&[], &["99999999999999999999"]), Err(Rejection::BodyTooLarge));
        let doubtful: [(&[&str], &[&str]); 14] = [
            (&["chunked"], &["5"]),
            (&["chunked"], &["0"]),
            (&["chunked", "chunked"], &[]),
            (&["gzip, chunked"], &[]),
            (&["identity"], &[]),
            (&[""], &[]),
            (&["chunked\u{b}"], &[]),
            (&[], &["5", "5"]),
            (&[], &["5, 5"]),
            (&[], &["+5"]),
            (&[], &["-5"]),
            (&[], &[""]),
            (&[], &["0x5"]),
            (&[], &["5 "]),
        ];
        for (codings, lengths) in doubtful {
            assert!(framing(codings, lengths).is_err(), "{codings:?} {lengths:?}");
        }
        assert!(Framing::of([&b"chunked"[..]].into_iter(), std::iter::empty(), false).is_err(), "HTTP/1.0");
    }

    fn read(framing: Framing, most: usize, input: &[u8], step: usize) -> Result<(Vec<u8>, usize), Rejection> {
        let mut body = Body::new(framing, most)?;
        let mut taken = 0;
        while !body.is_complete() && taken < input.len() {
            let end = input.len().min(taken + step);
            taken += body.take(&input[taken..end])?;
        }
        Ok((body.into_bytes(), taken))
    }

    #[test]
    fn a_body_ends_where_it_says_however_it_is_cut() {
        let chunked =
            b"4\r\nWiki\r\n00000000006;a=\"b\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\nGET";
        for step in 1..chunked.len() {
            let expected = (b"Wikipedia in \r\n\r\nchunks.".to_vec(), chunked.len() - 3);
            assert_eq!(read(Framing::Chunked, 100, chunked, step), Ok(expected), "{step}");
            assert_eq!(read(Framing::Length(5), 100, b"helloGET", step), Ok((b"hello".to_vec(), 5)), "{step}");
        }
    }

    #[test]
    fn malformed_and_large_chunks_are_errors() {
        let long = [&b"5;"[..], &[b'x'; 300], b"\r\n"].concat();
        let trailers = [&b"0\r\n"[..], &b"a: bbbbbbbbbbbbbbbbbbbb\r\n".repeat(300)].concat();
        for bad in [
            &b"\r\n"[..],
            b"5\nhello",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b" 5\r\nhello",
            b"5 \r\nhello",
            b"0x5\r\nhello",
            b"-5\r\n",
            b"5\x00\r\n",
            b"fffffffffffffffff\r\n",
            b"ffffffffffffffff\r\n",
            b"65\r\n",
            b"0\r\nTrailer: x\n\r\n",
            &long,
            &trailers,
        ] {
            assert!(read(Framing::Chunked, 100, bad, 1).is_err(), "{:?}", String::from_utf8_lossy(bad));
            assert!(read(Framing::Chunked, 100, bad, 1_000).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(Body::new(Framing::Length(101), 100).err(), Some(Rejection::BodyTooLarge));
        assert_eq!(Body::new(Framing::Chunked, 0).err(), Some(Rejection::BodyTooLarge));
    }
}
