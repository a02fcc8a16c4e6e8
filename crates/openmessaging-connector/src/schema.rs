//! Schemas: the shape and meaning of a key or a value, shared by reference between all records of that shape.

use std::sync::Arc;

use crate::value::Value;

/// The shape of a value. A source makes one schema per table version and shares it: encoders compare schemas by
/// pointer and keep what they derived from one, so making a new `Arc<Schema>` for every record is slow (but right).
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub ty: Type,
    /// What the bytes mean beyond their type; `None` for a plain value.
    pub logical: Option<Logical>,
    /// Name of a struct, as consumers see it: `server.database.table.Value`. Logical types are named by converters.
    pub name: Option<Arc<str>>,
    pub optional: bool,
    pub version: Option<i32>,
    pub doc: Option<Arc<str>>,
    pub default: Option<Value<'static>>,
}

/// The type of a value as it is carried.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    /// Unsigned 64 bits. Formats without it write it as their 64-bit integer's text.
    UInt64,
    Float32,
    Float64,
    String,
    Bytes,
    Array(Arc<Schema>),
    Map(Arc<Schema>, Arc<Schema>),
    Struct(Vec<Field>),
}

/// What a value means. The [`Scalar`](crate::Scalar) that carries it is given for each.
#[derive(Debug, Clone, PartialEq)]
pub enum Logical {
    /// Exact decimal: `Scalar::Decimal`, plain text with exactly `scale` digits behind the point. Type `Bytes`.
    Decimal { precision: u32, scale: u32 },
    /// `Scalar::Date`. Type `Int32`.
    Date,
    /// `Scalar::Time`; `precision` is the number of fractional digits, 0 to 6. Type `Int64`.
    Time { precision: u8 },
    /// A date and time without zone: `Scalar::Timestamp`. Type `Int64`.
    Timestamp { precision: u8 },
    /// An instant: `Scalar::TimestampTz`. Type `String`.
    TimestampTz { precision: u8 },
    /// `Scalar::I64`, four digits. Type `Int32`.
    Year,
    /// `Scalar::Str`, the canonical 36 characters. Type `String`.
    Uuid,
    /// `Scalar::Str`, a valid JSON text. Type `String`.
    Json,
    /// `Scalar::Bytes`: a little-endian 32-bit SRID, then well-known binary. Type `Bytes`.
    Geometry,
    /// `Scalar::Bytes`, most significant byte first, `(length + 7) / 8` of them. Type `Bytes`.
    Bits { length: u32 },
    /// `Scalar::Str`, one of the labels. Type `String`.
    Enum { labels: Arc<[Arc<str>]> },
    /// `Scalar::Str`, labels joined with `,` in the order they are declared. Type `String`.
    Set { labels: Arc<[Arc<str>]> },
    /// A struct `before`, `after`, `source`, `op`, `ts_ms`, made by [`Schema::envelope`].
    Envelope,
}

/// One member of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: Arc<str>,
    pub schema: Arc<Schema>,
    /// The type's name in the source system, upper case as its catalog prints it (`INT UNSIGNED`, `VARCHAR`), where
    /// the source knows it. Formats of the original runtime map by it.
    pub source_type: Option<Arc<str>>,
}

impl Field {
    pub fn new(name: impl Into<Arc<str>>, schema: Arc<Schema>) -> Self {
        Self { name: name.into(), schema, source_type: None }
    }

    pub fn with_source_type(mut self, name: impl Into<Arc<str>>) -> Self {
        self.source_type = Some(name.into());
        self
    }
}

/// Positions of an envelope's fields, in the order a source visits them.
pub mod envelope {
    pub const BEFORE: usize = 0;
    pub const AFTER: usize = 1;
    pub const SOURCE: usize = 2;
    pub const OP: usize = 3;
    pub const TS_MS: usize = 4;
}

impl Schema {
    pub fn new(ty: Type) -> Self {
        Self { ty, logical: None, name: None, optional: false, version: None, doc: None, default: None }
    }

    pub fn logical(ty: Type, logical: Logical) -> Self {
        Self { logical: Some(logical), ..Self::new(ty) }
    }

    pub fn structure(name: impl Into<Arc<str>>, fields: Vec<Field>) -> Self {
        Self { name: Some(name.into()), ..Self::new(Type::Struct(fields)) }
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// A plain text schema, not optional.
    pub fn string() -> Arc<Self> {
        Self::new(Type::String).shared()
    }

    /// The fields of a struct; none for any other type.
    pub fn fields(&self) -> &[Field] {
        match &self.ty {
            Type::Struct(fields) => fields,
            _ => &[],
        }
    }

    pub fn is_envelope(&self) -> bool {
        matches!(self.logical, Some(Logical::Envelope))
    }

    /// The schema of a change of one row: `before` and `after` (optional `row`s), `source` (a struct that tells where
    /// the change comes from), `op` (`c`, `u`, `d`, `r`, `t`: [`EntryType::op`](crate::EntryType::op)) and `ts_ms`
    /// (when the connector read it, milliseconds since the epoch).
    pub fn envelope(name: impl Into<Arc<str>>, row: &Arc<Schema>, source: &Arc<Schema>) -> Arc<Self> {
        let image = Arc::new(Schema { optional: true, ..(**row).clone() });
        Arc::new(Self {
            logical: Some(Logical::Envelope),
            ..Self::structure(
                name,
                vec![
                    Field::new("before", image.clone()),
                    Field::new("after", image),
                    Field::new("source", source.clone()),
                    Field::new("op", Self::string()),
                    Field::new("ts_ms", Self::new(Type::Int64).optional().shared()),
                ],
            )
        })
    }
}
