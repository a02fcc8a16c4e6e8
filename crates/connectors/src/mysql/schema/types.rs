//! Column types as SQL writes them (in DDL and in `information_schema.columns.column_type`), and back.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use super::lexer::Tokens;
use crate::mysql::table::Kind;

/// A type as it is written: what follows from the table's character set is still open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SqlType {
    pub kind: Kind,
    /// Named in the type itself, directly or by collation. A text type without one has the table's.
    pub charset: Option<String>,
    /// `SERIAL` is.
    pub not_null: bool,
}

impl SqlType {
    fn of(kind: Kind) -> Self {
        Self { kind, charset: None, not_null: false }
    }

    /// The kind in a table with this character set.
    pub(super) fn resolve(self, table_charset: &str) -> Kind {
        let named = self.charset;
        match self.kind {
            Kind::Text { type_name, charset } => {
                // A fixed one (JSON of MariaDB, NCHAR) is kept in the kind.
                let fixed = (!charset.is_empty()).then(|| charset.to_string());
                text(type_name, &named.or(fixed).unwrap_or_else(|| table_charset.to_owned()))
            }
            kind => kind,
        }
    }
}

/// A text type in that character set; in `binary` it is the matching type of bytes.
fn text(type_name: &'static str, charset: &str) -> Kind {
    if charset != "binary" {
        return Kind::Text { type_name, charset: charset.into() };
    }
    match type_name {
        "TINYTEXT" => Kind::Bytes { type_name: "TINYBLOB" },
        "TEXT" => Kind::Bytes { type_name: "BLOB" },
        "MEDIUMTEXT" => Kind::Bytes { type_name: "MEDIUMBLOB" },
        "LONGTEXT" => Kind::Bytes { type_name: "LONGBLOB" },
        _ => Kind::Bytes { type_name: "VARBINARY" },
    }
}

/// The character set that a collation belongs to: `utf8mb4_bin` to `utf8mb4`. `None` for collations that are valid in
/// several (MariaDB's `uca1400_ai_ci`).
pub(super) fn charset_of(collation: &str) -> Option<String> {
    let collation = collation.to_ascii_lowercase();
    if collation.starts_with("uca1400") || collation == "default" {
        return None;
    }
    Some(canonical_charset(collation.split('_').next().unwrap_or(&collation)))
}

/// One name for each character set: `utf8` is what `utf8mb3` was called for long.
pub(super) fn canonical_charset(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "utf8" => "utf8mb3".to_owned(),
        other => other.to_owned(),
    }
}

/// Reads a type, up to the attributes that do not belong to it. `None` where it is not known.
pub(super) fn parse(tokens: &mut Tokens, mariadb: bool) -> Option<SqlType> {
    let mut ty = base(tokens, mariadb)?;
    loop {
        if tokens.take_any(&["UNSIGNED", "ZEROFILL"]) {
            ty.kind = unsigned(ty.kind);
        } else if tokens.take_any(&["CHARACTER SET", "CHAR SET", "CHARSET"]) {
            tokens.symbol(&Token::Eq);
            let name = tokens.name().or_else(|| tokens.string())?;
            ty.charset = Some(canonical_charset(&name));
        } else if tokens.take("COLLATE") {
            tokens.symbol(&Token::Eq);
            let name = tokens.name().or_else(|| tokens.string())?;
            ty.charset = charset_of(&name).or(ty.charset);
        } else if tokens.take("ASCII") {
            ty.charset = Some("latin1".to_owned());
        } else if tokens.take("UNICODE") {
            ty.charset = Some("ucs2".to_owned());
        } else if tokens.take("BYTE") {
            ty.charset = Some("binary".to_owned());
        } else if !tokens.take_any(&["SIGNED", "BINARY"]) {
            break;
        }
    }
    // CHAR in the character set `binary` has a fixed length, which only its text tells.
    Some(ty)
}

