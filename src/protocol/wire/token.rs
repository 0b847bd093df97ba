//! Tokens of HTTP (RFC 9110 §5.6.2).

/// Returns whether the text is a token.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// Returns whether a token may contain this byte.
pub(crate) const fn is_tchar(byte: u8) -> bool {
    TCHARS[byte as usize]
}

/// For each byte, whether a token may contain it. A search costs four times as much.
static TCHARS: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let (marks, mut place) = (b"!#$%&'*+-.^_`|~", 0);
    while place < marks.len() {
        table[marks[place] as usize] = true;
        place += 1;
    }
    table
};
