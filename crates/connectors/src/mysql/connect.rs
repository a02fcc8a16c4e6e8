//! Connections: how one is made, with and without TLS.

use std::time::Duration;

use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts};
use openmessaging_connector::{Error, Result};

use super::config::{Address, SslMode};
use super::error;

/// Opens a connection whose character set is `utf8mb4` and whose time zone is UTC.
///
/// # Errors
/// `mysql.unreachable` (retriable), `mysql.access_denied`, `mysql.tls_refused`, each naming the server. Takes at most the
/// connect timeout for each of the two ways that `preferred` TLS may try.
pub async fn connect(address: &Address) -> Result<Conn> {
    check_files(address).await?;
    match address.ssl_mode {
        SslMode::Disabled => open(address, None).await,
        SslMode::Preferred => match open(address, tls(address)).await {
            Err(error) if error.code == "mysql.tls_refused" => open(address, None).await,
            result => result,
        },
        SslMode::Required | SslMode::VerifyCa | SslMode::VerifyIdentity => open(address, tls(address)).await,
    }
}

async fn open(address: &Address, ssl: Option<SslOpts>) -> Result<Conn> {
    let opts: Opts = OptsBuilder::default()
        .ip_or_hostname(address.host.clone())
        .tcp_port(address.port)
        .user(Some(address.user.clone()))
        .pass(Some(address.password.expose().to_owned()))
        .ssl_opts(ssl)
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .init(vec!["SET time_zone = '+00:00'", "SET NAMES utf8mb4"])
        .into();
    match tokio::time::timeout(address.connect_timeout, Conn::new(opts)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(problem)) => Err(error::from_driver(problem, address, "connect")),
        Err(_) => {
            let problem = format!("no answer within {} ms", address.connect_timeout.as_millis());
            Err(error::unreachable(&address.server(), "connect", &problem))
        }
    }
}

fn tls(address: &Address) -> Option<SslOpts> {
    let verify_ca = matches!(address.ssl_mode, SslMode::VerifyCa | SslMode::VerifyIdentity);
    let roots = address.ssl_ca.iter().map(|path| path.clone().into()).collect();
    let identity =
        address.ssl_identity.clone().map(|(cert, key)| ClientIdentity::new(cert.into(), key.into()));
    Some(
        SslOpts::default()
            .with_root_certs(roots)
            .with_disable_built_in_roots(address.ssl_ca.is_some())
            .with_danger_accept_invalid_certs(!verify_ca)
            .with_danger_skip_domain_validation(address.ssl_mode != SslMode::VerifyIdentity)
            .with_client_identity(identity),
    )
}

/// A file that cannot be read would come out of the driver without its name.
async fn check_files(address: &Address) -> Result<()> {
    let identity = address.ssl_identity.as_ref();
    let files = [
        ("database.ssl.ca", address.ssl_ca.as_ref()),
        ("database.ssl.cert", identity.map(|(cert, _)| cert)),
        ("database.ssl.key", identity.map(|(_, key)| key)),
    ];
    for (key, file) in files {
        let Some(file) = file else { continue };
        if let Err(problem) = tokio::fs::metadata(file).await {
            return Err(Error::config(
                "config.invalid",
                key,
                format!("{} cannot be read: {problem}", file.display()),
            )
            .with_remedy("give the path of a PEM file that the worker may read"));
        }
    }
    Ok(())
}
