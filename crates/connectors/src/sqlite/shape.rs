//! Schemas of a table's records, and values in them.
//!
//! A column of SQLite takes values of any type, whatever it is declared as. The declared type chooses the schema's
//! type; a record with a value that does not fit it gets a schema of its own, which is shared by all records with
//! values of those types.

use std::collections::HashMap;
use std::sync::Arc;

use openmessaging_connector::value::Scalar;
use openmessaging_connector::{Field, Schema, Type, Visitor};
use rusqlite::types::Value as Datum;

use super::table::Table;

/// Beyond this many shapes of one table, columns with misfits are texts.
const MOST_SHAPES: usize = 64;
/// Integers up to here are exact as 64-bit floating point numbers.
const EXACT: u64 = 1 << 53;

/// What a column is in one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    ty: Ty,
    optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ty {
    Boolean,
    Integer,
    Real,
    Text,
    Blob,
}

/// The schemas of one definition.
#[derive(Debug)]
pub(super) struct Shapes {
    table: Table,
    declared: Vec<Kind>,
    shapes: HashMap<Vec<Kind>, Arc<Shape>>,
    keys: HashMap<Vec<Kind>, Option<Arc<Schema>>>,
    source: Arc<Schema>,
}

/// One set of schemas.
#[derive(Debug)]
pub(super) struct Shape {
    kinds: Vec<Kind>,
    /// `None` where the rows have nothing to be told apart by.
    pub key: Option<Arc<Schema>>,
    pub envelope: Arc<Schema>,
    pub image: Arc<Schema>,
}

impl Shapes {
    pub(super) fn new(table: &Table, source: &Arc<Schema>) -> Self {
        let declared = table
            .columns
            .iter()
            .map(|column| Kind { ty: declared(&column.declared), optional: !column.not_null });
        Self {
            declared: declared.collect(),
            table: table.clone(),
            shapes: HashMap::new(),
            keys: HashMap::new(),
            source: source.clone(),
        }
    }

    /// The shape that all these rows fit.
    pub(super) fn of(&mut self, rows: &[&[Datum]]) -> Arc<Shape> {
        let values = |at: usize| rows.iter().filter_map(move |row| row.get(at));
        let kind = |(at, declared): (usize, &Kind)| Kind {
            ty: if values(at).all(|value| fits(declared.ty, value)) {
                declared.ty
            } else {
                common(values(at))
            },
            optional: declared.optional || values(at).any(|value| *value == Datum::Null),
        };
        let mut kinds: Vec<Kind> = self.declared.iter().enumerate().map(kind).collect();
        if let Some(shape) = self.shapes.get(&kinds) {
            return shape.clone();
        }
        if self.shapes.len() >= MOST_SHAPES {
            // Every value has a text, so this is the last one.
            kinds.fill(Kind { ty: Ty::Text, optional: true });
        }
        let of_key: Vec<Kind> = self.table.key.iter().map(|at| kinds[*at]).collect();
        let key = self.keys.entry(of_key).or_insert_with(|| key(&self.table, &kinds)).clone();
        let make = || Arc::new(Shape::new(&self.table, &kinds, key, &self.source));
        self.shapes.entry(kinds.clone()).or_insert_with(make).clone()
    }
}

/// The schema of the key: that of the primary key, or of the row id.
fn key(table: &Table, kinds: &[Kind]) -> Option<Arc<Schema>> {
    let fields = match (&table.key[..], &table.rowid) {
        ([], None) => return None,
        ([], Some(rowid)) => vec![Field::new(rowid.as_str(), Schema::new(Type::Int64).shared())],
        (key, _) => key.iter().map(|at| field(table, kinds, *at)).collect(),
    };
    Some(Schema::structure(format!("sqlite.{}.Key", table.name), fields).shared())
}

fn field(table: &Table, kinds: &[Kind], at: usize) -> Field {
    let (column, kind) = (&table.columns[at], kinds[at]);
    let schema = Schema::new(kind.ty.schema());
    let schema = if kind.optional { schema.optional() } else { schema };
    let field = Field::new(column.name.as_str(), schema.shared());
    if column.declared.is_empty() { field } else { field.with_source_type(column.declared.as_str()) }
}

impl Shape {
    fn new(table: &Table, kinds: &[Kind], key: Option<Arc<Schema>>, source: &Arc<Schema>) -> Self {
        let fields = (0..kinds.len()).map(|at| field(table, kinds, at)).collect();
        let row = Schema::structure(format!("sqlite.{}.Value", table.name), fields).shared();
        let envelope = Schema::envelope(format!("sqlite.{}.Envelope", table.name), &row, source);
        let image = envelope.fields()[openmessaging_connector::schema::envelope::BEFORE].schema.clone();
        Self { kinds: kinds.to_vec(), key, envelope, image }
    }