fn unsigned(kind: Kind) -> Kind {
    match kind {
        Kind::TinyInt { .. } => Kind::TinyInt { unsigned: true },
        Kind::SmallInt { .. } => Kind::SmallInt { unsigned: true },
        Kind::MediumInt { .. } => Kind::MediumInt { unsigned: true },
        Kind::Int { .. } => Kind::Int { unsigned: true },
        Kind::BigInt { .. } => Kind::BigInt { unsigned: true },
        other => other,
    }
}

fn base(tokens: &mut Tokens, mariadb: bool) -> Option<SqlType> {
    let word = tokens.name()?.to_ascii_uppercase();
    let national = |tokens: &mut Tokens| {
        let varying = tokens.take("VARYING");
        length(tokens);
        let type_name = if varying { "VARCHAR" } else { "CHAR" };
        SqlType::of(Kind::Text { type_name, charset: "utf8mb3".into() })
    };
    Some(match word.as_str() {
        "BOOL" | "BOOLEAN" => SqlType::of(Kind::TinyInt { unsigned: false }),
        "SERIAL" => SqlType { not_null: true, ..SqlType::of(Kind::BigInt { unsigned: true }) },
        "NATIONAL" => {
            let varchar = tokens.take("VARCHAR");
            if varchar {
                length(tokens);
                SqlType::of(Kind::Text { type_name: "VARCHAR", charset: "utf8mb3".into() })
            } else if tokens.take_any(&["CHAR", "CHARACTER"]) {
                national(tokens)
            } else {
                return None;
            }
        }
        "NCHAR" => {
            if tokens.take("VARCHAR") {
                length(tokens);
                return Some(SqlType::of(Kind::Text { type_name: "VARCHAR", charset: "utf8mb3".into() }));
            }
            national(tokens)
        }
        "NVARCHAR" => {
            length(tokens);
            SqlType::of(Kind::Text { type_name: "VARCHAR", charset: "utf8mb3".into() })
        }
        "CHAR" | "CHARACTER" => {
            let varying = tokens.take("VARYING");
            let length = length(tokens).unwrap_or(1);
            char_type(tokens, if varying { "VARCHAR" } else { "CHAR" }, length)
        }
        "LONG" => {
            let bytes = tokens.take("VARBINARY");
            let _ = tokens.take_any(&["VARCHAR", "CHAR VARYING", "CHARACTER VARYING"]);
            SqlType::of(if bytes { Kind::Bytes { type_name: "MEDIUMBLOB" } } else { open_text("MEDIUMTEXT") })
        }
        "DOUBLE" => {
            tokens.take("PRECISION");
            precision(tokens);
            SqlType::of(Kind::Double)
        }
        "ENUM" => SqlType::of(Kind::Enum { labels: labels(tokens)? }),
        "SET" => SqlType::of(Kind::Set { labels: labels(tokens)? }),
        "JSON" if mariadb => SqlType::of(Kind::Text { type_name: "LONGTEXT", charset: "utf8mb4".into() }),
        _ => SqlType::of(simple(&word, tokens)?),
    })
}

/// `CHAR(n)` is `BINARY(n)` in the character set `binary`, which follows the type.
fn char_type(tokens: &mut Tokens, type_name: &'static str, length: u64) -> SqlType {
    let binary = tokens.take("BYTE")
        || ["CHARACTER SET BINARY", "CHAR SET BINARY", "CHARSET BINARY", "COLLATE BINARY"]
            .iter()
            .any(|words| tokens.take(words));
    match (type_name, binary) {
        ("CHAR", true) => SqlType::of(Kind::Binary { length: u32::try_from(length).unwrap_or(255) }),
        (_, true) => SqlType::of(Kind::Bytes { type_name: "VARBINARY" }),
        _ => SqlType::of(open_text(type_name)),
    }
}

fn open_text(type_name: &'static str) -> Kind {
    Kind::Text { type_name, charset: Arc::from("") }
}

