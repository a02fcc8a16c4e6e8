//! Where the source is: the last change given, and the snapshot that is under way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openmessaging_connector::{Error, Position, Result};
use rusqlite::types::Value as Datum;
use serde_json::{Map, Value as Json, json};

/// A position, read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Place {
    /// Which installation of the capture the numbers are of; empty where a user set the position by hand.
    pub capture: String,
    /// All changes up to this number were given.
    pub change: i64,
    /// Of the change behind it, this many records were given.
    pub skip: u64,
    pub snapshot: Option<Snapshot>,
}

/// A table that is sent whole, in the order of its rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    /// The number of the change that asks for it.
    pub marker: i64,
    /// The row id, or the primary key of a table without row ids, of the last row given.
    pub after: Option<Vec<Datum>>,
}

impl Place {
    /// The position's base; [`skip`](Self::skip) is its step.
    pub(super) fn render(&self) -> String {
        let Some(snapshot) = &self.snapshot else {
            // The common case, once for every record. A capture's name is made of letters and digits.
            return format!(r#"{{"change":{},"capture":"{}"}}"#, self.change, self.capture);
        };
        let mut state = json!({"marker": snapshot.marker});
        if let Some(after) = &snapshot.after {
            state["after"] = after.iter().map(to_json).collect();
        }
        json!({"change": self.change, "capture": self.capture, "snapshot": state}).to_string()
    }

    /// # Errors
    /// `sqlite.bad_position`, where it is not one of ours.
    pub(super) fn parse(position: &Position) -> Result<Self> {
        let bad = |what: &str| {
            Error::fatal("sqlite.bad_position", format!("the stored position {} {what}", position.base))
                .with_remedy("set it to {\"change\": NUMBER}, or reset the connector's offsets")
        };
        let object: Map<String, Json> =
            serde_json::from_str(&position.base).map_err(|_| bad("is no JSON object"))?;
        let change =
            object.get("change").and_then(Json::as_i64).ok_or_else(|| bad("has no whole number `change`"))?;
        let capture = object.get("capture").and_then(Json::as_str).unwrap_or_default();
        if !capture.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(bad("has a `capture` which is not ours"));
        }
        let snapshot = object.get("snapshot").map(|state| {
            let marker = state.get("marker").and_then(Json::as_i64)?;
            let after = match state.get("after") {
                None => None,
                Some(after) => Some(after.as_array()?.iter().map(from_json).collect::<Option<_>>()?),
            };
            Some(Snapshot { marker, after })
        });
        let snapshot = match snapshot {
            Some(None) => return Err(bad("has a `snapshot` that cannot be read")),
            Some(found) => found,
            None => None,
        };
        Ok(Self { capture: capture.to_owned(), change, skip: position.step, snapshot })
    }
}

/// Numbers and texts are themselves; what JSON has not is an object of one member that names the kind.
fn to_json(value: &Datum) -> Json {
    match value {
        Datum::Null => Json::Null,
        Datum::Integer(value) => json!(value),
        Datum::Text(text) => json!(text),
        // Shortest text that reads back the same, infinities included.
        Datum::Real(value) => json!({"real": format!("{value:?}")}),
        Datum::Blob(bytes) => json!({"blob": STANDARD.encode(bytes)}),
    }
}

fn from_json(value: &Json) -> Option<Datum> {
    match value {
        Json::Null => Some(Datum::Null),
        Json::Number(number) => number.as_i64().map(Datum::Integer),
        Json::String(text) => Some(Datum::Text(text.clone())),
        Json::Object(object) => match (object.get("real"), object.get("blob")) {
            (Some(real), _) => real.as_str()?.parse().ok().map(Datum::Real),
            (_, Some(blob)) => STANDARD.decode(blob.as_str()?).ok().map(Datum::Blob),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datum() -> impl Strategy<Value = Datum> {
        prop_oneof![
            Just(Datum::Null),
            any::<i64>().prop_map(Datum::Integer),
            any::<f64>().prop_filter("a number", |real| !real.is_nan()).prop_map(Datum::Real),
            ".*".prop_map(Datum::Text),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Datum::Blob),
        ]
    }

    proptest! {
        #[test]
        fn positions_come_back(
            change in any::<i64>(),
            skip in any::<u64>(),
            marker in any::<i64>(),
            after in prop::option::of(prop::collection::vec(datum(), 0..4)),
            whole in any::<bool>(),
        ) {
            let snapshot = (!whole).then_some(Snapshot { marker, after });
            let place = Place { capture: "a1".to_owned(), change, skip, snapshot };
            let position = Position { base: place.render().into(), step: skip };
            let stored = Position::from_object(position.to_object()).expect("stored");
            prop_assert_eq!(Place::parse(&stored).expect("read"), place);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = Place::parse(&Position::new(text));
        }
    }
}
