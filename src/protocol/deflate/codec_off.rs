//! Replaces `codec` in a build without the feature `deflate`. Such a build never agrees on
//! compression, so this code is never called.

use crate::protocol::wire::ProtocolError;

/// Whether messages can be compressed in this build.
pub(crate) const AVAILABLE: bool = false;

/// The size of the largest step of an [`Inflater`]'s output, in bytes.
pub const STEP: usize = 0;

/// A placeholder that decompresses nothing.
#[derive(Debug, Default)]
pub struct Inflater;

impl Inflater {
    /// The memory that an inflater takes, in bytes.
    pub const MEMORY: usize = 0;

    /// Creates an inflater that fails on every call.
    pub const fn new() -> Inflater {
        Inflater
    }

    /// Returns an error.
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

    /// Returns an error.
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

    /// Returns an error.
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

    /// Returns nothing.
    ///
    /// # Errors
    ///
    /// Never.
    #[cfg(feature = "handover")]
    pub(crate) const fn window(&mut self) -> Result<Vec<u8>, ProtocolError> {
        Ok(Vec::new())
    }

    /// Returns an error.
    ///
    /// # Errors
    ///
    /// Always.
    #[cfg(feature = "handover")]
    pub(crate) const fn remember(&mut self, _: &[u8]) -> Result<(), ProtocolError> {
        Err(ProtocolError::InvalidDeflate)
    }

    /// Does nothing.
    pub const fn forget(&mut self) {}
}

/// An error: compression would not make the message smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSmaller;

/// A placeholder that compresses nothing.
#[derive(Debug)]
pub struct Deflater;

impl Deflater {
    /// Returns the memory that a deflater takes, in bytes.
    pub const fn memory(_: u8) -> usize {
        0
    }

    /// Creates a deflater that fails on every call.
    pub const fn new(_: u8, _: u8) -> Deflater {
        Deflater
    }

    /// Returns an error.
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
