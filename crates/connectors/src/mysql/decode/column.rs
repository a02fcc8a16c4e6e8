//! One column: how long its stored value is, and which scalar it becomes.

use std::sync::Arc;

use openmessaging_connector::{Error, Result, Scalar, Visitor};

use super::charset::Charset;
use super::{decimal, json, temporal, uuid};
use crate::mysql::binlog::{ColumnType, column_type as code, inflate_column, malformed};
use crate::mysql::table::{Column, Kind};

/// Buffers for values that are not in the event as they are handed on; used again for every row.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: String,
    bytes: Vec<u8>,
    inflated: Vec<u8>,
}

/// Where a stored value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    Fixed(usize),
    /// So many bytes of length, little-endian, stand before the value.
    Prefixed(usize),
}

impl Storage {
    /// The value's bytes, where it begins at `at`; `None` where it goes beyond the data.
    #[inline]
    pub fn span(self, data: &[u8], at: usize) -> Option<(usize, usize)> {
        let (start, length) = match self {
            Self::Fixed(length) => (at, length),
            Self::Prefixed(1) => (at + 1, usize::from(*data.get(at)?)),
            Self::Prefixed(2) => (at + 2, usize::from(u16::from_le_bytes(*data.get(at..)?.first_chunk()?))),
            Self::Prefixed(width) => {
                let prefix = data.get(at..at.checked_add(width)?)?;
                (at + width, prefix.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte)))
            }
        };
        let end = start.checked_add(length)?;
        (end <= data.len()).then_some((start, end))
    }

    fn of(ty: ColumnType) -> Result<Self> {
        let meta = usize::from(ty.meta);
        let fraction = |whole: usize| match meta {
            0..=6 => Ok(Self::Fixed(whole + meta.div_ceil(2))),
            _ => Err(malformed(format!("table map event: {meta} fractional digits"))),
        };
        Ok(match ty.code {
            code::NULL => Self::Fixed(0),
            code::TINY | code::YEAR => Self::Fixed(1),
            code::SHORT => Self::Fixed(2),
            code::INT24 | code::DATE | code::NEWDATE | code::TIME => Self::Fixed(3),
            code::LONG | code::FLOAT | code::TIMESTAMP => Self::Fixed(4),
            code::LONGLONG | code::DOUBLE | code::DATETIME => Self::Fixed(8),
            code::TIME2 => fraction(3)?,
            code::TIMESTAMP2 => fraction(4)?,
            code::DATETIME2 => fraction(5)?,
            code::NEWDECIMAL => {
                let (precision, scale) = (u32::from(ty.meta & 0xff), u32::from(ty.meta >> 8));
                match decimal::stored_length(precision, scale) {
                    Some(length) => Self::Fixed(length),
                    None => {
                        return Err(malformed(format!("table map event: a decimal({precision},{scale})")));
                    }
                }
            }
            code::BIT => Self::Fixed(usize::from(ty.meta >> 8) + usize::from(ty.meta & 0xff != 0)),
            code::ENUM if matches!(meta, 1 | 2) => Self::Fixed(meta),
            code::SET if matches!(meta, 1..=8) => Self::Fixed(meta),
            code::STRING | code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED => {
                Self::Prefixed(if meta < 256 { 1 } else { 2 })
            }
            code::TINY_BLOB
            | code::MEDIUM_BLOB
            | code::LONG_BLOB
            | code::BLOB
            | code::BLOB_COMPRESSED
            | code::JSON
            | code::GEOMETRY
            | code::VECTOR
                if matches!(meta, 1..=4) =>
            {
                Self::Prefixed(meta)
            }
            other => {
                return Err(malformed(format!("table map event: column type {other} with metadata {meta}")));
            }
        })
    }
}

/// How the bytes of a column become a scalar.
#[derive(Debug)]
enum Decoder {
    Signed,
    Unsigned,
    BigUnsigned,
    Float,
    Double,
    Decimal { precision: u32, scale: u32 },
    Bool,
    Bytes,
    Padded(usize),
    Year,
    Temporal(temporal::Form),
    Text(Charset),
    Enum(Arc<[Arc<str>]>),
    Set(Arc<[Arc<str>]>),
    Json,
    Uuid,
    Inet(u8),
    Null,
}

#[derive(Debug)]
pub(super) struct ColumnPlan {
    pub storage: Storage,
    decoder: Decoder,
    /// MariaDB's `COMPRESSED`.
    compressed: bool,
}

