//! Fields that are vectors of bytes, as byte strings of CBOR (RFC 8949 §3.1, major type 2), for the
//! attribute `with` of minicbor-derive.

use minicbor::data::Type;
use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};

/// The type of such a field.
pub trait Octets: Sized {
    /// Writes a byte string, or null.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>>;

    /// Reads the same.
    ///
    /// # Errors
    ///
    /// Something else is there.
    fn read(decoder: &mut Decoder<'_>) -> Result<Self, decode::Error>;
}

impl Octets for Vec<u8> {
    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        encoder.bytes(self).map(drop)
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, decode::Error> {
        decoder.bytes().map(<[u8]>::to_vec)
    }
}

impl Octets for Option<Vec<u8>> {
    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        match self {
            Some(bytes) => bytes.write(encoder),
            None => encoder.null().map(drop),
        }
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Option<Vec<u8>>, decode::Error> {
        if decoder.datatype()? == Type::Null {
            return decoder.null().map(|()| None);
        }
        Vec::read(decoder).map(Some)
    }
}

/// Writes a field.
///
/// # Errors
///
/// Those of the writer.
pub fn encode<C, T: Octets, W: Write>(
    field: &T,
    encoder: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), encode::Error<W::Error>> {
    field.write(encoder)
}

/// Reads a field.
///
/// # Errors
///
/// It is no byte string.
pub fn decode<C, T: Octets>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<T, decode::Error> {
    T::read(decoder)
}
