//! Messages of the original runtime, for sinks.

use std::sync::Arc;

use openmessaging_connector::converter::Decoded;
use openmessaging_connector::schema::envelope;
use openmessaging_connector::{Decoder, EntryType, Error, Field, Result, Schema, Type, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::column;
use crate::converter::json::reader;
use crate::converter::text::number::read_base64;

/// What a sink is given of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadAs {
    Row,
    Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    entry_type: Option<String>,
    payload: (String,),
    #[serde(default)]
    schema: Option<Described>,
    #[serde(default)]
    timestamp: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    data_source: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    fields: Vec<DescribedField>,
}

#[derive(Deserialize)]
struct DescribedField {
    name: String,
    #[serde(default, rename = "type")]
    ty: Option<String>,
}

pub(super) struct OriginalDecoder {
    read_as: ReadAs,
    source: Arc<Schema>,
    /// The schemas made last: those of a table change only where its values look different.
    row: Arc<Schema>,
    change: Arc<Schema>,
}

impl OriginalDecoder {
    pub fn new(read_as: ReadAs) -> Self {
        let text = Schema::new(Type::String).optional().shared();
        let fields = vec![Field::new("db", text.clone()), Field::new("table", text)];
        let source = Schema::structure("source", fields).shared();
        let row = Schema::structure("", Vec::new()).shared();
        Self { read_as, change: Schema::envelope("", &row, &source), source, row }
    }
}

/// Names and values of one image of a row.
#[derive(Default)]
struct Image {
    fields: Vec<Field>,
    values: Vec<Value<'static>>,
}

impl Image {
    fn push(&mut self, field: &DescribedField, json: &str) -> Result<(), serde_json::Error> {
        let (schema, value) = column::read(field.ty.as_deref().unwrap_or_default(), json)?;
        self.fields.push(Field::new(field.name.as_str(), schema.shared()));
        self.values.push(value);
        Ok(())
    }
}

impl Decoder for OriginalDecoder {
    fn decode<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Decoded<'a>> {
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return Ok(Decoded::null()) };
        let message: Message = serde_json::from_slice(reader::without_bom(bytes)).map_err(foreign)?;
        let payload = read_base64(&message.payload.0).ok_or_else(|| wrong("the payload is not base64"))?;
        let values: Vec<&RawValue> = serde_json::from_slice(&payload).map_err(foreign)?;
        let schema = message.schema.unwrap_or_default();
        if values.len() != schema.fields.len() {
            let message =
                format!("the payload has {} values and the schema {}", values.len(), schema.fields.len());
            return Err(wrong(&message));
        }
        let name = match (&schema.data_source, &schema.name) {
            (Some(database), Some(table)) => format!("{database}.{table}"),
            (database, table) => table.clone().or(database.clone()).unwrap_or_default(),
        };
        // only rows of a database have a data source, and only their values are pairs in a string
        if schema.data_source.is_none() {
            return self.plain(&name, &schema, &values);
        }
        let entry = match message.entry_type.as_deref() {
            Some("CREATE") | None => EntryType::Create,
            Some("UPDATE") => EntryType::Update,
            Some("DELETE") => EntryType::Delete,
            Some("TRUNCATE") => EntryType::Truncate,
            Some(_) => return Err(wrong("entryType is none of CREATE, UPDATE and DELETE")),
        };
        let (mut before, mut after) = (Image::default(), Image::default());
        for (field, value) in schema.fields.iter().zip(&values) {
            let pair: String = serde_json::from_str(value.get()).map_err(foreign)?;
            let [old, new]: [&RawValue; 2] = serde_json::from_str(&pair).map_err(foreign)?;
            before.push(field, old.get()).map_err(foreign)?;
            after.push(field, new.get()).map_err(foreign)?;
        }
        Ok(self.change(&name, entry, &schema, before, after, message.timestamp))
    }
}

impl OriginalDecoder {
    fn plain(&mut self, name: &str, schema: &Described, values: &[&RawValue]) -> Result<Decoded<'static>> {
        let mut image = Image::default();
        for (field, value) in schema.fields.iter().zip(values) {
            image.push(field, value.get()).map_err(foreign)?;
        }
        // a value that is no struct was written as the only field
        if image.values.len() == 1
            && schema.fields[0].name == "value"
            && let (Some(field), Some(value)) = (image.fields.pop(), image.values.pop())
        {
            return Ok(Decoded { schema: Some(field.schema), value });
        }
        let row = self.row(name, image.fields);
        Ok(Decoded { schema: Some(row.clone()), value: Value::Struct(row, image.values) })
    }

    fn change(
        &mut self,
        name: &str,
        entry: EntryType,
        described: &Described,
        before: Image,
        after: Image,
        timestamp: Option<i64>,
    ) -> Decoded<'static> {
        let (had, has) = match entry {
            EntryType::Create | EntryType::Read => (false, true),
            EntryType::Update => (true, true),
            EntryType::Delete => (true, false),
            EntryType::Truncate => (false, false),
        };
        // of the two images the one that is there tells the types; of two, the one whose value is not null
        let pairs = before.fields.into_iter().zip(after.fields).zip(before.values.iter().zip(&after.values));
        let fields =
            pairs.map(|((old, new), (was, is))| if is.is_null() && !was.is_null() { old } else { new });
        let fields = fields.collect();
        let row = self.row(name, fields);
        if self.read_as == ReadAs::Row {
            let value = if has { Value::Struct(row.clone(), after.values) } else { Value::Null };
            return Decoded { schema: Some(row), value };
        }
        let change = self.change.clone();
        let image = change.fields()[envelope::BEFORE].schema.clone();
        let side =
            |there: bool, values| if there { Value::Struct(image.clone(), values) } else { Value::Null };
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, |text| Value::Str(text.into()));
        let source = vec![text(&described.data_source), text(&described.name)];
        let values = vec![
            side(had, before.values),
            side(has, after.values),
            Value::Struct(self.source.clone(), source),
            Value::str(entry.op()),
            timestamp.map_or(Value::Null, Value::I64),
        ];
        Decoded { schema: Some(change.clone()), value: Value::Struct(change, values) }
    }

    /// The schema of such rows, the one made last where it is the same.
    fn row(&mut self, name: &str, fields: Vec<Field>) -> Arc<Schema> {
        if self.row.name.as_deref() != Some(name) || self.row.fields() != fields {
            self.row = Schema::structure(name, fields).shared();
            self.change = Schema::envelope(name, &self.row, &self.source);
        }
        self.row.clone()
    }
}

fn wrong(what: &str) -> Error {
    Error::record(
        "converter.not_original_json",
        format!("the message is none of the original runtime's: {what}"),
    )
    .with_remedy("configure the converter that the messages were written with")
}

fn foreign(error: serde_json::Error) -> Error {
    match error.classify() {
        serde_json::error::Category::Data => wrong(&format!(
            "a member is missing or has another type at line {} column {}",
            error.line(),
            error.column()
        )),
        _ => reader::not_json(error),
    }
}
