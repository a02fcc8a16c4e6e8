//! The checked-in description of the API.

/// `OMS_UPDATE_GOLDEN=1 cargo test -p connect-rest openapi` writes it anew.
#[test]
fn the_document_is_the_checked_in_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let now = connect_rest::openapi_json();
    if std::env::var_os("OMS_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &now).expect("the document is written");
    }
    let checked_in = std::fs::read_to_string(path).expect("docs/reference/openapi.json is there");
    assert!(
        checked_in == now,
        "docs/reference/openapi.json is not what the code says: run with OMS_UPDATE_GOLDEN=1"
    );
}

#[test]
fn every_operation_has_its_own_id() {
    let document: serde_json::Value = serde_json::from_str(&connect_rest::openapi_json()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|path| path.as_object().expect("operations").values());
    let mut ids: Vec<_> =
        operations.map(|operation| operation["operationId"].as_str().expect("an id")).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{ids:?}");
}
