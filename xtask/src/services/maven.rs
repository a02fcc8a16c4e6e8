//! Jars from Maven Central, with everything that they need.

use std::path::Path;
use std::process::Command;

use super::{apt, files};
use crate::{Result, run};

/// Puts the dependencies of a `pom.xml` into the folder `libs` in `dist`; does nothing when it is there already.
pub fn jars(what: &str, pom: &str, dist: &Path, libs: &Path) -> Result<()> {
    if libs.exists() {
        return Ok(());
    }
    if run::find_program("mvn").is_none() {
        apt::install(&["maven"])?;
    }
    println!("downloading {what} into {}", dist.display());
    let draft = dist.join("libs.new");
    files::make_folder(dist)?;
    files::remove_folder(&draft)?;
    files::make_folder(&draft)?;
    files::write(&dist.join("pom.xml"), pom)?;
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", draft.display()))
        .current_dir(dist);
    run::output(&mut maven)?;
    // Renamed when it is whole, so that an interrupted one is not taken for it.
    std::fs::rename(&draft, libs).map_err(|error| format!("cannot write {}: {error}", libs.display()))
}
