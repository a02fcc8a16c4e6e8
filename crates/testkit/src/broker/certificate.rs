//! Certificates for clients, and authorities that nobody trusts; made by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::services::recorded;

/// The authority that signed a service's certificate; its key lies beside it.
pub fn authority(service: &str) -> PathBuf {
    PathBuf::from(recorded(service)["ca"].as_str().expect("the service's authority"))
}

/// A certificate for a client of that name, and its key, in that folder; signed by the authority, whose key lies beside it.
pub fn for_client(folder: &Path, authority: &Path, name: &str) -> (String, String) {
    let authority_key = authority.with_extension("key");
    let path = |ending: &str| folder.join(format!("{name}.{ending}")).display().to_string();
    std::fs::write(path("cnf"), "[client]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = clientAuth\n")
        .expect("written");
    openssl(&format!(
        "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {} -out {}",
        path("key"),
        path("csr")
    ));
    openssl(&format!(
        "x509 -req -in {} -CA {} -CAkey {} -set_serial 77 -days 30 -extfile {} -extensions client -out {}",
        path("csr"),
        authority.display(),
        authority_key.display(),
        path("cnf"),
        path("pem")
    ));
    (path("pem"), path("key"))
}

/// An authority that signed nothing of ours.
pub fn other_authority(folder: &Path) -> PathBuf {
    let (key, file) = (folder.join("other-ca.key"), folder.join("other-ca.pem"));
    let (key, made) = (key.display(), file.display());
    openssl(&format!("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=other -keyout {key} -out {made}"));
    file
}

fn openssl(line: &str) {
    let output = Command::new("openssl").args(line.split_ascii_whitespace()).output().expect("openssl");
    assert!(output.status.success(), "openssl {line}: {output:?}");
}
