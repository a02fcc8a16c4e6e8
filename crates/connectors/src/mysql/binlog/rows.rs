//! Rows events: the rows that one statement, or a part of one, wrote, updated or deleted in one table.

use std::borrow::Cow;

use openmessaging_connector::Result;

use super::{Cursor, FormatDescription, compressed, event_type};

/// Bits of a slice, the least significant bit of a byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bitmap<'a> {
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Bitmap<'a> {
    /// `None` where `bytes` has fewer than `length` bits.
    pub fn new(bytes: &'a [u8], length: usize) -> Option<Self> {
        let bytes = bytes.get(..length.div_ceil(8))?;
        Some(Self { bytes, length })
    }

    /// How many bits there are.
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether the bit at `index` is set; false beyond the end.
    pub fn get(&self, index: usize) -> bool {
        index < self.length && self.bytes[index / 8] >> (index % 8) & 1 == 1
    }

    /// How many bits are set.
    pub fn count(&self) -> usize {
        let (Some((last, whole)), used) = (self.bytes.split_last(), self.length % 8) else { return 0 };
        let last = if used == 0 { *last } else { last & ((1 << used) - 1) };
        whole.iter().map(|byte| byte.count_ones() as usize).sum::<usize>() + last.count_ones() as usize
    }

    pub fn all(&self) -> bool {
        self.count() == self.length
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    Write,
    Update,
    /// An update where JSON columns of the after image may hold only what changed
    /// (`binlog_row_value_options=PARTIAL_JSON`).
    PartialUpdate,
    Delete,
}

/// One rows event.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows<'a> {
    pub kind: RowsKind,
    /// Names the table map that came before, in the same transaction.
    pub table_id: u64,
    pub flags: u16,
    /// How many columns the table has.
    pub column_count: usize,
    /// Columns in the image before the change, or in the only image of an insert.
    pub columns: Bitmap<'a>,
    /// Columns in the image after the change of an update.
    pub columns_after: Option<Bitmap<'a>>,
    /// The row images, inflated where MariaDB's `log_bin_compress` had compressed them.
    pub data: Cow<'a, [u8]>,
}

impl<'a> Rows<'a> {
    const STATEMENT_END: u16 = 1;

    /// Whether this is the last event of its statement: every table id is forgotten after it.
    pub fn ends_statement(&self) -> bool {
        self.flags & Self::STATEMENT_END != 0
    }

    pub(super) fn parse(code: u8, body: &'a [u8], format: &FormatDescription) -> Result<Self> {
        use event_type::*;
        let mut cursor = Cursor::new(body, "rows event");
        let (kind, version, compressed) = match code {
            WRITE_ROWS_V1 => (RowsKind::Write, 1, false),
            UPDATE_ROWS_V1 => (RowsKind::Update, 1, false),
            DELETE_ROWS_V1 => (RowsKind::Delete, 1, false),
            WRITE_ROWS_V2 => (RowsKind::Write, 2, false),
            UPDATE_ROWS_V2 => (RowsKind::Update, 2, false),
            DELETE_ROWS_V2 => (RowsKind::Delete, 2, false),
            PARTIAL_UPDATE_ROWS => (RowsKind::PartialUpdate, 2, false),
            WRITE_ROWS_COMPRESSED_V1 => (RowsKind::Write, 1, true),
            UPDATE_ROWS_COMPRESSED_V1 => (RowsKind::Update, 1, true),
            DELETE_ROWS_COMPRESSED_V1 => (RowsKind::Delete, 1, true),
            WRITE_ROWS_COMPRESSED_V2 => (RowsKind::Write, 2, true),
            UPDATE_ROWS_COMPRESSED_V2 => (RowsKind::Update, 2, true),
            DELETE_ROWS_COMPRESSED_V2 => (RowsKind::Delete, 2, true),
            other => return Err(cursor.wrong(format_args!("type {other} holds no rows"))),
        };
        let table_id = table_id(&mut cursor, code, format)?;
        let flags = cursor.u16()?;
        if version == 2 {
            // The length of the extra data counts its own two bytes.
            let extra = usize::from(cursor.u16()?);
            let Some(extra) = extra.checked_sub(2) else {
                return Err(cursor.wrong("the extra data is shorter than its length"));
            };
            cursor.take(extra)?;
        }
        let column_count = column_count(&mut cursor)?;
        let columns = bitmap(&mut cursor, column_count)?;
        let columns_after = match kind {
            RowsKind::Update | RowsKind::PartialUpdate => Some(bitmap(&mut cursor, column_count)?),
            RowsKind::Write | RowsKind::Delete => None,
        };
        let data = match compressed {
            true => Cow::Owned(compressed::inflate_event(cursor.rest())?),
            false => Cow::Borrowed(cursor.rest()),
        };
        Ok(Self { kind, table_id, flags, column_count, columns, columns_after, data })
    }
}

/// Six bytes, four on servers before 5.1.4, as the post-header's length tells.
pub(super) fn table_id(cursor: &mut Cursor<'_>, code: u8, format: &FormatDescription) -> Result<u64> {
    cursor.uint(if format.post_header(code) == Some(6) { 4 } else { 6 })
}

pub(super) fn column_count(cursor: &mut Cursor<'_>) -> Result<usize> {
    let count = cursor.lenenc()?;
    // Both servers allow 4096 columns; the bitmaps that follow bound it further.
    match usize::try_from(count) {
        Ok(count) if count <= 65_535 => Ok(count),
        _ => Err(cursor.wrong(format_args!("{count} columns"))),
    }
}

pub(super) fn bitmap<'a>(cursor: &mut Cursor<'a>, length: usize) -> Result<Bitmap<'a>> {
    let bytes = cursor.take(length.div_ceil(8))?;
    Bitmap::new(bytes, length).ok_or_else(|| cursor.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_count_only_their_own_bits() {
        let bits = Bitmap::new(&[0b1111_1111, 0b1111_1110], 10).unwrap();
        assert_eq!((bits.count(), bits.len()), (9, 10));
        assert!(bits.get(7) && !bits.get(8) && bits.get(9) && !bits.get(10));
        assert!(!bits.all());
        assert!(Bitmap::new(&[255], 8).unwrap().all());
        assert_eq!(Bitmap::new(&[], 0).unwrap().count(), 0);
        assert!(Bitmap::new(&[255], 9).is_none());
    }
}
