//! Reads little-endian fields off the front of a slice. Every read is bounded by the slice.

use openmessaging_connector::{Error, Result};

use super::malformed;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// What is read, for errors: `table map`.
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[cold]
    pub fn short(&self) -> Error {
        malformed(format!("{}: the bytes end early", self.what))
    }

    #[cold]
    pub fn wrong(&self, problem: impl std::fmt::Display) -> Error {
        malformed(format!("{}: {problem}", self.what))
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else { return Err(self.short()) };
        self.rest = rest;
        Ok(taken)
    }

    /// `length` as it came off the wire, which may be beyond any slice.
    pub fn take_u64(&mut self, length: u64) -> Result<&'a [u8]> {
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.short()),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else { return Err(self.short()) };
        self.rest = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// An unsigned number of `width` bytes, at most 8.
    pub fn uint(&mut self, width: usize) -> Result<u64> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// A length-encoded integer of the MySQL protocol.
    pub fn lenenc(&mut self) -> Result<u64> {
        match self.u8()? {
            small @ 0..=250 => Ok(u64::from(small)),
            252 => Ok(u64::from(self.u16()?)),
            253 => self.uint(3),
            254 => self.u64(),
            mark => Err(self.wrong(format_args!("{mark:#x} does not begin a length"))),
        }
    }

    /// Bytes behind a length-encoded length.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.lenenc()?;
        self.take_u64(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_little_endian_and_length_encoded_numbers() {
        let mut cursor = Cursor::new(&[1, 2, 0, 250, 252, 1, 1, 253, 1, 0, 1, 3, b'a', b'b', b'c'], "test");
        assert_eq!(cursor.u8().unwrap(), 1);
        assert_eq!(cursor.u16().unwrap(), 2);
        assert_eq!(cursor.lenenc().unwrap(), 250);
        assert_eq!(cursor.lenenc().unwrap(), 257);
        assert_eq!(cursor.lenenc().unwrap(), 65537);
        assert_eq!(cursor.lenenc_bytes().unwrap(), b"abc");
        assert!(cursor.is_empty());
        assert!(cursor.u8().unwrap_err().to_string().contains("test: the bytes end early"));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_an_error() {
        let mut cursor = Cursor::new(&[254, 255, 255, 255, 255, 255, 255, 255, 255, 1], "test");
        assert!(cursor.lenenc_bytes().is_err());
        assert!(Cursor::new(&[255], "test").lenenc().is_err());
        assert!(Cursor::new(&[251], "test").lenenc().is_err());
    }
}