fn simple(word: &str, tokens: &mut Tokens) -> Option<Kind> {
    let fsp = |tokens: &mut Tokens| u8::try_from(length(tokens).unwrap_or(0)).unwrap_or(0).min(6);
    Some(match word {
        "TINYINT" | "INT1" => integer(tokens, Kind::TinyInt { unsigned: false }),
        "SMALLINT" | "INT2" => integer(tokens, Kind::SmallInt { unsigned: false }),
        "MEDIUMINT" | "MIDDLEINT" | "INT3" => integer(tokens, Kind::MediumInt { unsigned: false }),
        "INT" | "INTEGER" | "INT4" => integer(tokens, Kind::Int { unsigned: false }),
        "BIGINT" | "INT8" => integer(tokens, Kind::BigInt { unsigned: false }),
        "DECIMAL" | "DEC" | "NUMERIC" | "FIXED" => {
            let (digits, scale) = precision(tokens).unwrap_or((10, 0));
            // DECIMAL(0) means the default.
            let digits = if digits == 0 { 10 } else { digits };
            Kind::Decimal { precision: u32::try_from(digits).ok()?, scale: u32::try_from(scale).ok()? }
        }
        "FLOAT" | "FLOAT4" => {
            let single = tokens.peek() != Some(&Token::LParen);
            match precision(tokens) {
                _ if single => Kind::Float,
                // FLOAT(p) chooses by its precision; FLOAT(m,d) does not.
                Some((digits, 0)) if digits > 24 => Kind::Double,
                _ => Kind::Float,
            }
        }
        "FLOAT8" | "REAL" => {
            precision(tokens);
            Kind::Double
        }
        "BIT" => Kind::Bit { length: u32::try_from(length(tokens).unwrap_or(1)).ok()?.clamp(1, 64) },
        "YEAR" => {
            length(tokens);
            Kind::Year
        }
        "DATE" => Kind::Date,
        "TIME" => Kind::Time { fsp: fsp(tokens) },
        "DATETIME" => Kind::DateTime { fsp: fsp(tokens) },
        "TIMESTAMP" => Kind::Timestamp { fsp: fsp(tokens) },
        "VARCHAR" | "VARCHARACTER" => {
            length(tokens);
            open_text("VARCHAR")
        }
        "TINYTEXT" => open_text("TINYTEXT"),
        "MEDIUMTEXT" => open_text("MEDIUMTEXT"),
        "LONGTEXT" => open_text("LONGTEXT"),
        "TEXT" | "CLOB" => {
            // TEXT(n) is the smallest type that holds n characters; its name counts for nothing but display.
            length(tokens);
            open_text("TEXT")
        }
        "BINARY" => Kind::Binary { length: u32::try_from(length(tokens).unwrap_or(1)).ok()? },
        "VARBINARY" => {
            length(tokens);
            Kind::Bytes { type_name: "VARBINARY" }
        }
        "TINYBLOB" => Kind::Bytes { type_name: "TINYBLOB" },
        "BLOB" => {
            length(tokens);
            Kind::Bytes { type_name: "BLOB" }
        }
        "MEDIUMBLOB" => Kind::Bytes { type_name: "MEDIUMBLOB" },
        "LONGBLOB" => Kind::Bytes { type_name: "LONGBLOB" },
        "VECTOR" => {
            length(tokens);
            Kind::Bytes { type_name: "VECTOR" }
        }
        "JSON" => Kind::Json,
        "UUID" => Kind::Uuid,
        "INET4" => Kind::Inet { bytes: 4 },
        "INET6" => Kind::Inet { bytes: 16 },
        "GEOMETRY" => Kind::Geometry { type_name: "GEOMETRY" },
        "POINT" => Kind::Geometry { type_name: "POINT" },
        "LINESTRING" => Kind::Geometry { type_name: "LINESTRING" },
        "POLYGON" => Kind::Geometry { type_name: "POLYGON" },
        "MULTIPOINT" => Kind::Geometry { type_name: "MULTIPOINT" },
        "MULTILINESTRING" => Kind::Geometry { type_name: "MULTILINESTRING" },
        "MULTIPOLYGON" => Kind::Geometry { type_name: "MULTIPOLYGON" },
        "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => Kind::Geometry { type_name: "GEOMETRYCOLLECTION" },
        _ => return None,
    })
}

