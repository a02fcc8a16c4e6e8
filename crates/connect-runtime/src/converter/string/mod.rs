//! `org.apache.kafka.connect.storage.StringConverter`: the text of a value, as Java's `toString` would have it.

mod charset;
mod encoder;

use std::borrow::Cow;
use std::sync::Arc;

use openmessaging_connector::config::{Key, KeyType, Validator};
use openmessaging_connector::converter::Decoded;
use openmessaging_connector::{Config, ConfigDef, Converter, Decoder, Encoder, Result, Schema, Type, Value};

use charset::Charset;
use encoder::StringEncoder;

const ENCODING: &str = "converter.encoding";

pub(super) fn config_def() -> ConfigDef {
    ConfigDef::new().key(
        Key::new(
            ENCODING,
            KeyType::String,
            "The character set of the bytes: UTF-8, UTF-16, UTF-16BE, UTF-16LE, US-ASCII, ISO-8859-1 or any other \
             of the WHATWG's list (windows-1252, GBK, Shift_JIS, ...).",
        )
        .default("UTF-8")
        .validator(Validator::Check(|name| match Charset::of(name) {
            Some(_) => Ok(()),
            None => Err("no character set is known by that name".to_owned()),
        })),
    )
}

pub(super) fn converter(options: &Config, _is_key: bool) -> Result<Arc<dyn Converter>> {
    let options = super::parse(&config_def(), options)?;
    let charset = Charset::of(options.str(ENCODING)).unwrap_or(Charset::Utf8);
    Ok(Arc::new(StringConverter { charset, schema: Schema::new(Type::String).optional().shared() }))
}

struct StringConverter {
    charset: Charset,
    schema: Arc<Schema>,
}

impl Converter for StringConverter {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(StringEncoder::new(self.charset))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(StringDecoder { charset: self.charset, schema: self.schema.clone() })
    }
}

struct StringDecoder {
    charset: Charset,
    schema: Arc<Schema>,
}

impl Decoder for StringDecoder {
    fn decode<'a>(&mut self, bytes: Option<&'a [u8]>) -> Result<Decoded<'a>> {
        let text: Option<Cow<'a, str>> = bytes.map(|bytes| self.charset.decode(bytes));
        Ok(Decoded { schema: Some(self.schema.clone()), value: text.map_or(Value::Null, Value::Str) })
    }
}
