//! The original runtime's `JsonConverter`: whole messages in the bytes that it wrote, so that its consumers keep working.
//!
//! `{"entryType":E,"payload":["P"],"queueName":Q,"schema":{"dataSource":D,"fields":[...],"name":T},"timestamp":MS}`: members
//! sorted, no blanks, nulls left out. P is the base64 of a JSON array of strings, one a column, each the JSON of
//! `[before,after]`. Where ours differs on purpose is listed in `docs/reference/converters.md`.

mod change;
mod column;
mod decoder;
mod encoder;
mod format;
mod message;

use std::sync::Arc;

use openmessaging_connector::config::{Importance, Key, KeyType};
use openmessaging_connector::{Config, ConfigDef, Converter, Decoder, Encoder, Result};

use super::plain_json::PlainJson;
use decoder::{OriginalDecoder, ReadAs};
use encoder::OriginalEncoder;

const READ_AS: &str = "read.as";

pub(super) fn config_def() -> ConfigDef {
    ConfigDef::new().key(
        Key::new(
            READ_AS,
            KeyType::String,
            "What a sink is given of a change: its row as it is afterwards, null for a delete (row), or before, \
             after, source, op and ts_ms (envelope), which a sink that is to delete rows needs.",
        )
        .default("row")
        .one_of(&["row", "envelope"])
        .importance(Importance::Low),
    )
}

/// The original had no message keys: a key is written as plain JSON.
pub(super) fn converter(options: &Config, is_key: bool) -> Result<Arc<dyn Converter>> {
    let options = super::parse(&config_def(), options)?;
    if is_key {
        return Ok(Arc::new(PlainJson));
    }
    let read_as =
        if options.str(READ_AS).eq_ignore_ascii_case("envelope") { ReadAs::Envelope } else { ReadAs::Row };
    Ok(Arc::new(OriginalJson { read_as }))
}

struct OriginalJson {
    read_as: ReadAs,
}

impl Converter for OriginalJson {
    /// The original's messages had none.
    fn leaves_out_keys(&self) -> bool {
        true
    }

    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(OriginalEncoder::new())
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(OriginalDecoder::new(self.read_as))
    }
}
