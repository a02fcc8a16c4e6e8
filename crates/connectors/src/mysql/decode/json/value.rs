//! The parts of a binary JSON document.

/// Type bytes.
pub(super) mod ty {
    pub const SMALL_OBJECT: u8 = 0;
    pub const LARGE_OBJECT: u8 = 1;
    pub const SMALL_ARRAY: u8 = 2;
    pub const LARGE_ARRAY: u8 = 3;
    pub const LITERAL: u8 = 4;
    pub const INT16: u8 = 5;
    pub const UINT16: u8 = 6;
    pub const INT32: u8 = 7;
    pub const UINT32: u8 = 8;
    pub const INT64: u8 = 9;
    pub const UINT64: u8 = 10;
    pub const DOUBLE: u8 = 11;
    pub const STRING: u8 = 12;
    pub const OPAQUE: u8 = 15;
}

/// A value as it stands in a document: its type, and bytes that begin with it (and may go on behind it).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Raw<'a> {
    pub ty: u8,
    pub data: &'a [u8],
}

/// What a value is.
pub(super) enum Parsed<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(&'a [u8]),
    /// A value of another SQL type: its column type and bytes.
    Opaque(u8, &'a [u8]),
    Array(Container<'a>),
    Object(Container<'a>),
}

/// An array or object: counts and offsets in 2 bytes, in large ones 4.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    data: &'a [u8],
    pub count: usize,
    wide: bool,
    object: bool,
}

fn short() -> String {
    "the JSON document ends early".into()
}

impl<'a> Raw<'a> {
    pub fn parse(self) -> Result<Parsed<'a>, String> {
        let data = self.data;
        Ok(match self.ty {
            ty::SMALL_OBJECT => Parsed::Object(Container::parse(data, false, true)?),
            ty::LARGE_OBJECT => Parsed::Object(Container::parse(data, true, true)?),
            ty::SMALL_ARRAY => Parsed::Array(Container::parse(data, false, false)?),
            ty::LARGE_ARRAY => Parsed::Array(Container::parse(data, true, false)?),
            ty::LITERAL => match data.first() {
                Some(0) => Parsed::Null,
                Some(1) => Parsed::Bool(true),
                Some(2) => Parsed::Bool(false),
                other => return Err(format!("the JSON document has the literal {other:?}")),
            },
            ty::INT16 => Parsed::Int(i64::from(i16::from_le_bytes(head(data)?))),
            ty::UINT16 => Parsed::Uint(u64::from(u16::from_le_bytes(head(data)?))),
            ty::INT32 => Parsed::Int(i64::from(i32::from_le_bytes(head(data)?))),
            ty::UINT32 => Parsed::Uint(u64::from(u32::from_le_bytes(head(data)?))),
            ty::INT64 => Parsed::Int(i64::from_le_bytes(head(data)?)),
            ty::UINT64 => Parsed::Uint(u64::from_le_bytes(head(data)?)),
            ty::DOUBLE => Parsed::Double(f64::from_le_bytes(head(data)?)),
            ty::STRING => Parsed::String(variable(data)?),
            ty::OPAQUE => {
                let (column_type, rest) = data.split_first().ok_or_else(short)?;
                Parsed::Opaque(*column_type, variable(rest)?)
            }
            other => return Err(format!("the JSON document has a value of type {other}")),
        })
    }
}

fn head<const N: usize>(data: &[u8]) -> Result<[u8; N], String> {
    data.first_chunk::<N>().copied().ok_or_else(short)
}

/// Bytes behind their length in groups of seven bits, the lowest first.
fn variable(data: &[u8]) -> Result<&[u8], String> {
    let mut length = 0u64;
    for (at, byte) in data.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let end = usize::try_from(length).ok().and_then(|length| length.checked_add(at + 1));
            return end.and_then(|end| data.get(at + 1..end)).ok_or_else(short);
        }
    }
    Err(short())
}

impl<'a> Container<'a> {
    fn parse(data: &'a [u8], wide: bool, object: bool) -> Result<Self, String> {
        let offset = if wide { 4 } else { 2 };
        let number = |at: usize| -> Result<usize, String> { uint(data, at, wide) };
        let (count, size) = (number(0)?, number(offset)?);
        let data = data.get(..size).ok_or_else(short)?;
        let container = Self { data, count, wide, object };
        // The entries of all values must be there: a count beyond the bytes is refused before it is counted to.
        match container.values_at().checked_add(count.checked_mul(container.value_entry()).ok_or_else(short)?)
        {
            Some(end) if end <= size => Ok(container),
            _ => Err(short()),
        }
    }

    fn offset_size(&self) -> usize {
        if self.wide { 4 } else { 2 }
    }

    fn value_entry(&self) -> usize {
        1 + self.offset_size()
    }

    fn values_at(&self) -> usize {
        let keys = if self.object { self.count.saturating_mul(self.offset_size() + 2) } else { 0 };
        keys.saturating_add(2 * self.offset_size())
    }

    /// The key of an object's member.
    pub fn key(&self, index: usize) -> Result<&'a [u8], String> {
        let at = 2 * self.offset_size() + index * (self.offset_size() + 2);
        let start = uint(self.data, at, self.wide)?;
        let length = uint(self.data, at + self.offset_size(), false)?;
        start.checked_add(length).and_then(|end| self.data.get(start..end)).ok_or_else(short)
    }

    /// The value of an element or member. Small values stand in the entry itself.
    pub fn value(&self, index: usize) -> Result<Raw<'a>, String> {
        let at = self.values_at() + index * self.value_entry();
        let ty = *self.data.get(at).ok_or_else(short)?;
        let inlined = match ty {
            ty::LITERAL | ty::INT16 | ty::UINT16 => true,
            ty::INT32 | ty::UINT32 => self.wide,
            _ => false,
        };
        let data = match inlined {
            true => self.data.get(at + 1..at + self.value_entry()),
            false => self.data.get(uint(self.data, at + 1, self.wide)?..),
        };
        Ok(Raw { ty, data: data.ok_or_else(short)? })
    }
}

fn uint(data: &[u8], at: usize, wide: bool) -> Result<usize, String> {
    let rest = data.get(at..).ok_or_else(short)?;
    Ok(match wide {
        true => u32::from_le_bytes(head(rest)?) as usize,
        false => usize::from(u16::from_le_bytes(head(rest)?)),
    })
}
