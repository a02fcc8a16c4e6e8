//! Converters by their names, and their options.

use openmessaging_connector::PluginKind;

use crate::support::*;

#[test]
fn each_name_finds_its_converter() {
    let kafka = "org.apache.kafka.connect.json.JsonConverter";
    let cases = [
        (kafka, kafka),
        ("JsonConverter", kafka),
        ("kafka-json", kafka),
        ("io.openmessaging.connect.runtime.converter.JsonConverter", ORIGINAL),
        ("oms-json", ORIGINAL),
        ("json", "io.openmessaging.connect.runtime.converter.PlainJsonConverter"),
        ("PlainJsonConverter", "io.openmessaging.connect.runtime.converter.PlainJsonConverter"),
        ("string", "org.apache.kafka.connect.storage.StringConverter"),
        ("StringConverter", "org.apache.kafka.connect.storage.StringConverter"),
        ("bytes", "org.apache.kafka.connect.converters.ByteArrayConverter"),
        ("ByteArrayConverter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
    ];
    let registry = registry();
    for (name, class) in cases {
        assert_eq!(registry.find(name, &[PluginKind::Converter]).expect(name).class, class, "{name}");
    }
    assert_eq!(registry.plugins().len(), 5);
}

#[test]
fn options_are_checked_and_unknown_ones_ignored() {
    let error =
        |name, key, value| try_converter(name, &[(key, value)], false).err().expect("refused").to_string();
    assert!(error(KAFKA, "schemas.enable", "maybe").contains("schemas.enable"));
    assert!(error(KAFKA, "schemas.cache.size", "x").contains("Not a number"));
    assert!(error(KAFKA, "decimal.format", "HEX").contains("BASE64, NUMERIC"));
    assert!(error("string", "converter.encoding", "klingon").contains("converter.encoding"));
    assert!(error(ORIGINAL, "read.as", "x").contains("row, envelope"));
    for name in [KAFKA, ORIGINAL, PLAIN, "string", "bytes"] {
        assert!(try_converter(name, &[("no.such.option", "1")], false).is_ok());
    }
}

#[test]
fn every_option_is_documented() {
    let page = include_str!("../../../../docs/reference/converters.md");
    for plugin in registry().plugins() {
        assert!(page.contains(&format!("`{}`", plugin.class)), "{}", plugin.class);
        for key in (plugin.config_def)().keys() {
            assert!(!key.documentation.is_empty() && key.default.is_some(), "{} {}", plugin.class, key.name);
            assert!(page.contains(&format!("`{}`", key.name)), "{} {}", plugin.class, key.name);
        }
    }
}
