//! Tables as the connector knows them at one moment of the stream: the shared vocabulary of schema tracking, snapshot
//! and row decoding.

use std::sync::Arc;

/// A table's definition between two DDL statements.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub database: Arc<str>,
    pub name: Arc<str>,
    /// In the order of the table, which is the order of row images.
    pub columns: Vec<Column>,
    /// Indexes of the primary key's columns in key order; empty where there is none.
    pub primary_key: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: Arc<str>,
    pub kind: Kind,
    pub nullable: bool,
}

/// What a column holds, with all that is needed to read its bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    TinyInt {
        unsigned: bool,
    },
    SmallInt {
        unsigned: bool,
    },
    MediumInt {
        unsigned: bool,
    },
    Int {
        unsigned: bool,
    },
    BigInt {
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u32,
        scale: u32,
    },
    Bit {
        length: u32,
    },
    Year,
    Date,
    /// `fsp` is the number of fractional digits, 0 to 6.
    Time {
        fsp: u8,
    },
    DateTime {
        fsp: u8,
    },
    Timestamp {
        fsp: u8,
    },
    /// CHAR, VARCHAR and the TEXTs. `charset` is MySQL's name of it (`utf8mb4`, `latin1`, `gbk`).
    Text {
        type_name: &'static str,
        charset: Arc<str>,
    },
    /// BINARY(length): the binlog cuts trailing zero bytes, which are put back.
    Binary {
        length: u32,
    },
    /// VARBINARY and the BLOBs.
    Bytes {
        type_name: &'static str,
    },
    Enum {
        labels: Arc<[Arc<str>]>,
    },
    Set {
        labels: Arc<[Arc<str>]>,
    },
    Json,
    Geometry {
        type_name: &'static str,
    },
    /// MariaDB's UUID, 16 bytes.
    Uuid,
    /// MariaDB's INET4 and INET6.
    Inet {
        bytes: u8,
    },
}
