//! How a pointer of C becomes something safe. All functions refuse NULL.

use crate::abi::lariat_kind::{LARIAT_BINARY, LARIAT_TEXT};
use crate::abi::lariat_status::{LARIAT_NOT_UTF8, LARIAT_TOO_SMALL};
use crate::boundary::{Failure, Outcome};
use lariat::Message;
use std::ffi::{c_char, c_int, c_void};

/// A pointer of the host that Lariat never follows, and only hands back.
#[derive(Clone, Copy, Debug)]
pub struct User(pub *mut c_void);

impl Default for User {
    fn default() -> User {
        User(std::ptr::null_mut())
    }
}

// SAFETY: Lariat never follows it. Whether the host's function may follow it on the thread on which
// it is called is the host's concern, and the header says which thread that is.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

/// Returns the bytes at a pointer. NULL is allowed for none.
///
/// # Safety
///
/// Unless it is NULL, so many bytes can be read there, and do not change, as long as `'a` lasts.
pub unsafe fn bytes<'a>(data: *const c_char, length: usize, what: &str) -> Outcome<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if data.is_null() || length > isize::MAX as usize {
        return Err(Failure::invalid(format!("{what} is NULL, or its length is no length")));
    }
    // SAFETY: the pointer is not NULL and the length not beyond `isize::MAX`; the rest is promised
    // by the caller.
    Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) })
}

/// Returns the text at a pointer.
///
/// # Safety
///
/// As [`bytes`].
pub unsafe fn text<'a>(data: *const c_char, length: usize, what: &str) -> Outcome<&'a str> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { bytes(data, length, what)? };
    std::str::from_utf8(bytes).map_err(|error| Failure::new(LARIAT_NOT_UTF8, format!("{what} is not UTF-8: {error}")))
}

/// Returns the message at a pointer.
///
/// # Safety
///
/// As [`bytes`].
pub unsafe fn message<'a>(kind: c_int, data: *const c_char, length: usize) -> Outcome<Message<'a>> {
    if kind == LARIAT_TEXT as c_int {
        // SAFETY: promised by the caller.
        Ok(Message::Text(unsafe { text(data, length, "the message")? }))
    } else if kind == LARIAT_BINARY as c_int {
        // SAFETY: promised by the caller.
        Ok(Message::Binary(unsafe { bytes(data, length, "the message")? }))
    } else {
        Err(Failure::invalid(format!("the kind of a message is LARIAT_TEXT or LARIAT_BINARY, not {kind}")))
    }
}

/// Refuses NULL where a result is to be written.
pub fn check_out<T>(out: *mut T, what: &str) -> Outcome {
    if out.is_null() { Err(Failure::invalid(format!("{what} is NULL"))) } else { Ok(()) }
}

/// Writes a result, unless its place is NULL.
///
/// # Safety
///
/// Unless it is NULL, the place can be written.
pub unsafe fn write<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: it is not NULL, and the caller promises that it can be written.
        unsafe { out.write(value) };
    }
}

/// Copies a text into a buffer, with a NUL at its end, as much of it as fits.
///
/// # Safety
///
/// Unless it is NULL, so many bytes can be written at the buffer.
pub unsafe fn copy_text(from: &str, buffer: *mut c_char, size: usize) -> Outcome {
    check_out(buffer, "the buffer")?;
    let Some(most) = size.checked_sub(1) else { return Err(Failure::invalid("the buffer has no byte")) };
    let length = from.len().min(most);
    // SAFETY: `length` is less than the size of the buffer, which the caller promises can be
    // written, and no more than the length of the text. They cannot overlap: the text is ours.
    unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(from.as_ptr(), length) };
    // SAFETY: `length` is less than the size of the buffer.
    unsafe { buffer.wrapping_add(length).write(0) };
    match length < from.len() {
        true => Err(Failure::new(LARIAT_TOO_SMALL, format!("{size} bytes are too few for {} and a NUL", from.len()))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn null_is_refused_unless_nothing_is_there() {
        // SAFETY: NULL is allowed.
        assert!(unsafe { bytes(ptr::null(), 1, "it") }.is_err());
        // SAFETY: as above.
        assert!(unsafe { bytes(ptr::null(), 0, "it") }.is_ok_and(<[u8]>::is_empty));
        let byte = 1;
        // SAFETY: the length is refused before anything is read.
        assert!(unsafe { bytes(&raw const byte, usize::MAX, "it") }.is_err());
        // SAFETY: NULL is allowed.
        assert!(unsafe { copy_text("a", ptr::null_mut(), 5) }.is_err());
    }

    #[test]
    fn a_copied_text_ends_with_a_nul_and_stays_inside_its_buffer() {
        let mut buffer: [c_char; 5] = [7; 5];
        // SAFETY: the buffer is longer than said.
        assert!(unsafe { copy_text("abc", buffer.as_mut_ptr(), 4) }.is_ok());
        assert_eq!(buffer.map(|byte| byte as u8), *b"abc\0\x07");
        // SAFETY: as above.
        assert!(unsafe { copy_text("xyz", buffer.as_mut_ptr(), 3) }.is_err());
        assert_eq!(buffer.map(|byte| byte as u8), *b"xy\0\0\x07");
        // SAFETY: as above.
        assert!(unsafe { copy_text("", buffer.as_mut_ptr(), 0) }.is_err());
    }

    #[test]
    fn a_text_must_be_utf_8_and_a_kind_known() {
        let wrong = [b'a', 0xff];
        let at = wrong.as_ptr().cast();
        // SAFETY: the array has two bytes.
        assert!(unsafe { message(1, at, 2) }.is_err());
        // SAFETY: as above.
        assert_eq!(unsafe { message(2, at, 2) }.ok(), Some(Message::Binary(&wrong)));
        // SAFETY: as above.
        assert!(unsafe { message(3, at, 2) }.is_err());
    }
}