impl ColumnPlan {
    /// The table map agrees with the table, or the plan would not be made.
    pub fn new(ty: ColumnType, column: &Column) -> Result<Self> {
        let mut storage = Storage::of(ty)?;
        let text = |charset: &str| match Charset::named(charset) {
            Some(charset) => Ok(Decoder::Text(charset)),
            None => Err(Error::fatal(
                "mysql.unknown_charset",
                format!("column {}: the character set {charset} is not known", column.name),
            )),
        };
        let decoder = match &column.kind {
            _ if ty.code == code::NULL => Decoder::Null,
            Kind::BigInt { unsigned: true } => Decoder::BigUnsigned,
            Kind::TinyInt { unsigned }
            | Kind::SmallInt { unsigned }
            | Kind::MediumInt { unsigned }
            | Kind::Int { unsigned }
            | Kind::BigInt { unsigned } => {
                if *unsigned {
                    Decoder::Unsigned
                } else {
                    Decoder::Signed
                }
            }
            Kind::Float => Decoder::Float,
            Kind::Double => Decoder::Double,
            Kind::Decimal { precision, scale } => Decoder::Decimal { precision: *precision, scale: *scale },
            Kind::Bit { length: 1 } => Decoder::Bool,
            Kind::Bit { .. } | Kind::Bytes { .. } | Kind::Geometry { .. } => Decoder::Bytes,
            Kind::Binary { length } => Decoder::Padded(*length as usize),
            Kind::Year => Decoder::Year,
            Kind::Date => Decoder::Temporal(temporal::Form::Date),
            Kind::Time { fsp } => Decoder::Temporal(temporal::Form::time(ty.code, *fsp)),
            Kind::DateTime { fsp } => Decoder::Temporal(temporal::Form::date_time(ty.code, *fsp)),
            Kind::Timestamp { fsp } => Decoder::Temporal(temporal::Form::timestamp(ty.code, *fsp)),
            Kind::Text { charset, .. } => text(charset)?,
            Kind::Enum { labels } => Decoder::Enum(labels.clone()),
            Kind::Set { labels } => Decoder::Set(labels.clone()),
            // MariaDB keeps JSON as text.
            Kind::Json if ty.code != code::JSON => text("utf8mb4")?,
            Kind::Json => Decoder::Json,
            Kind::Uuid => Decoder::Uuid,
            Kind::Inet { bytes } => Decoder::Inet(*bytes),
        };
        // MariaDB's old temporal formats keep fractions without telling how many digits.
        if let Decoder::Temporal(form) = &decoder
            && let Some(length) = form.stored_length()
        {
            storage = Storage::Fixed(length);
        }
        let compressed = matches!(ty.code, code::BLOB_COMPRESSED | code::VARCHAR_COMPRESSED);
        Ok(Self { storage, decoder, compressed })
    }

    /// MySQL's JSON, which alone can come as changes.
    pub fn is_binary_json(&self) -> bool {
        matches!(self.decoder, Decoder::Json)
    }

    /// Hands the value to the visitor, exactly one scalar.
    ///
    /// # Errors
    /// The bytes are no value of the type; the visitor got nothing.
    pub fn visit(
        &self,
        bytes: &[u8],
        scratch: &mut Scratch,
        visitor: &mut dyn Visitor,
    ) -> Result<(), String> {
        if !self.compressed {
            return self.decode(bytes, scratch, visitor);
        }
        let mut inflated = std::mem::take(&mut scratch.inflated);
        let result = match inflate_column(bytes, &mut inflated) {
            Ok(()) => self.decode(&inflated, scratch, visitor),
            Err(error) => Err(error.message),
        };
        // One large value does not keep its memory for ever.
        inflated.truncate(64 << 10);
        inflated.shrink_to(64 << 10);
        scratch.inflated = inflated;
        result
    }

    #[inline]
    fn decode(&self, bytes: &[u8], scratch: &mut Scratch, visitor: &mut dyn Visitor) -> Result<(), String> {
        match &self.decoder {
            Decoder::Signed => visitor.scalar(Scalar::I64(signed(bytes))),
            Decoder::Unsigned => visitor.scalar(Scalar::I64(unsigned(bytes) as i64)),
            Decoder::BigUnsigned => visitor.scalar(Scalar::U64(unsigned(bytes))),
            Decoder::Float => visitor.scalar(Scalar::F32(f32::from_le_bytes(fixed(bytes)?))),
            Decoder::Double => visitor.scalar(Scalar::F64(f64::from_le_bytes(fixed(bytes)?))),
            Decoder::Decimal { precision, scale } => {
                let mut buffer = decimal::Buffer::default();
                let text = decimal::text(bytes, *precision, *scale, &mut buffer).ok_or("it is no decimal")?;
                visitor.scalar(Scalar::Decimal(text));
            }
            Decoder::Bool => visitor.scalar(Scalar::Bool(bytes.last().is_some_and(|byte| byte & 1 == 1))),
            Decoder::Bytes => visitor.scalar(Scalar::Bytes(bytes)),
            Decoder::Padded(length) if bytes.len() < *length => {
                scratch.bytes.clear();
                scratch.bytes.extend_from_slice(bytes);
                scratch.bytes.resize(*length, 0);
                visitor.scalar(Scalar::Bytes(&scratch.bytes));
            }
            Decoder::Padded(_) => visitor.scalar(Scalar::Bytes(bytes)),
            Decoder::Year => visitor.scalar(Scalar::I64(match bytes.first() {
                None | Some(0) => 0,
                Some(year) => 1900 + i64::from(*year),
            })),
            Decoder::Temporal(form) => visitor.scalar(form.scalar(bytes).ok_or("it is too short")?),
            Decoder::Text(charset) => {
                visitor.scalar(Scalar::Str(charset.decode_in(bytes, &mut scratch.text)));
            }
            Decoder::Enum(labels) => visitor.scalar(enum_label(unsigned(bytes), labels)?),
            Decoder::Set(labels) => {
                visitor.scalar(Scalar::Str(set_labels(unsigned(bytes), labels, &mut scratch.text)?))
            }
            Decoder::Json => {
                scratch.bytes.clear();
                json::write_text(bytes, &mut scratch.bytes)?;
                let text = String::from_utf8_lossy(&scratch.bytes);
                visitor.scalar(Scalar::Str(&text));
            }
            Decoder::Uuid => {
                let text = uuid::mariadb_uuid_text(bytes).ok_or("it is no UUID")?;
                visitor.scalar(Scalar::Str(&text));
            }
            Decoder::Inet(width) => {
                let text = uuid::inet_text(bytes, *width).ok_or("it is no address")?;
                visitor.scalar(Scalar::Str(&text));
            }
            Decoder::Null => visitor.scalar(Scalar::Null),
        }
        Ok(())
    }
}