fn integer(tokens: &mut Tokens, kind: Kind) -> Kind {
    length(tokens);
    kind
}

/// `(n)`, where it is there.
fn length(tokens: &mut Tokens) -> Option<u64> {
    precision(tokens).map(|(length, _)| length)
}

/// `(n)` or `(n, m)`, where it is there.
fn precision(tokens: &mut Tokens) -> Option<(u64, u64)> {
    if !tokens.symbol(&Token::LParen) {
        return None;
    }
    let first = tokens.number()?;
    let second = if tokens.symbol(&Token::Comma) { tokens.number()? } else { 0 };
    tokens.symbol(&Token::RParen).then_some((first, second))
}

fn labels(tokens: &mut Tokens) -> Option<Arc<[Arc<str>]>> {
    let mut labels: Vec<Arc<str>> = Vec::new();
    if !tokens.symbol(&Token::LParen) {
        return None;
    }
    loop {
        // A character set introducer (_utf8mb4'x').
        if tokens.keyword().is_some_and(|word| word.starts_with('_')) {
            tokens.next();
        }
        // Trailing blanks are cut by the server.
        labels.push(tokens.string()?.trim_end_matches(' ').into());
        if tokens.symbol(&Token::RParen) {
            return Some(labels.into());
        }
        if !tokens.symbol(&Token::Comma) {
            return None;
        }
    }
}

/// The type as SQL writes it, with all that decoding needs; character sets are kept beside it.
pub(super) fn to_sql(kind: &Kind) -> String {
    let sign =
        |name: &str, unsigned: bool| if unsigned { format!("{name} unsigned") } else { name.to_owned() };
    let fsp = |name: &str, fsp: u8| if fsp > 0 { format!("{name}({fsp})") } else { name.to_owned() };
    let list = |name: &str, labels: &[Arc<str>]| {
        let quoted: Vec<_> = labels
            .iter()
            .map(|label| format!("'{}'", label.replace('\\', "\\\\").replace('\'', "''")))
            .collect();
        format!("{name}({})", quoted.join(","))
    };
    match kind {
        Kind::TinyInt { unsigned } => sign("tinyint", *unsigned),
        Kind::SmallInt { unsigned } => sign("smallint", *unsigned),
        Kind::MediumInt { unsigned } => sign("mediumint", *unsigned),
        Kind::Int { unsigned } => sign("int", *unsigned),
        Kind::BigInt { unsigned } => sign("bigint", *unsigned),
        Kind::Float => "float".to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        Kind::Bit { length } => format!("bit({length})"),
        Kind::Year => "year".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Time { fsp: digits } => fsp("time", *digits),
        Kind::DateTime { fsp: digits } => fsp("datetime", *digits),
        Kind::Timestamp { fsp: digits } => fsp("timestamp", *digits),
        Kind::Text { type_name, .. } | Kind::Bytes { type_name } | Kind::Geometry { type_name } => {
            type_name.to_ascii_lowercase()
        }
        Kind::Binary { length } => format!("binary({length})"),
        Kind::Enum { labels } => list("enum", labels),
        Kind::Set { labels } => list("set", labels),
        Kind::Json => "json".to_owned(),
        Kind::Uuid => "uuid".to_owned(),
        Kind::Inet { bytes: 4 } => "inet4".to_owned(),
        Kind::Inet { .. } => "inet6".to_owned(),
    }
}

