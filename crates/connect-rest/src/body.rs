//! Bodies of requests, and the JSON in them. Errors say where and what is wrong and never repeat what was sent.

use indexmap::IndexMap;
use openmessaging_connector::Config;
use openmessaging_connector::config::nearest;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::{RestError, Result};

/// A configuration as it was sent: numbers and booleans as the text they were written in, null as `None`.
pub type SentConfig = IndexMap<String, Option<String>>;

/// The body of `POST /connectors`.
#[derive(Debug, PartialEq)]
pub struct CreateRequest {
    pub name: Option<String>,
    pub config: SentConfig,
    pub initial_state: Option<String>,
}

/// Reads `POST /connectors`.
pub fn create_request(body: &[u8]) -> Result<CreateRequest> {
    const FIELDS: [&str; 3] = ["name", "config", "initial_state"];
    let fields = object(body, "the request's body")?;
    if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        let near = nearest(unknown, FIELDS.into_iter())
            .map(|near| format!("did you mean {near}? "))
            .unwrap_or_default();
        let message = format!(
            "Unrecognized field {unknown:?} in the request's body ({near}it has name, config, initial_state)"
        );
        return Err(RestError::bad_request("json.unknown_field", message));
    }
    let text = |field: &str| fields.get(field).map(|raw| scalar(field, raw)).transpose().map(Option::flatten);
    let config = match fields.get("config") {
        Some(raw) if raw.get() != "null" => object(raw.get().as_bytes(), "\"config\"")?,
        _ => {
            let message =
                "\"config\" is missing: send {\"name\": \"...\", \"config\": {\"connector.class\": \"...\"}}";
            return Err(RestError::bad_request("json.missing_field", message));
        }
    };
    Ok(CreateRequest { name: text("name")?, config: scalars(config)?, initial_state: text("initial_state")? })
}

/// Reads a configuration: a flat object.
pub fn config(body: &[u8]) -> Result<SentConfig> {
    scalars(object(body, "the request's body")?)
}

/// The configuration without nulls.
///
/// # Errors
/// In Kafka Connect's words, where there is a null. Its worker refuses nulls of most keys in this way and lets the others
/// fail later; here all are refused.
pub fn without_nulls(sent: SentConfig) -> Result<Config> {
    let nulls: Vec<_> =
        sent.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| null_error(key)).collect();
    if nulls.is_empty() {
        return Ok(sent.into_iter().filter_map(|(key, value)| Some((key, value?))).collect());
    }
    let message = format!(
        "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list \
         of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
        nulls.len(),
        nulls.join("\n")
    );
    Err(RestError::bad_request("config.invalid", message))
}

/// What is wrong with a null.
pub fn null_error(key: &str) -> String {
    format!(
        "Null value can not be supplied as the configuration value. ({key}: leave it out, or give it a text)"
    )
}

/// Reads an object of known fields.
pub fn typed<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T> {
    // Read as an object first: what is wrong with the text is told in the same words everywhere.
    object(body, "the request's body")?;
    serde_json::from_slice(body).map_err(|error| {
        RestError::bad_request("json.field", format!("the request's body does not fit: {error}"))
    })
}

/// Reads the members of a JSON object; of a name that comes twice the last one counts.
pub fn object(text: &[u8], what: &str) -> Result<IndexMap<String, Box<RawValue>>> {
    let Some(first) = text.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Err(RestError::bad_request(
            "json.empty",
            format!("{what} is empty: a JSON object is expected"),
        ));
    };
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        Category::Data if *first != b'{' => RestError::bad_request(
            "json.not_object",
            format!("{what} is {}: a JSON object is expected", kind(*first)),
        ),
        // These texts are fixed and name a line and a column.
        Category::Syntax | Category::Eof => {
            RestError::bad_request("json.malformed", format!("{what} is no JSON: {error}"))
        }
        _ => RestError::bad_request("json.malformed", format!("{what} is no JSON text in UTF-8")),
    })
}

fn scalars(members: IndexMap<String, Box<RawValue>>) -> Result<SentConfig> {
    members.into_iter().map(|(key, raw)| scalar(&key, &raw).map(|value| (key, value))).collect()
}

