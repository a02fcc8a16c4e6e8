//! Table map events: how the columns of a table are stored in the rows events after it.

use openmessaging_connector::Result;

use super::{Bitmap, Cursor, FormatDescription, event_type, rows};

/// Type codes of columns (`enum_field_types`).
pub mod column_type {
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    /// MariaDB: `TEXT COMPRESSED`, `BLOB COMPRESSED`.
    pub const BLOB_COMPRESSED: u8 = 140;
    /// MariaDB: `VARCHAR COMPRESSED`, `VARBINARY COMPRESSED`.
    pub const VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// How a column is stored: its real type, and what the metadata says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType {
    /// One of [`column_type`]. ENUM and SET, which are announced as STRING, are told apart.
    pub code: u8,
    /// The bytes of the metadata, the first in the lower half: maximal length of strings, number of length bytes of
    /// BLOBs and the like, precision and scale of decimals, fractional digits of times. For STRING the maximal length.
    pub meta: u16,
}

/// One table map, borrowed from its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMap<'a> {
    /// Valid until the statement ends; the same table may get another id at any time.
    pub table_id: u64,
    pub flags: u16,
    pub database: &'a str,
    pub name: &'a str,
    types: &'a [u8],
    metadata: &'a [u8],
    nullable: Bitmap<'a>,
    optional: &'a [u8],
    definition: &'a [u8],
}

impl<'a> TableMap<'a> {
    pub(super) fn parse(body: &'a [u8], format: &FormatDescription) -> Result<Self> {
        let mut cursor = Cursor::new(body, "table map event");
        let table_id = rows::table_id(&mut cursor, event_type::TABLE_MAP, format)?;
        let flags = cursor.u16()?;
        let definition = cursor.rest();
        let database = name(&mut cursor)?;
        let name = name(&mut cursor)?;
        let count = rows::column_count(&mut cursor)?;
        let types = cursor.take(count)?;
        let metadata = cursor.lenenc_bytes()?;
        let nullable = rows::bitmap(&mut cursor, count)?;
        let optional = cursor.rest();
        Ok(Self { table_id, flags, database, name, types, metadata, nullable, optional, definition })
    }

    /// All that the event says but the table id and the flags: what to compare with to use a plan again.
    pub fn definition(&self) -> &'a [u8] {
        self.definition
    }

    pub fn column_count(&self) -> usize {
        self.types.len()
    }

    /// Which columns may be null.
    pub fn nullable(&self) -> Bitmap<'a> {
        self.nullable
    }

    /// The fields that `binlog_row_metadata` adds.
    pub(super) fn optional(&self) -> &'a [u8] {
        self.optional
    }

    /// How each column is stored.
    ///
    /// # Errors
    /// A type code that is not known, whose metadata therefore is not either.
    pub fn column_types(&self) -> Result<Vec<ColumnType>> {
        let mut cursor = Cursor::new(self.metadata, "table map event");
        self.types.iter().map(|code| column(*code, &mut cursor)).collect()
    }
}

/// A length of one byte, the name, a zero.
fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str> {
    let length = cursor.u8()?;
    let name = cursor.take(usize::from(length))?;
    cursor.u8()?;
    std::str::from_utf8(name).map_err(|_| cursor.wrong("a name is not UTF-8"))
}

fn column(code: u8, metadata: &mut Cursor<'_>) -> Result<ColumnType> {
    use column_type::*;
    let (code, meta) = match code {
        TINY | SHORT | LONG | NULL | TIMESTAMP | LONGLONG | INT24 | DATE | TIME | DATETIME | YEAR
        | NEWDATE => (code, 0),
        FLOAT | DOUBLE | TIMESTAMP2 | DATETIME2 | TIME2 | BLOB_COMPRESSED | VECTOR | JSON | TINY_BLOB
        | MEDIUM_BLOB | LONG_BLOB | BLOB | GEOMETRY => (code, u16::from(metadata.u8()?)),
        VARCHAR | VARCHAR_COMPRESSED | BIT | NEWDECIMAL | VAR_STRING => (code, metadata.u16()?),
        ENUM | SET | STRING => string(metadata.u8()?, metadata.u8()?),
        other => return Err(metadata.wrong(format_args!("column type {other} is not known"))),
    };
    Ok(ColumnType { code, meta })
}

/// The first byte is the real type, the second the length. Lengths beyond 255 have bits 8 and 9, inverted, in bits 4
/// and 5 of the first byte (`Field_string::do_save_field_metadata`).
fn string(first: u8, second: u8) -> (u8, u16) {
    use column_type::*;
    match first {
        ENUM | SET => (first, u16::from(second)),
        // Servers before 5.0 wrote no real type.
        0 => (STRING, u16::from(second)),
        _ => {
            let high = u16::from((first & 0x30) ^ 0x30) << 4;
            (first | 0x30, high | u16::from(second))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn char_columns_beyond_255_bytes_hide_two_bits_in_the_type() {
        assert_eq!(string(254, 100), (254, 100));
        // CHAR(255) CHARACTER SET utf8mb4: 1020 bytes = 0x3fc.
        assert_eq!(string(254 ^ 0x30, 0xfc), (254, 1020));
        assert_eq!(string(247, 2), (247, 2));
        assert_eq!(string(248, 8), (248, 8));
    }
}