/// A column type of the catalog or of a stored history, with its character set where it has one.
pub(super) fn from_catalog(column_type: &str, charset: Option<&str>, mariadb: bool) -> Option<Kind> {
    let mut tokens = Tokens::of(column_type, true)?;
    let ty = parse(&mut tokens, mariadb)?;
    Some(SqlType { charset: charset.map(canonical_charset), ..ty }.resolve("utf8mb4"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sql: &str) -> Kind {
        let mut tokens = Tokens::of(sql, true).expect("lexed");
        parse(&mut tokens, false).unwrap_or_else(|| panic!("{sql}")).resolve("latin1")
    }

    #[test]
    fn numbers_dates_and_their_synonyms() {
        assert_eq!(kind("int(10) unsigned zerofill"), Kind::Int { unsigned: true });
        assert_eq!(kind("BOOL"), Kind::TinyInt { unsigned: false });
        assert_eq!(kind("serial"), Kind::BigInt { unsigned: true });
        assert_eq!(kind("DECIMAL"), Kind::Decimal { precision: 10, scale: 0 });
        assert_eq!(kind("NUMERIC(65, 30) UNSIGNED"), Kind::Decimal { precision: 65, scale: 30 });
        assert_eq!(
            (kind("FLOAT(25)"), kind("FLOAT(7,3)"), kind("double precision")),
            (Kind::Double, Kind::Float, Kind::Double)
        );
        assert_eq!((kind("bit"), kind("BIT(64)")), (Kind::Bit { length: 1 }, Kind::Bit { length: 64 }));
        assert_eq!((kind("datetime(6)"), kind("TIME")), (Kind::DateTime { fsp: 6 }, Kind::Time { fsp: 0 }));
    }

    #[test]
    fn character_sets_are_named_inherited_or_binary() {
        let text = |type_name, charset: &str| Kind::Text { type_name, charset: charset.into() };
        assert_eq!(kind("varchar(10)"), text("VARCHAR", "latin1"));
        assert_eq!(kind("varchar(10) CHARACTER SET utf8"), text("VARCHAR", "utf8mb3"));
        assert_eq!(kind("text COLLATE utf8mb4_bin"), text("TEXT", "utf8mb4"));
        assert_eq!(kind("char(3) charset binary"), Kind::Binary { length: 3 });
        assert_eq!(kind("varchar(3) character set binary"), Kind::Bytes { type_name: "VARBINARY" });
        assert_eq!(kind("mediumtext charset binary"), Kind::Bytes { type_name: "MEDIUMBLOB" });
        assert_eq!(kind("national varchar(3)"), text("VARCHAR", "utf8mb3"));
        assert_eq!(kind("varchar(9) collate uca1400_ai_ci"), text("VARCHAR", "latin1"));
    }

    #[test]
    fn labels_with_quotes_commas_and_blanks() {
        let labels = |sql| match kind(sql) {
            Kind::Enum { labels } | Kind::Set { labels } => {
                labels.iter().map(ToString::to_string).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(
            labels(r"enum('a,b','it''s','x\\y','q\'z','end  ')"),
            ["a,b", "it's", r"x\y", "q'z", "end"]
        );
        assert_eq!(labels("SET('','b')"), ["", "b"]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let kinds = [
            "tinyint unsigned",
            "mediumint",
            "bigint unsigned",
            "float",
            "double",
            "decimal(65,30)",
            "bit(7)",
            "year",
            "date",
            "time(3)",
            "datetime",
            "timestamp(6)",
            "varchar(5)",
            "longtext",
            "binary(16)",
            "varbinary(3)",
            "blob",
            r"enum('a''b','c\\d')",
            "set('x','y')",
            "json",
            "uuid",
            "inet4",
            "inet6",
            "point",
            "geometrycollection",
        ];
        for sql in kinds {
            let first = kind(sql);
            assert_eq!(from_catalog(&to_sql(&first), Some("latin1"), false), Some(first), "{sql}");
        }
    }

    #[test]
    fn mariadb_json_is_text() {
        let mut tokens = Tokens::of("JSON", true).expect("lexed");
        let ty = parse(&mut tokens, true).map(|ty| ty.resolve("latin1"));
        assert_eq!(ty, Some(Kind::Text { type_name: "LONGTEXT", charset: "utf8mb4".into() }));
    }
}
