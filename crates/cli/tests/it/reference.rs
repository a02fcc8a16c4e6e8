//! The pages of `docs/reference` that are made from the code say what the code says.

use crate::common::Home;

#[test]
fn the_pages_are_in_step() {
    let home = Home::new();
    for page in ["worker-config", "cli", "connectors", "drivers"] {
        let made = home.run(&["reference", page]).ok();
        let path = format!("{}/../../docs/reference/{page}.md", env!("CARGO_MANIFEST_DIR"));
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
        assert!(
            made == kept,
            "docs/reference/{page}.md is behind the code, first at {differs:?}: \
             cargo run -- reference {page} > docs/reference/{page}.md"
        );
    }
}