    /// The row's key.
    pub(super) fn key(&self, table: &Table, rowid: Option<i64>, values: &[Datum], to: &mut dyn Visitor) {
        let Some(schema) = &self.key else { return };
        to.begin_struct(schema);
        if table.key.is_empty() {
            to.scalar(rowid.map_or(Scalar::Null, Scalar::I64));
        }
        for at in &table.key {
            scalar(self.kinds[*at].ty, values.get(*at).unwrap_or(&Datum::Null), to);
        }
        to.end_struct();
    }

    /// The row, or null where there is none.
    pub(super) fn image(&self, values: Option<&[Datum]>, to: &mut dyn Visitor) {
        let Some(values) = values else { return to.scalar(Scalar::Null) };
        to.begin_struct(&self.image);
        for (at, kind) in self.kinds.iter().enumerate() {
            scalar(kind.ty, values.get(at).unwrap_or(&Datum::Null), to);
        }
        to.end_struct();
    }
}

impl Ty {
    fn schema(self) -> Type {
        match self {
            Ty::Boolean => Type::Boolean,
            Ty::Integer => Type::Int64,
            Ty::Real => Type::Float64,
            Ty::Text => Type::String,
            Ty::Blob => Type::Bytes,
        }
    }
}

/// What a declared type leads one to expect: SQLite's affinities (<https://sqlite.org/datatype3.html#type_affinity>),
/// where that of numbers is told apart by the names that are usual.
fn declared(name: &str) -> Ty {
    let has = |part: &str| name.contains(part);
    if has("INT") {
        Ty::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Ty::Text
    } else if has("BLOB") {
        Ty::Blob
    } else if has("BOOL") {
        Ty::Boolean
    } else if name.is_empty() || has("DATE") || has("TIME") || has("JSON") || has("UUID") {
        Ty::Text
    } else {
        Ty::Real
    }
}

fn fits(ty: Ty, value: &Datum) -> bool {
    match (ty, value) {
        (_, Datum::Null)
        | (Ty::Integer, Datum::Integer(_))
        | (Ty::Boolean, Datum::Integer(0 | 1))
        | (Ty::Real, Datum::Real(_))
        | (Ty::Blob, Datum::Blob(_)) => true,
        // A NUMERIC column keeps whole numbers as integers.
        (Ty::Real, Datum::Integer(value)) => value.unsigned_abs() <= EXACT,
        (Ty::Text, _) => matches!(value, Datum::Text(_)),
        _ => false,
    }
}

/// The one type of all the values; text, where there are several.
fn common<'v>(values: impl Iterator<Item = &'v Datum>) -> Ty {
    let natural = |value: &Datum| match value {
        Datum::Null => None,
        Datum::Integer(_) => Some(Ty::Integer),
        Datum::Real(_) => Some(Ty::Real),
        Datum::Text(_) => Some(Ty::Text),
        Datum::Blob(_) => Some(Ty::Blob),
    };
    let mut types = values.filter_map(natural);
    let first = types.next().unwrap_or(Ty::Text);
    if types.all(|ty| ty == first) { first } else { Ty::Text }
}

fn scalar(ty: Ty, value: &Datum, to: &mut dyn Visitor) {
    match (ty, value) {
        (_, Datum::Null) => to.scalar(Scalar::Null),
        (Ty::Boolean, Datum::Integer(value)) => to.scalar(Scalar::Bool(*value != 0)),
        (Ty::Integer, Datum::Integer(value)) => to.scalar(Scalar::I64(*value)),
        (Ty::Real, Datum::Integer(value)) => to.scalar(Scalar::F64(*value as f64)),
        (Ty::Real, Datum::Real(value)) => to.scalar(Scalar::F64(*value)),
        (Ty::Blob, Datum::Blob(bytes)) => to.scalar(Scalar::Bytes(bytes)),
        (_, Datum::Text(text)) => to.scalar(Scalar::Str(text)),
        (_, Datum::Integer(value)) => to.scalar(Scalar::Str(&value.to_string())),
        (_, Datum::Real(value)) => to.scalar(Scalar::Str(&format!("{value:?}"))),
        (_, Datum::Blob(bytes)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            to.scalar(Scalar::Str(&hex));
        }
    }
}