/// A string, or the text of a number or boolean as it was written.
fn scalar(key: &str, raw: &RawValue) -> Result<Option<String>> {
    let text = raw.get();
    match text.bytes().next().unwrap_or_default() {
        b'n' => Ok(None),
        b'"' => serde_json::from_str(text).map(Some).map_err(|_| {
            RestError::bad_request(
                "json.malformed",
                format!("the value of {key:?} is no text: it has half a surrogate pair"),
            )
        }),
        first @ (b'{' | b'[') => {
            let message =
                format!("the value of {key:?} is {}: a string, number or boolean is expected", kind(first));
            Err(RestError::bad_request("json.nested", message))
        }
        _ => Ok(Some(text.to_owned())),
    }
}

/// What a JSON value that begins with this byte is.
pub fn kind(first: u8) -> &'static str {
    match first {
        b'{' => "an object",
        b'[' => "an array",
        b'"' => "a string",
        b'n' => "null",
        b't' | b'f' => "a boolean",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(result: Result<impl std::fmt::Debug>) -> String {
        let error = result.expect_err("an error");
        assert_eq!(error.status, 400);
        error.message
    }

    #[test]
    fn numbers_and_booleans_keep_their_text_and_the_last_duplicate_wins() {
        let sent = config(
            br#"{"a":1.5,"b":1000.0,"c":true,"d":12345678901234567890,"e":"x","f":1,"a":1e3,"g":null}"#,
        );
        let sent = sent.expect("a configuration");
        let values: Vec<_> = sent.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(
            values,
            [
                ("a", Some("1e3")),
                ("b", Some("1000.0")),
                ("c", Some("true")),
                ("d", Some("12345678901234567890")),
                ("e", Some("x")),
                ("f", Some("1")),
                ("g", None),
            ]
        );
    }

    #[test]
    fn errors_name_the_place_and_never_what_was_sent() {
        for (body, code) in [
            (r#"{"pw": "hunter2""#, "json.malformed"),
            (r#"{"pw": hunter2}"#, "json.malformed"),
            (r#"{"pw": "hunter2"} hunter2"#, "json.malformed"),
            (r#""hunter2""#, "json.not_object"),
            (r#"["hunter2"]"#, "json.not_object"),
            (r#"{"pw": ["hunter2"]}"#, "json.nested"),
            (r#"{"pw": "hunter2\ud800"}"#, "json.malformed"),
            ("", "json.empty"),
            (" \n", "json.empty"),
        ] {
            let error = config(body.as_bytes()).expect_err(body);
            assert_eq!((error.status.as_u16(), error.code), (400, code), "{body}");
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
        assert_eq!(config(b"{\"a\":\"\xff\"}").expect_err("no UTF-8").code, "json.malformed");
        assert!(message(config(b"{\"a\": 1,}")).contains("line 1 column 9"));
    }

    #[test]
    fn a_create_request_has_three_fields() {
        let request =
            create_request(br#"{"name":"n","config":{"a":1},"initial_state":"paused"}"#).expect("fine");
        assert_eq!(request.name.as_deref(), Some("n"));
        assert_eq!(request.initial_state.as_deref(), Some("paused"));
        assert!(message(create_request(br#"{"name":"n","conifg":{}}"#)).contains("did you mean config?"));
        assert!(message(create_request(br#"{"name":"n"}"#)).contains("\"config\" is missing"));
        assert!(message(create_request(br#"{"name":"n","config":null}"#)).contains("\"config\" is missing"));
        assert!(message(create_request(br#"{"name":"n","config":[]}"#)).contains("\"config\" is an array"));
        assert!(message(create_request(br#"{"name":{},"config":{}}"#)).contains("\"name\" is an object"));
    }

    #[test]
    fn nulls_are_refused_in_kafka_connects_words() {
        let error = without_nulls(config(br#"{"a":null,"b":"1"}"#).expect("read"));
        let text = message(error);
        assert!(text.starts_with(
            "Connector configuration is invalid and contains the following 1 error(s):\nNull value"
        ));
        assert!(text.contains("(a: leave it out"), "{text}");
        assert_eq!(without_nulls(config(br#"{"b":"1"}"#).expect("read")).expect("no nulls")["b"], "1");
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused_without_repeating_it(text in "[\\[\\]{}:,\"a1nt \\\\]{0,20}(SECRET)?[\\[\\]{}:,\" ]{0,10}") {
            for result in [config(text.as_bytes()).map(drop), create_request(text.as_bytes()).map(drop)] {
                if let Err(error) = result {
                    prop_assert_eq!(error.status.as_u16(), 400);
                    // Keys are named, so that they can be found; values and text that is no JSON never are.
                    let names_key = ["json.unknown_field", "json.nested"].contains(&error.code);
                    prop_assert!(names_key || !error.message.contains("SECRET"), "{}", error.message);
                }
            }
        }
    }
}
