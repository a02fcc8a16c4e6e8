//! The primitive types of Kafka's protocol: big-endian numbers, strings and arrays with their lengths in front.
//!
//! Source: "Kafka protocol guide", *Protocol Primitive Types*. Every length that comes from outside is checked against the
//! bytes that are there before anything is allocated by it.

use openmessaging::{Error, Result, StatusCode};

/// Reads an answer from its front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn i8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.chunk()?))
    }

    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.i8()? != 0)
    }

    pub fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.chunk()?))
    }

    pub fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.chunk()?))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.chunk()?))
    }

    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.chunk()?))
    }

    /// A zigzag number of variable length, as in records.
    pub fn varint(&mut self) -> Result<i64> {
        let raw = self.unsigned_varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    pub fn unsigned_varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(truncated())
    }

    pub fn nullable_string(&mut self) -> Result<Option<&'a str>> {
        let length = self.i16()?;
        if length < 0 {
            return Ok(None);
        }
        let bytes = self.take(length as usize)?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| malformed("a text that is not UTF-8"))
    }

    /// A null counts as empty.
    pub fn string(&mut self) -> Result<&'a str> {
        Ok(self.nullable_string()?.unwrap_or_default())
    }

    /// A null counts as empty.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.i32()?;
        if length < 0 { Ok(&[]) } else { self.take(length as usize) }
    }

    /// How many elements follow; a null array has none. Each takes at least one byte.
    pub fn count(&mut self) -> Result<usize> {
        let count = self.i32()?.max(0) as usize;
        if count > self.rest.len() { Err(truncated()) } else { Ok(count) }
    }

    pub fn array<T>(&mut self, mut element: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.count()?;
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// As in messages of the newer, "flexible" kind: the length plus one, a number of variable length.
    pub fn compact_length(&mut self) -> Result<usize> {
        let length = self.unsigned_varint()?.saturating_sub(1) as usize;
        if length > self.rest.len() { Err(truncated()) } else { Ok(length) }
    }

    pub fn compact_string(&mut self) -> Result<&'a str> {
        let length = self.compact_length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| malformed("a text that is not UTF-8"))
    }

    /// The tagged fields that end each structure of a flexible message.
    pub fn tags(&mut self, mut field: impl FnMut(u64, &mut Reader<'a>) -> Result<()>) -> Result<()> {
        for _ in 0..self.unsigned_varint()? {
            let (tag, length) = (self.unsigned_varint()?, self.unsigned_varint()?);
            field(tag, &mut Reader::new(self.take(length as usize)?))?;
        }
        Ok(())
    }
}

fn truncated() -> Error {
    malformed("it ends too early")
}

/// What a server sent is not what Kafka's protocol says.
pub(super) fn malformed(what: &str) -> Error {
    let mut error =
        Error::new(StatusCode::ServerError, format!("the server's answer cannot be read: {what}"))
            .with_remedy("look whether the port is that of a Kafka broker");
    error.retriable = Some(false);
    error
}

/// Writes a request.
pub(super) trait Write {
    fn i8(&mut self, value: i8);
    fn i16(&mut self, value: i16);
    fn i32(&mut self, value: i32);
    fn i64(&mut self, value: i64);
    fn string(&mut self, value: &str);
    fn null_string(&mut self);
    fn bytes(&mut self, value: &[u8]);
    fn varint(&mut self, value: i64);
}

impl Write for Vec<u8> {
    fn i8(&mut self, value: i8) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn i16(&mut self, value: i16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    /// Names of topics, groups and settings are far shorter than the 32 KiB that fit.
    fn string(&mut self, value: &str) {
        let value = &value[..value.floor_char_boundary(i16::MAX as usize)];
        self.i16(value.len() as i16);
        self.extend_from_slice(value.as_bytes());
    }

    fn null_string(&mut self) {
        self.i16(-1);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.i32(value.len() as i32);
        self.extend_from_slice(value);
    }

    fn varint(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            self.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.push(rest as u8);
    }
}

/// How many bytes [`Write::varint`] takes.
pub(super) fn varint_size(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)) as u64;
    ((64 - raw.leading_zeros() as usize).max(1)).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_of_variable_length_come_back(value in any::<i64>()) {
            let mut bytes = Vec::new();
            bytes.varint(value);
            prop_assert_eq!(bytes.len(), varint_size(value));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint().expect("read"), value);
            prop_assert_eq!(reader.remaining(), 0);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut reader = Reader::new(&bytes);
            let _ = reader.array(|each| each.string().map(str::to_owned));
            let _ = reader.bytes();
            let _ = reader.compact_string();
            let _ = reader.tags(|_, _| Ok(()));
        }
    }

    #[test]
    fn lengths_are_checked_before_memory_is_taken() {
        let bytes = i32::MAX.to_be_bytes();
        assert!(Reader::new(&bytes).array(|each| each.i8()).is_err());
        assert!(Reader::new(&bytes).bytes().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).compact_length().is_err());
    }
}
