//! Records: how a table's rows are named, what they look like, and how one is written.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::Row;
use openmessaging_connector::{
    EntryType, Field, Flow, RecordHead, RecordSink, Result, Scalar, Schema, SourcePartition, Type, Value,
    Visitor,
};

use super::config::{DecimalMode, Naming};
use super::decode::{RowPlan, Spans, key_schema, row_schema, visit_value};
use super::table::Table;

/// One version of a table as its records show it.
#[derive(Debug)]
pub struct Shape {
    pub table: Arc<Table>,
    pub queue: Arc<str>,
    pub envelope: Arc<Schema>,
    /// Of `before` and `after`.
    pub image: Arc<Schema>,
    pub key: Option<Arc<Schema>>,
}

/// Every shape in use, so that all records of a shape share its schemas.
#[derive(Debug)]
pub struct Shapes {
    naming: Naming,
    decimal: DecimalMode,
    source: Arc<Schema>,
    by_table: HashMap<Arc<str>, Vec<Arc<Shape>>>,
}

/// Versions of one table that are kept: a restart or a DDL may go back and forth between some.
const KEPT: usize = 8;

impl Shapes {
    pub fn new(naming: Naming, decimal: DecimalMode) -> Self {
        Self { naming, decimal, source: source_schema(), by_table: HashMap::new() }
    }

    pub fn of(&mut self, table: &Arc<Table>) -> Arc<Shape> {
        let full: Arc<str> = format!("{}.{}", table.database, table.name).into();
        let versions = self.by_table.entry(full.clone()).or_default();
        if let Some(shape) = versions.iter().find(|shape| shape.table == *table) {
            return shape.clone();
        }
        let (queue, name) = match &self.naming {
            Naming::Bare => (table.name.clone(), full.to_string()),
            Naming::Prefixed(prefix) => {
                let name = format!("{prefix}.{full}");
                (name.as_str().into(), name)
            }
        };
        let named =
            |schema: Schema, part: &str| Schema { name: Some(format!("{name}.{part}").into()), ..schema };
        let row = named(with_decimals(row_schema(table), self.decimal), "Value").shared();
        let envelope = Schema::envelope(format!("{name}.Envelope"), &row, &self.source);
        let image = envelope.fields()[openmessaging_connector::schema::envelope::AFTER].schema.clone();
        let key = key_schema(table).map(|key| named(with_decimals(key, self.decimal), "Key").shared());
        let shape = Arc::new(Shape { table: table.clone(), queue, envelope, image, key });
        if versions.len() == KEPT {
            versions.remove(0);
        }
        versions.push(shape.clone());
        shape
    }
}

/// Decimals as `decimal.handling.mode` wants them.
fn with_decimals(mut schema: Schema, mode: DecimalMode) -> Schema {
    let ty = match mode {
        DecimalMode::Precise => return schema,
        DecimalMode::Text => Type::String,
        DecimalMode::Double => Type::Float64,
    };
    if let Type::Struct(fields) = &mut schema.ty {
        for field in fields {
            if let Some(openmessaging_connector::Logical::Decimal { .. }) = field.schema.logical {
                let optional = field.schema.optional;
                field.schema = Schema { optional, ..Schema::new(ty.clone()) }.shared();
            }
        }
    }
    schema
}

/// Where a change comes from: the members and names of Debezium's `source`.
fn source_schema() -> Arc<Schema> {
    let string = || Schema::new(Type::String);
    let number = |ty: Type| Schema::new(ty);
    let fields = [
        ("version", string()),
        ("connector", string()),
        ("name", string()),
        ("ts_ms", number(Type::Int64)),
        ("snapshot", string().optional()),
        ("db", string()),
        ("sequence", string().optional()),
        ("table", string().optional()),
        ("server_id", number(Type::Int64)),
        ("gtid", string().optional()),
        ("file", string()),
        ("pos", number(Type::Int64)),
        ("row", number(Type::Int32)),
        ("thread", number(Type::Int64).optional()),
        ("query", string().optional()),
    ];
    let fields = fields.into_iter().map(|(name, schema)| Field::new(name, schema.shared())).collect();
    Schema::structure("io.debezium.connector.mysql.Source", fields).shared()
}

