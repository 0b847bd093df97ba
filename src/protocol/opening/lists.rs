//! Limits the lists in a head, so that none can cost much more than a plain head.

/// The limit on the elements of a list in a head: subprotocols, extensions with their parameters,
/// tokens of `Connection` and `Upgrade`, addresses of `X-Forwarded-For`, and elements of
/// `Forwarded` with their parameters. All lines of a header count together. Empty elements count.
pub const MAX_ELEMENTS: usize = 64;

/// The limit on the cookies in a head.
pub const MAX_COOKIES: usize = 256;

/// A list in a head.
struct List {
    name: &'static str,
    limit: usize,
    /// The bytes that separate elements. Inside quotation marks they count as well.
    separators: [u8; 2],
    excess: &'static str,
}

impl List {
    const fn new(name: &'static str, excess: &'static str) -> List {
        List { name, limit: MAX_ELEMENTS, separators: *b",;", excess }
    }
}

const LISTS: [List; 7] = [
    List::new("connection", "Connection has more than 64 elements"),
    List::new("upgrade", "Upgrade has more than 64 elements"),
    List::new("sec-websocket-protocol", "Sec-WebSocket-Protocol has more than 64 elements"),
    List::new("sec-websocket-extensions", "Sec-WebSocket-Extensions has more than 64 elements and parameters"),
    List::new("x-forwarded-for", "X-Forwarded-For has more than 64 elements"),
    List::new("forwarded", "Forwarded has more than 64 elements and parameters"),
    List { name: "cookie", limit: MAX_COOKIES, separators: *b";;", excess: "Cookie has more than 256 cookies" },
];

/// Checks that no list has too many elements.
///
/// # Errors
///
/// A sentence that names the header and the limit.
pub(super) fn check_lists(headers: &[httparse::Header<'_>]) -> Result<(), &'static str> {
    let mut elements = [0; LISTS.len()];
    for header in headers {
        let place = LISTS.iter().position(|list| header.name.eq_ignore_ascii_case(list.name));
        let Some((list, elements)) = place.map(|place| (&LISTS[place], &mut elements[place])) else { continue };
        *elements += 1 + count(header.value, list.separators);
        if *elements > list.limit {
            return Err(list.excess);
        }
    }
    Ok(())
}

/// Counts the bytes that separate elements. The sums of chunks fit into bytes, which makes them
/// sums of vectors.
fn count(value: &[u8], [first, second]: [u8; 2]) -> usize {
    let sum = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(*byte == first || *byte == second)).sum::<u8>();
    value.chunks(128).map(|chunk| usize::from(sum(chunk))).sum()
}