/// At most 8 bytes; the walk has cut exactly the type's.
#[inline]
fn unsigned(bytes: &[u8]) -> u64 {
    match bytes.len() {
        8.. => bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
        4 => bytes.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes))),
        _ => bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
    }
}

#[inline]
fn signed(bytes: &[u8]) -> i64 {
    // Moves the sign to the top and back: MEDIUMINT has its sign in bit 23.
    let unused = 64 - 8 * bytes.len().clamp(1, 8) as u32;
    (unsigned(bytes) << unused) as i64 >> unused
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.first_chunk::<N>().copied().ok_or_else(|| "it is too short".into())
}

/// Index 0 is the error value `''` of a failed insert, which is no label: null.
fn enum_label<'a>(index: u64, labels: &'a [Arc<str>]) -> Result<Scalar<'a>, String> {
    let Some(index) = index.checked_sub(1) else { return Ok(Scalar::Null) };
    match usize::try_from(index).ok().and_then(|index| labels.get(index)) {
        Some(label) => Ok(Scalar::Str(label)),
        None => Err(format!("it has no label number {}", index + 1)),
    }
}

fn set_labels<'a>(bits: u64, labels: &'a [Arc<str>], joined: &'a mut String) -> Result<&'a str, String> {
    let unknown = bits.checked_shr(labels.len() as u32).unwrap_or(0);
    if unknown != 0 {
        return Err(format!("the set {bits:#x} has members beyond its {} labels", labels.len()));
    }
    joined.clear();
    let mut chosen = (0..64).filter(|bit| bits >> bit & 1 == 1).filter_map(|bit| labels.get(bit));
    if let Some(first) = chosen.next() {
        joined.push_str(first);
    }
    for label in chosen {
        joined.push(',');
        joined.push_str(label);
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width_and_sign() {
        assert_eq!(signed(&[0xff]), -1);
        assert_eq!(signed(&(-70000i32).to_le_bytes()[..3]), -70000);
        assert_eq!(signed(&i64::MIN.to_le_bytes()), i64::MIN);
        assert_eq!(unsigned(&[0xff, 0xff, 0xff]), 16_777_215);
        assert_eq!(unsigned(&u64::MAX.to_le_bytes()), u64::MAX);
    }

    #[test]
    fn labels_may_hold_commas_and_quotes() {
        let labels: Vec<Arc<str>> = vec!["a,b".into(), "it's".into(), "".into()];
        assert_eq!(enum_label(0, &labels).unwrap(), Scalar::Null);
        assert_eq!(enum_label(1, &labels).unwrap(), Scalar::Str("a,b"));
        assert_eq!(enum_label(3, &labels).unwrap(), Scalar::Str(""));
        assert!(enum_label(4, &labels).is_err());
        let mut joined = String::from("left over");
        assert_eq!(set_labels(0, &labels, &mut joined).unwrap(), "");
        assert_eq!(set_labels(0b11, &labels, &mut joined).unwrap(), "a,b,it's");
        assert!(set_labels(0b1000, &labels, &mut joined).is_err());
    }

    #[test]
    fn lengths_never_leave_the_data() {
        assert_eq!(Storage::Prefixed(2).span(&[2, 0, 7, 8, 9], 0), Some((2, 4)));
        assert_eq!(Storage::Prefixed(2).span(&[9, 0, 7], 0), None);
        assert_eq!(Storage::Prefixed(4).span(&[255, 255, 255, 255], 0), None);
        assert_eq!(Storage::Prefixed(3).span(&[1, 0, 0, 5], 0), Some((3, 4)));
        assert_eq!(Storage::Fixed(4).span(&[0; 4], 1), None);
    }
}