/// What the records of one event share.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub partition: &'a SourcePartition,
    /// `mysql` or `mariadb`.
    pub connector: &'static str,
    /// The logical name: the prefix, or the connector's name.
    pub name: &'a str,
    pub ts_ms: i64,
    /// When it was read, milliseconds since the epoch.
    pub read_ms: i64,
    pub snapshot: bool,
    pub server_id: u32,
    pub gtid: Option<&'a str>,
    pub file: &'a str,
    pub pos: u64,
    pub thread: Option<u32>,
    pub query: Option<&'a str>,
}

impl Origin<'_> {
    fn visit(&self, schema: &Arc<Schema>, table: &Table, row: u32, visitor: &mut dyn Visitor) {
        let text = |text: Option<&'static str>| text.map_or(Scalar::Null, Scalar::Str);
        visitor.begin_struct(schema);
        visitor.scalar(Scalar::Str(env!("CARGO_PKG_VERSION")));
        visitor.scalar(Scalar::Str(self.connector));
        visitor.scalar(Scalar::Str(self.name));
        visitor.scalar(Scalar::I64(self.ts_ms));
        visitor.scalar(text(Some(if self.snapshot { "true" } else { "false" })));
        visitor.scalar(Scalar::Str(&table.database));
        visitor.scalar(Scalar::Null);
        visitor.scalar(Scalar::Str(&table.name));
        visitor.scalar(Scalar::I64(i64::from(self.server_id)));
        visitor.scalar(self.gtid.map_or(Scalar::Null, Scalar::Str));
        visitor.scalar(Scalar::Str(self.file));
        visitor.scalar(Scalar::I64(i64::try_from(self.pos).unwrap_or(i64::MAX)));
        visitor.scalar(Scalar::I64(i64::from(row)));
        visitor.scalar(self.thread.map_or(Scalar::Null, |thread| Scalar::I64(i64::from(thread))));
        visitor.scalar(self.query.map_or(Scalar::Null, Scalar::Str));
        visitor.end_struct();
    }
}

/// A row image, wherever it is.
pub enum Image<'a> {
    None,
    /// In a rows event.
    Event {
        plan: &'a RowPlan,
        data: &'a [u8],
        spans: &'a mut Spans,
    },
    /// A row of a SELECT, its columns in the order of the table.
    Row {
        table: &'a Table,
        row: &'a Row,
    },
}

impl Image<'_> {
    fn visit(&mut self, schema: &Arc<Schema>, visitor: &mut dyn Visitor) -> Result<()> {
        match self {
            Image::None => visitor.scalar(Scalar::Null),
            Image::Event { plan, data, spans } => plan.visit(data, spans, schema, visitor)?,
            Image::Row { table, row } => visit_row(table, row, 0..table.columns.len(), schema, visitor)?,
        }
        Ok(())
    }

    fn visit_key(&mut self, key: &[usize], schema: &Arc<Schema>, visitor: &mut dyn Visitor) -> Result<()> {
        match self {
            Image::None => visitor.scalar(Scalar::Null),
            Image::Event { plan, data, spans } => plan.visit_columns(data, spans, key, schema, visitor)?,
            Image::Row { table, row } => visit_row(table, row, key.iter().copied(), schema, visitor)?,
        }
        Ok(())
    }
}

fn visit_row(
    table: &Table,
    row: &Row,
    columns: impl Iterator<Item = usize>,
    schema: &Arc<Schema>,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    visitor.begin_struct(schema);
    let mut result = Ok(());
    for at in columns {
        match (table.columns.get(at), row.as_ref(at)) {
            (Some(column), Some(value)) => result = result.and(visit_value(&column.kind, value, visitor)),
            _ => visitor.scalar(Scalar::Absent),
        }
    }
    visitor.end_struct();
    result
}

