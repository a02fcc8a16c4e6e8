//! Private server instances of tests (`testkit::services::PrivateServer`), when the test was killed before it could end
//! them: each has a folder under `target/services/private` with a file that says whose it is.

use std::path::Path;

use serde::Deserialize;

use super::process::Process;

/// `owner.json`, written by `testkit`.
#[derive(Deserialize)]
struct Owner {
    owner: Process,
    server: Option<Process>,
}

/// Ends the servers whose owner is gone, and removes their folders. Best effort: the next call tries again.
pub fn remove_orphans(folder: &Path) {
    let Ok(listing) = std::fs::read_dir(folder) else { return };
    for instance in listing.flatten().map(|entry| entry.path()) {
        let Ok(text) = std::fs::read_to_string(instance.join("owner.json")) else { continue };
        let Ok(Owner { owner, server }) = serde_json::from_str(&text) else { continue };
        if owner.is_alive() {
            continue;
        }
        let ended = server.is_none_or(|server| server.stop().is_ok());
        if ended {
            let _ = std::fs::remove_dir_all(&instance);
        }
    }
}
