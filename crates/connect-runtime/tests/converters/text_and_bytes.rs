//! StringConverter and ByteArrayConverter.

use std::borrow::Cow;

use openmessaging_connector::{Field, Schema, Type, Value};

use crate::support::*;

#[test]
fn values_look_as_java_shows_them() {
    let string = converter("string", &[]);
    let row = row_schema();
    let text = encode(&string, Some(&row), &full_row(&row)).expect("bytes");
    assert_eq!(
        text,
        "Struct{id=9007199254740993,qty=-3,tiny=300,i8=-1,state=a,b,tags=x,y,price=-12345.60,ratio=1.0E7,ratio32=0.1,\
         flag=true,note=a \"b\" \\ / é 😀 \n,blob=AAH/Aw==,doc={\"a\": [1, 2]},uid=6f1c2e7a-0b1d-4c3e-9f00-000000000001,\
         d=2020-01-02,t=-12:03:04.5,ts3=2020-01-02T03:04:05.678,ts6=2020-01-02T03:04:05.678901,\
         tz=2020-01-02T03:04:05.678Z,y=2020,bit1=true,bits=Crw=,geo=5hAAAAEBAAAA}"
    );
    assert_eq!(encode(&string, None, &empty_row(&row, 7)).as_deref(), Some("Struct{id=7}"));
    let map = Value::Map(vec![
        (Value::str("a"), Value::Array(vec![Value::I64(1), Value::Null, Value::F64(f64::NAN)])),
        (Value::I64(2), Value::Map(Vec::new())),
    ]);
    assert_eq!(encode(&string, None, &map).as_deref(), Some("{a=[1, null, NaN], 2={}}"));
    assert_eq!(encode(&string, None, &Value::str("plain \"text\"")).as_deref(), Some("plain \"text\""));
    assert_eq!(encode(&string, None, &Value::Null), None);
    let inner = Schema::structure("i", vec![Field::new("x", of(Type::Int32))]).shared();
    let outer = Schema::structure("o", vec![Field::new("i", inner.clone())]).shared();
    let value = Value::Struct(outer.clone(), vec![Value::Struct(inner, vec![Value::I64(1)])]);
    assert_eq!(encode(&string, Some(&outer), &value).as_deref(), Some("Struct{i=Struct{x=1}}"));
}

#[test]
fn text_is_borrowed_and_never_refused() {
    let string = converter("string", &[]);
    let decoded = decode(&string, "é".as_bytes()).expect("text");
    assert!(matches!(&decoded.value, Value::Str(Cow::Borrowed("é"))));
    assert_eq!(decoded.schema, Some(optional(Type::String)));
    assert_eq!(decode(&string, b"a\xffb").expect("text").value, Value::str("a\u{fffd}b"));
    assert_eq!(decode(&string, b"").expect("text").value, Value::str(""));
    assert_eq!(string.decoder().decode(None).expect("null").value, Value::Null);
}

#[test]
fn other_character_sets_go_both_ways() {
    let latin = converter("string", &[("converter.encoding", "ISO-8859-1")]);
    let mut encoder = latin.encoder();
    let queue = std::sync::Arc::from("q");
    let partition = openmessaging_connector::SourcePartition::of("a", "b");
    let head = openmessaging_connector::RecordHead {
        queue: &queue,
        queue_partition: None,
        sharding_key: None,
        entry: openmessaging_connector::EntryType::Create,
        timestamp_ms: 0,
        source_partition: &partition,
    };
    encoder.start(&head, None, b"x".to_vec());
    Value::str("é€").visit(&mut *encoder);
    let (out, result) = encoder.finish();
    assert_eq!((out, result.expect("written")), (vec![b'x', 0xe9, b'?'], true));
    assert_eq!(decode(&latin, &[0xe9]).expect("text").value, Value::str("é"));
}

#[test]
fn bytes_pass_and_nothing_else_does() {
    let converter = converter("bytes", &[]);
    assert_eq!(encode(&converter, None, &bytes(b"abc")).as_deref(), Some("abc"));
    assert_eq!(encode(&converter, None, &Value::Null), None);
    let decoded = decode(&converter, b"\xff\x00").expect("bytes");
    assert!(matches!(&decoded.value, Value::Bytes(Cow::Borrowed(b"\xff\x00"))));
    let row = row_schema();
    for value in [
        Value::str("x"),
        Value::I64(1),
        full_row(&row),
        Value::Array(vec![bytes(b"a")]),
        Value::Map(Vec::new()),
    ] {
        let error =
            encode_with(&mut *converter.encoder(), ORDERS, None, &value).expect_err("refused").to_string();
        assert!(error.contains("converter.not_bytes") && error.contains("StringConverter"), "{error}");
    }
}
