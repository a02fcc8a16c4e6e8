//! TLS, by rustls: whom to trust, and which certificate to show.

use std::path::Path;
use std::sync::Arc;

use openmessaging::{Error, Result, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::settings::Settings;

/// The files of a TLS connection, for clients that read them themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub ca: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
}

impl Tls {
    /// `None`: without TLS.
    pub fn of(settings: &Settings<'_>) -> Result<Option<Self>> {
        let file = |name: &str| settings.text(name).map(str::to_owned);
        let tls = Self {
            ca: file("tls.ca.file"),
            certificate: file("tls.certificate.file"),
            key: file("tls.key.file"),
        };
        let wanted = if settings.is_given("tls") {
            settings.flag("tls")?
        } else {
            tls != Self::default() || settings.flag("tls")?
        };
        if tls.certificate.is_some() != tls.key.is_some() {
            let (given, missing) = if tls.key.is_some() {
                ("tls.key.file", "tls.certificate.file")
            } else {
                ("tls.certificate.file", "tls.key.file")
            };
            return Err(Error::new(StatusCode::BadParameter, format!("{given} is given without {missing}"))
                .with_remedy(format!("name {missing} too")));
        }
        Ok(wanted.then_some(tls))
    }

    /// For whoever connects with rustls. Reads the files now.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("tls", error))?
            .with_root_certificates(self.roots()?);
        let config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = certificates("tls.certificate.file", certificate)?;
                let key = PrivateKeyDer::from_pem_file(Path::new(key))
                    .map_err(|error| unreadable("tls.key.file", key, &error))?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|error| bad("tls.certificate.file", error))?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(file) => {
                for certificate in certificates("tls.ca.file", file)? {
                    roots.add(certificate).map_err(|error| bad("tls.ca.file", error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            let message = "no certificate authority is known to this system";
            return Err(Error::new(StatusCode::BadParameter, message)
                .with_remedy("name the server's authority in tls.ca.file, or install ca-certificates"));
        }
        Ok(roots)
    }
}

fn certificates(property: &str, file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(Path::new(file))
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let found = read.map_err(|error| unreadable(property, file, &error))?;
    if found.is_empty() {
        return Err(unreadable(property, file, &"it holds no certificate"));
    }
    Ok(found)
}

fn unreadable(property: &str, file: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(StatusCode::BadParameter, format!("{property} names {file}, which cannot be used: {why}"))
        .with_remedy("name a file in PEM format that this process can read")
}

fn bad(property: &str, why: rustls::Error) -> Error {
    Error::new(StatusCode::BadParameter, format!("{property}: {why}"))
        .with_remedy("name certificates and a key that belong together")
}
