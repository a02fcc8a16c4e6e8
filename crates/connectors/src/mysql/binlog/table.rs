//! From table maps to tables: built from FULL metadata, or checked against the table that schema tracking knows.

use std::sync::Arc;

use openmessaging_connector::{Error, Result};

use super::metadata::{Charsets, Metadata};
use super::table_map::{ColumnType, TableMap, column_type as code};
use super::{charset_of_collation, malformed};
use crate::mysql::decode::decode_text;
use crate::mysql::table::{Column, Kind, Table};

impl TableMap<'_> {
    /// Whether the event names its columns: the server has `binlog_row_metadata=FULL`.
    pub fn has_full_metadata(&self) -> bool {
        Metadata::parse(self.optional()).is_ok_and(|metadata| {
            metadata.names.is_some_and(|names| names.len() == self.column_count()) && self.column_count() > 0
        })
    }

    /// The table as its event describes it. `known` is the same table as schema tracking has it, where it has one: it
    /// tells apart what the event cannot (MariaDB's UUID, INET4, INET6 and JSON).
    ///
    /// # Errors
    /// `mysql.binlog_row_metadata` where the event has no FULL metadata; `mysql.binlog_malformed`.
    pub fn to_table(&self, known: Option<&Table>) -> Result<Table> {
        let metadata = Metadata::parse(self.optional())?;
        let types = self.column_types()?;
        let Some(names) = metadata.names.as_ref().filter(|names| names.len() == types.len()) else {
            return Err(Error::fatal(
                "mysql.binlog_row_metadata",
                format!("the binary log does not name the columns of {}.{}", self.database, self.name),
            )
            .with_remedy("SET GLOBAL binlog_row_metadata = 'FULL' on the server"));
        };
        let mut groups = Groups::default();
        let mut columns = Vec::with_capacity(types.len());
        for (index, (ty, name)) in types.iter().zip(names).enumerate() {
            let mut kind = groups.kind(ty, &metadata)?;
            let name: Arc<str> = String::from_utf8_lossy(name).into();
            if let Some(column) =
                known.and_then(|table| table.columns.iter().find(|column| column.name == name))
            {
                refine(&mut kind, ty, &column.kind);
            }
            columns.push(Column { name, kind, nullable: self.nullable().get(index) });
        }
        let primary_key = metadata.primary_key.iter().map(|index| match usize::try_from(*index) {
            Ok(index) if index < columns.len() => Ok(index),
            _ => Err(malformed(format!("table map event: the primary key names column {index}"))),
        });
        let primary_key = primary_key.collect::<Result<_>>()?;
        Ok(Table { database: self.database.into(), name: self.name.into(), columns, primary_key })
    }

    /// Verifies that a tracked table agrees with the event: count and types of the columns, lengths, signs and
    /// charsets where the event says them, names where it does.
    ///
    /// # Errors
    /// `mysql.schema_mismatch`, naming the first column that differs and how.
    pub fn check_against(&self, table: &Table) -> Result<()> {
        let types = self.column_types()?;
        let mismatch = |what: String| {
            Error::fatal(
                "mysql.schema_mismatch",
                format!("table {}.{} is not as its changes describe it: {what}", self.database, self.name),
            )
            .with_remedy("take a new schema snapshot, or set binlog_row_metadata = 'FULL' on the server")
        };
        if types.len() != table.columns.len() {
            return Err(mismatch(format!(
                "{} columns in the log, {} known",
                types.len(),
                table.columns.len()
            )));
        }
        let metadata = Metadata::parse(self.optional())?;
        let mut groups = Groups::default();
        for (index, (ty, column)) in types.iter().zip(&table.columns).enumerate() {
            if let Some(name) = metadata.names.as_ref().and_then(|names| names.get(index))
                && *name != column.name.as_bytes()
            {
                let name = String::from_utf8_lossy(name);
                return Err(mismatch(format!(
                    "column {} is {name} in the log, {} as known",
                    index + 1,
                    column.name
                )));
            }
            let logged = groups.kind(ty, &metadata)?;
            let known = Has { signs: metadata.signedness.is_some(), charsets: metadata.charset.is_some() };
            if !agrees(ty, &logged, &column.kind, known) {
                return Err(mismatch(format!(
                    "column {} is {logged:?} in the log, {:?} as known",
                    column.name, column.kind
                )));
            }
        }
        Ok(())
    }
}

