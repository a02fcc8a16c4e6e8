//! Where things are in the checkout.

use std::path::PathBuf;

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.parent().map(PathBuf::from).unwrap_or(manifest)
}

/// Where the test servers live. Always in the checkout's own `target`, also when `CARGO_TARGET_DIR` points elsewhere,
/// because `testkit` looks for `state.json` there.
pub fn services() -> PathBuf {
    root().join("target").join("services")
}
