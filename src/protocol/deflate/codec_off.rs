//! Replaces `codec` in a build without the feature `deflate`. Compression is never agreed on there,
//! so nothing here is used.

use crate::protocol::wire::ProtocolError;

/// Whether messages can be compressed in this build.
pub(crate) const AVAILABLE: bool = false;

/// The most bytes that come out of an [`Inflater`] at a time.
pub const STEP: usize = 0;

/// Decompresses nothing.
#[derive(Debug, Default)]
pub struct Inflater;

impl Inflater {
    /// Bytes of memory that one takes.
    pub const MEMORY: usize = 0;

    /// One that is of no use.
    pub const fn new() -> Inflater {
        Inflater
    }

    /// Never succeeds.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn push(
        &mut self,
        _: &[u8],
        _: &mut [u8],
        _: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        Err(ProtocolError::InvalidDeflate)
    }

    /// Never succeeds.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn finish_and_forget(
        &mut self,
        _: &mut [u8],
        _: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        Err(ProtocolError::InvalidDeflate)
    }

    /// Never succeeds.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn finish_and_keep(
        &mut self,
        _: &mut [u8],
        _: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        Err(ProtocolError::InvalidDeflate)
    }

    /// Does nothing.
    pub const fn forget(&mut self) {}
}

/// A message would not have become smaller by compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSmaller;

/// Compresses nothing.
#[derive(Debug)]
pub struct Deflater;

impl Deflater {
    /// Bytes of memory that one takes.
    pub const fn memory(_: u8) -> usize {
        0
    }

    /// One that is of no use.
    pub const fn new(_: u8, _: u8) -> Deflater {
        Deflater
    }

    /// Never succeeds.
    ///
    /// # Errors
    ///
    /// Always.
    pub const fn compress_smaller(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), NotSmaller> {
        Err(NotSmaller)
    }

    /// Does nothing.
    pub const fn forget(&mut self) {}
}