/// How many columns of each group came before: the metadata lists each group by itself.
#[derive(Default)]
struct Groups {
    numeric: usize,
    text: usize,
    enum_or_set: usize,
    enums: usize,
    sets: usize,
    geometries: usize,
}

fn next(counter: &mut usize) -> usize {
    let index = *counter;
    *counter += 1;
    index
}

impl Groups {
    fn kind(&mut self, ty: &ColumnType, metadata: &Metadata<'_>) -> Result<Kind> {
        let mut unsigned = || metadata.is_unsigned(next(&mut self.numeric));
        let fsp = u8::try_from(ty.meta).unwrap_or(u8::MAX);
        Ok(match ty.code {
            code::TINY => Kind::TinyInt { unsigned: unsigned() },
            code::SHORT => Kind::SmallInt { unsigned: unsigned() },
            code::INT24 => Kind::MediumInt { unsigned: unsigned() },
            code::LONG => Kind::Int { unsigned: unsigned() },
            code::LONGLONG => Kind::BigInt { unsigned: unsigned() },
            code::FLOAT => {
                unsigned();
                Kind::Float
            }
            code::DOUBLE => {
                unsigned();
                Kind::Double
            }
            code::NEWDECIMAL => {
                unsigned();
                Kind::Decimal { precision: u32::from(ty.meta & 0xff), scale: u32::from(ty.meta >> 8) }
            }
            code::BIT => Kind::Bit { length: u32::from(ty.meta & 0xff) + 8 * u32::from(ty.meta >> 8) },
            // The servers count YEAR with the numbers.
            code::YEAR => {
                unsigned();
                Kind::Year
            }
            code::DATE | code::NEWDATE => Kind::Date,
            code::TIME => Kind::Time { fsp: 0 },
            code::DATETIME => Kind::DateTime { fsp: 0 },
            code::TIMESTAMP => Kind::Timestamp { fsp: 0 },
            code::TIME2 => Kind::Time { fsp },
            code::DATETIME2 => Kind::DateTime { fsp },
            code::TIMESTAMP2 => Kind::Timestamp { fsp },
            code::JSON => Kind::Json,
            code::VECTOR => Kind::Bytes { type_name: "VECTOR" },
            code::ENUM => {
                let charset = self.enum_charset(metadata);
                Kind::Enum { labels: labels(metadata.enum_labels.get(next(&mut self.enums)), charset) }
            }
            code::SET => {
                let charset = self.enum_charset(metadata);
                Kind::Set { labels: labels(metadata.set_labels.get(next(&mut self.sets)), charset) }
            }
            code::GEOMETRY => {
                let subtype = metadata.geometry_types.get(next(&mut self.geometries)).copied();
                Kind::Geometry { type_name: geometry_name(subtype) }
            }
            _ => self.text(ty, metadata),
        })
    }

    fn enum_charset(&mut self, metadata: &Metadata<'_>) -> &'static str {
        charset(metadata.enum_and_set_charset.as_ref(), next(&mut self.enum_or_set))
    }

    fn text(&mut self, ty: &ColumnType, metadata: &Metadata<'_>) -> Kind {
        let charset = charset(metadata.charset.as_ref(), next(&mut self.text));
        let binary = charset == "binary";
        let type_name = match (ty.code, binary) {
            (code::STRING, true) => return Kind::Binary { length: u32::from(ty.meta) },
            (code::STRING, false) => "CHAR",
            (code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED, true) => "VARBINARY",
            (code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED, false) => "VARCHAR",
            (_, true) => ["TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"][blob_size(ty)],
            (_, false) => ["TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"][blob_size(ty)],
        };
        match binary {
            true => Kind::Bytes { type_name },
            false => Kind::Text { type_name, charset: charset.into() },
        }
    }
}

fn blob_size(ty: &ColumnType) -> usize {
    usize::from(ty.meta.clamp(1, 4)) - 1
}

fn charset(charsets: Option<&Charsets>, index: usize) -> &'static str {
    charsets.and_then(|charsets| charsets.get(index)).and_then(charset_of_collation).unwrap_or("utf8mb4")
}

fn labels(labels: Option<&Vec<&[u8]>>, charset: &str) -> Arc<[Arc<str>]> {
    labels.into_iter().flatten().map(|label| Arc::from(&*decode_text(charset, label))).collect()
}

fn geometry_name(subtype: Option<u64>) -> &'static str {
    match subtype {
        Some(1) => "POINT",
        Some(2) => "LINESTRING",
        Some(3) => "POLYGON",
        Some(4) => "MULTIPOINT",
        Some(5) => "MULTILINESTRING",
        Some(6) => "MULTIPOLYGON",
        Some(7) => "GEOMETRYCOLLECTION",
        _ => "GEOMETRY",
    }
}

