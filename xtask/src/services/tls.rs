//! A certificate authority and a certificate for 127.0.0.1 and localhost, for every server that speaks TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{apt, files};
use crate::{Result, run};

pub struct Tls {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Makes them once in `folder`; they last ten years.
pub fn ensure(folder: &Path) -> Result<Tls> {
    let file = |name: &str| folder.join(name);
    let tls = Tls { ca: file("ca.pem"), certificate: file("server.pem"), key: file("server.key") };
    // The certificate is the last file written, so its presence says that all of them are.
    if tls.certificate.exists() {
        return Ok(tls);
    }
    if run::find_program("openssl").is_none() {
        apt::install(&["openssl"])?;
    }
    files::make_folder(folder)?;
    files::write(&file("openssl.cnf"), CONFIGURATION)?;
    let openssl = |line: &str| {
        let arguments = line.split_ascii_whitespace();
        run::output(Command::new("openssl").args(arguments).current_dir(folder)).map(|_| ())
    };
    openssl(
        "req -config openssl.cnf -x509 -newkey rsa:2048 -nodes -days 3650 -extensions authority \
             -subj /CN=omsconnect-test-authority -keyout ca.key -out ca.pem",
    )?;
    openssl(
        "req -config openssl.cnf -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    )?;
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 \
             -extfile openssl.cnf -extensions server -out server.new",
    )?;
    std::fs::rename(file("server.new"), &tls.certificate)
        .map_err(|error| format!("cannot write {}: {error}", tls.certificate.display()))?;
    Ok(tls)
}

/// Our own, because what the system's configuration adds differs from one release to the next.
const CONFIGURATION: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
";
