//! Which schema a table has.
//!
//! Types are those that Debezium gives by default, so that consumers of either read the same: TINYINT and SMALLINT are
//! Int16, an unsigned type the next larger, BIGINT UNSIGNED its own.

use openmessaging_connector::{Field, Logical, Schema, Type};

use crate::mysql::table::{Column, Kind, Table};

/// The struct of all columns, in the order of the table. It has no name yet: the caller gives it
/// (`server.database.table.Value`), once for each version of the table.
pub fn row_schema(table: &Table) -> Schema {
    Schema::new(Type::Struct(table.columns.iter().map(field).collect()))
}

/// The struct of the primary key's columns, in key order; `None` without a primary key. It has no name yet.
pub fn key_schema(table: &Table) -> Option<Schema> {
    if table.primary_key.is_empty() {
        return None;
    }
    let columns = table.primary_key.iter().filter_map(|index| table.columns.get(*index));
    Some(Schema::new(Type::Struct(columns.map(field).collect())))
}

fn field(column: &Column) -> Field {
    let schema = column_schema(&column.kind);
    let schema =
        if column.nullable || has_values_that_are_null(&column.kind) { schema.optional() } else { schema };
    Field::new(column.name.clone(), schema.shared()).with_source_type(source_type(&column.kind))
}

/// Whether a column declared NOT NULL can hold something that is read as null: a zero date, the empty label that MySQL
/// stores for a wrong one.
fn has_values_that_are_null(kind: &Kind) -> bool {
    matches!(kind, Kind::Date | Kind::DateTime { .. } | Kind::Timestamp { .. } | Kind::Enum { .. })
}

/// The schema of one column, not optional.
pub fn column_schema(kind: &Kind) -> Schema {
    match kind {
        Kind::TinyInt { .. } | Kind::SmallInt { unsigned: false } => Schema::new(Type::Int16),
        Kind::SmallInt { unsigned: true } | Kind::MediumInt { .. } | Kind::Int { unsigned: false } => {
            Schema::new(Type::Int32)
        }
        Kind::Int { unsigned: true } | Kind::BigInt { unsigned: false } => Schema::new(Type::Int64),
        Kind::BigInt { unsigned: true } => Schema::new(Type::UInt64),
        Kind::Float => Schema::new(Type::Float32),
        Kind::Double => Schema::new(Type::Float64),
        Kind::Decimal { precision, scale } => {
            Schema::logical(Type::Bytes, Logical::Decimal { precision: *precision, scale: *scale })
        }
        Kind::Bit { length: 1 } => Schema::new(Type::Boolean),
        Kind::Bit { length } => Schema::logical(Type::Bytes, Logical::Bits { length: *length }),
        Kind::Year => Schema::logical(Type::Int32, Logical::Year),
        Kind::Date => Schema::logical(Type::Int32, Logical::Date),
        Kind::Time { fsp } => Schema::logical(Type::Int64, Logical::Time { precision: *fsp }),
        Kind::DateTime { fsp } => Schema::logical(Type::Int64, Logical::Timestamp { precision: *fsp }),
        Kind::Timestamp { fsp } => Schema::logical(Type::String, Logical::TimestampTz { precision: *fsp }),
        Kind::Text { .. } | Kind::Inet { .. } => Schema::new(Type::String),
        Kind::Binary { .. } | Kind::Bytes { .. } => Schema::new(Type::Bytes),
        Kind::Enum { labels } => Schema::logical(Type::String, Logical::Enum { labels: labels.clone() }),
        Kind::Set { labels } => Schema::logical(Type::String, Logical::Set { labels: labels.clone() }),
        Kind::Json => Schema::logical(Type::String, Logical::Json),
        Kind::Geometry { .. } => Schema::logical(Type::Bytes, Logical::Geometry),
        Kind::Uuid => Schema::logical(Type::String, Logical::Uuid),
    }
}

/// The type's name as the server's catalog prints it, in upper case, without lengths.
pub fn source_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::TinyInt { unsigned: false } => "TINYINT",
        Kind::TinyInt { unsigned: true } => "TINYINT UNSIGNED",
        Kind::SmallInt { unsigned: false } => "SMALLINT",
        Kind::SmallInt { unsigned: true } => "SMALLINT UNSIGNED",
        Kind::MediumInt { unsigned: false } => "MEDIUMINT",
        Kind::MediumInt { unsigned: true } => "MEDIUMINT UNSIGNED",
        Kind::Int { unsigned: false } => "INT",
        Kind::Int { unsigned: true } => "INT UNSIGNED",
        Kind::BigInt { unsigned: false } => "BIGINT",
        Kind::BigInt { unsigned: true } => "BIGINT UNSIGNED",
        Kind::Float => "FLOAT",
        Kind::Double => "DOUBLE",
        Kind::Decimal { .. } => "DECIMAL",
        Kind::Bit { .. } => "BIT",
        Kind::Year => "YEAR",
        Kind::Date => "DATE",
        Kind::Time { .. } => "TIME",
        Kind::DateTime { .. } => "DATETIME",
        Kind::Timestamp { .. } => "TIMESTAMP",
        Kind::Text { type_name, .. } | Kind::Bytes { type_name } | Kind::Geometry { type_name } => type_name,
        Kind::Binary { .. } => "BINARY",
        Kind::Enum { .. } => "ENUM",
        Kind::Set { .. } => "SET",
        Kind::Json => "JSON",
        Kind::Uuid => "UUID",
        Kind::Inet { bytes: 4 } => "INET4",
        Kind::Inet { .. } => "INET6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_whose_values_may_be_read_as_null_are_optional() {
        let column = |kind| Column { name: "c".into(), kind, nullable: false };
        assert!(field(&column(Kind::Date)).schema.optional);
        assert!(!field(&column(Kind::Time { fsp: 0 })).schema.optional);
    }

    #[test]
    fn nullable_columns_are_optional_and_the_key_keeps_its_order() {
        let column = |name: &str, kind, nullable| Column { name: name.into(), kind, nullable };
        let table = Table {
            database: "d".into(),
            name: "t".into(),
            columns: vec![
                column("a", Kind::BigInt { unsigned: true }, false),
                column("b", Kind::Bit { length: 1 }, true),
                column("c", Kind::Int { unsigned: true }, false),
            ],
            primary_key: vec![2, 0],
        };
        let row = row_schema(&table);
        let fields = row.fields();
        assert_eq!(fields[0].schema.ty, Type::UInt64);
        assert!(!fields[0].schema.optional && fields[1].schema.optional);
        assert_eq!(fields[2].source_type.as_deref(), Some("INT UNSIGNED"));
        let key = key_schema(&table).unwrap();
        let names: Vec<_> = key.fields().iter().map(|field| &*field.name).collect();
        assert_eq!(names, ["c", "a"]);
        assert!(key_schema(&Table { primary_key: vec![], ..table }).is_none());
    }
}