/// Takes from the tracked column what the log stores as something else.
fn refine(kind: &mut Kind, ty: &ColumnType, known: &Kind) {
    if stored_as_other(ty, kind, known) {
        *kind = known.clone();
    }
}

/// MariaDB logs UUID, INET4 and INET6 as CHAR or BINARY of their width, and JSON as LONGTEXT.
fn stored_as_other(ty: &ColumnType, logged: &Kind, known: &Kind) -> bool {
    match known {
        Kind::Uuid => ty.code == code::STRING && ty.meta == 16,
        Kind::Inet { bytes } => ty.code == code::STRING && ty.meta == u16::from(*bytes),
        Kind::Json => matches!(logged, Kind::Text { type_name: "LONGTEXT", .. }),
        _ => false,
    }
}

/// What the event's metadata tells; MySQL 5.7 and MariaDB's NO_LOG tell nothing.
#[derive(Clone, Copy)]
struct Has {
    signs: bool,
    charsets: bool,
}

/// Whether bytes stored as `ty` (read as `logged`) are those of the tracked kind.
fn agrees(ty: &ColumnType, logged: &Kind, known: &Kind, has: Has) -> bool {
    use Kind::*;
    let sign = |a: &bool, b: &bool| !has.signs || a == b;
    match (logged, known) {
        (TinyInt { unsigned: a }, TinyInt { unsigned: b })
        | (SmallInt { unsigned: a }, SmallInt { unsigned: b })
        | (MediumInt { unsigned: a }, MediumInt { unsigned: b })
        | (Int { unsigned: a }, Int { unsigned: b })
        | (BigInt { unsigned: a }, BigInt { unsigned: b }) => sign(a, b),
        // MariaDB's old temporal formats do not tell the fractional digits.
        (Time { fsp: a }, Time { fsp: b })
        | (DateTime { fsp: a }, DateTime { fsp: b })
        | (Timestamp { fsp: a }, Timestamp { fsp: b }) => {
            a == b || matches!(ty.code, code::TIME | code::DATETIME | code::TIMESTAMP)
        }
        // The labels are not in every log; a SET's size and an ENUM's follow from their number.
        (Enum { .. }, Enum { labels }) => ty.meta == if labels.len() < 256 { 1 } else { 2 },
        (Set { .. }, Set { labels }) => ty.meta == set_bytes(labels.len()),
        (Geometry { .. }, Geometry { .. }) => true,
        (Binary { length: a }, Binary { length: b }) => a == b,
        (Text { charset: a, .. }, Text { charset: b, .. }) => {
            same_text(ty, known) && (!has.charsets || canonical(a) == canonical(b))
        }
        (Bytes { .. }, Bytes { .. }) => same_text(ty, known),
        (Text { .. }, Bytes { .. }) => !has.charsets && same_text(ty, known),
        (Text { .. }, Binary { length }) => {
            !has.charsets && same_text(ty, known) && u32::from(ty.meta) == *length
        }
        (logged, Uuid | Inet { .. }) => stored_as_other(ty, logged, known),
        (Text { .. }, Json) => stored_as_other(ty, logged, known),
        (a, b) => a == b,
    }
}

fn canonical(charset: &str) -> &str {
    if charset == "utf8" { "utf8mb3" } else { charset }
}

fn set_bytes(labels: usize) -> u16 {
    match labels.div_ceil(8) {
        bytes @ 0..=4 => bytes.max(1) as u16,
        _ => 8,
    }
}

/// Whether the tracked type is stored in the form that the log has.
fn same_text(ty: &ColumnType, known: &Kind) -> bool {
    let name = match known {
        Kind::Text { type_name, .. } | Kind::Bytes { type_name } => *type_name,
        Kind::Binary { .. } => "BINARY",
        _ => return false,
    };
    match ty.code {
        code::STRING => matches!(name, "CHAR" | "BINARY"),
        code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED => {
            matches!(name, "VARCHAR" | "VARBINARY")
        }
        code::VECTOR => name == "VECTOR",
        _ => {
            let sizes = [
                ["TINYTEXT", "TINYBLOB"],
                ["TEXT", "BLOB"],
                ["MEDIUMTEXT", "MEDIUMBLOB"],
                ["LONGTEXT", "LONGBLOB"],
            ];
            sizes[blob_size(ty)].contains(&name)
        }
    }
}
