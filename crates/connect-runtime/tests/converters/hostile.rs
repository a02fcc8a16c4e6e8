//! Bytes from anywhere: a value or an error, never a panic, and no more memory than they are worth.

use openmessaging_connector::Value;
use openmessaging_connector::converter::Decoded;
use proptest::prelude::*;

use crate::any_value::described;
use crate::support::*;

fn all() -> Vec<std::sync::Arc<dyn openmessaging_connector::Converter>> {
    let mut all: Vec<_> = [KAFKA, PLAIN, ORIGINAL, "string", "bytes"].map(|name| converter(name, &[])).into();
    all.push(converter(KAFKA, &[("schemas.enable", "false")]));
    all.push(converter(ORIGINAL, &[("read.as", "envelope")]));
    all.push(converter("string", &[("converter.encoding", "UTF-16")]));
    all
}

/// How many values there are in a value.
fn size(value: &Value<'_>) -> usize {
    1 + match value {
        Value::Struct(_, values) | Value::Array(values) => values.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(key, value)| size(key) + size(value)).sum(),
        _ => 0,
    }
}

const PIECES: [&str; 36] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"schema\"",
    "\"payload\"",
    "\"type\"",
    "\"struct\"",
    "\"fields\"",
    "\"field\"",
    "\"a\"",
    "\"int32\"",
    "\"bytes\"",
    "\"map\"",
    "\"array\"",
    "\"items\"",
    "\"keys\"",
    "\"values\"",
    "\"optional\"",
    "true",
    "null",
    "1",
    "-1.5e9",
    "\"default\"",
    "\"name\"",
    "\"org.apache.kafka.connect.data.Decimal\"",
    "\"parameters\"",
    "\"scale\"",
    "\"99999999999\"",
    "\"io.debezium.time.ZonedTimestamp\"",
    "\"WyJbMSwyXSJd\"",
    "\"dataSource\"",
    "\"\\ud800\"",
    "1e99999",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for converter in all() {
            let _ = decode(&converter, &bytes);
        }
    }

    #[test]
    fn pieces_of_messages(pieces in proptest::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = pieces.into_iter().map(|at| PIECES[at]).collect();
        for converter in all() {
            let _ = decode(&converter, text.as_bytes());
        }
    }

    #[test]
    fn damaged_messages((schema, value) in described(3), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        for (made, converter) in all().iter().enumerate() {
            if made == 4 || made == 7 {
                continue; // bytes, which not every value is, and UTF-16, which is no UTF-8
            }
            let Some(text) = encode(converter, Some(&schema), &value) else { continue };
            let mut bytes = text.into_bytes();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                if cut {
                    bytes.truncate(at);
                }
            }
            for converter in all() {
                let _ = decode(&converter, &bytes);
            }
        }
    }
}

fn kafka(schema: &str, payload: &str) -> Result<Decoded<'static>, openmessaging_connector::Error> {
    let text = format!("{{\"schema\":{schema},\"payload\":{payload}}}");
    let mut decoder = converter(KAFKA, &[]).decoder();
    decoder
        .decode(Some(text.as_bytes()))
        .map(|decoded| Decoded { schema: decoded.schema, value: decoded.value.into_owned() })
}

#[test]
fn nesting_is_bounded_everywhere() {
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    for text in [deep("[", "]"), deep("{\"a\":", "}"), "[".repeat(1_000_000)] {
        for name in [KAFKA, PLAIN, ORIGINAL] {
            assert!(decode(&converter(name, &[]), text.as_bytes()).is_err());
        }
        assert!(kafka("null", &text).is_err());
        assert!(kafka(&text, "1").is_err());
    }
    let schema = deep("{\"type\":\"array\",\"items\":", "}");
    assert!(kafka(&schema, "[]").is_err());
}

#[test]
fn a_small_message_does_not_fill_the_memory() {
    let field = |n: usize| format!("{{\"type\":\"int32\",\"optional\":true,\"field\":\"f{n}\"}}");
    let fields = (0..2000).map(field).collect::<Vec<_>>().join(",");
    let wide = format!("{{\"type\":\"struct\",\"fields\":[{fields}]}}");
    let many = vec!["{}"; 100_000].join(",");
    let error = kafka(&format!("{{\"type\":\"array\",\"items\":{wide}}}"), &format!("[{many}]"))
        .expect_err("too many");
    assert!(error.to_string().contains("too many members are missing"), "{error}");
    let default = "x".repeat(100_000);
    let text = format!("{{\"type\":\"array\",\"items\":{{\"type\":\"string\",\"default\":\"{default}\"}}}}");
    assert!(kafka(&text, &format!("[{}]", vec!["null"; 100_000].join(","))).is_err());
    let few = kafka(&format!("{{\"type\":\"array\",\"items\":{wide}}}"), "[{},{}]").expect("few");
    assert_eq!(size(&few.value), 1 + 2 * 2001);
    let decimal = |scale: &str| {
        let schema = format!(
            "{{\"type\":\"bytes\",\"name\":\"org.apache.kafka.connect.data.Decimal\",\"parameters\":{{\"scale\":\"{scale}\"}}}}"
        );
        (
            kafka(&schema, "\"AQ==\""),
            kafka(&schema, "1"),
            kafka(&schema, "1e2147483647"),
            kafka(&schema, "1e-2147483647"),
        )
    };
    for scale in ["2147483647", "-2147483648", "99999999999999999999", "x", ""] {
        let (bytes, number, ..) = decimal(scale);
        assert!(bytes.is_err() && number.is_err(), "{scale}");
    }
    let (.., large, small) = decimal("2");
    assert!(large.is_err() && small.is_err());
}