/// Which image the key is taken from.
pub enum KeyFrom {
    Before,
    After,
    /// Put together from both, where each has a part of it.
    Value(Value<'static>),
}

/// One record to write.
pub struct Change<'a> {
    pub shape: &'a Shape,
    pub entry: EntryType,
    pub key: KeyFrom,
    pub before: Image<'a>,
    pub after: Image<'a>,
    /// Number of the row in its event.
    pub row: u32,
}

impl Change<'_> {
    /// Writes the record; `base` and `step` are the position behind it.
    ///
    /// # Errors
    /// The sink's own, and `mysql.value_malformed`: the record is left unfinished then, which throws it away.
    pub fn write(
        mut self,
        origin: &Origin<'_>,
        decimal: DecimalMode,
        out: &mut dyn RecordSink,
        base: &Arc<str>,
        step: u64,
    ) -> Result<Flow> {
        let shape = self.shape;
        out.begin(RecordHead {
            queue: &shape.queue,
            queue_partition: None,
            sharding_key: None,
            entry: self.entry,
            timestamp_ms: origin.ts_ms,
            source_partition: origin.partition,
        })?;
        if let Some(schema) = shape.key.as_ref().filter(|_| self.entry != EntryType::Truncate) {
            let columns = &shape.table.primary_key;
            decimals(decimal, out.key(Some(schema)), |visitor| match &self.key {
                KeyFrom::Before => self.before.visit_key(columns, schema, visitor),
                KeyFrom::After => self.after.visit_key(columns, schema, visitor),
                KeyFrom::Value(value) => {
                    value.visit(visitor);
                    Ok(())
                }
            })?;
        }
        let value = out.value(Some(&shape.envelope));
        value.begin_struct(&shape.envelope);
        decimals(decimal, value, |visitor| {
            let before = self.before.visit(&shape.image, visitor);
            before.and(self.after.visit(&shape.image, visitor))
        })?;
        let source = &shape.envelope.fields()[openmessaging_connector::schema::envelope::SOURCE].schema;
        origin.visit(source, &shape.table, self.row, value);
        value.scalar(Scalar::Str(self.entry.op()));
        value.scalar(Scalar::I64(origin.read_ms));
        value.end_struct();
        out.end(base, step)
    }
}

/// Visits with decimals in the form wanted; nothing stands in between where they are written as they are.
fn decimals(
    mode: DecimalMode,
    visitor: &mut dyn Visitor,
    visit: impl FnOnce(&mut dyn Visitor) -> Result<()>,
) -> Result<()> {
    match mode {
        DecimalMode::Precise => visit(visitor),
        mode => visit(&mut Decimals { visitor, mode }),
    }
}

struct Decimals<'v> {
    visitor: &'v mut dyn Visitor,
    mode: DecimalMode,
}

impl Visitor for Decimals<'_> {
    fn scalar(&mut self, value: Scalar<'_>) {
        self.visitor.scalar(match (value, self.mode) {
            (Scalar::Decimal(text), DecimalMode::Text) => Scalar::Str(text),
            (Scalar::Decimal(text), DecimalMode::Double) => Scalar::F64(text.parse().unwrap_or(f64::NAN)),
            (other, _) => other,
        });
    }

    fn begin_struct(&mut self, schema: &Arc<Schema>) {
        self.visitor.begin_struct(schema);
    }

    fn end_struct(&mut self) {
        self.visitor.end_struct();
    }

    fn begin_array(&mut self, length: usize) {
        self.visitor.begin_array(length);
    }

    fn end_array(&mut self) {
        self.visitor.end_array();
    }

    fn begin_map(&mut self, length: usize) {
        self.visitor.begin_map(length);
    }

    fn end_map(&mut self) {
        self.visitor.end_map();
    }
}
