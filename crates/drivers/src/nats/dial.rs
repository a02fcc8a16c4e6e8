//! Making a connection: INFO, TLS, CONNECT, PONG.

use std::time::Duration;

use openmessaging::url::Endpoint;
use openmessaging::{Error, Result, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::{Config, address};
use super::error::{forbidden, unavailable};
use super::wire::{self, Op, Parsed};

/// The oldest server that this driver was made for.
const OLDEST: (u64, u64) = (2, 9);

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a server says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ServerInfo {
    pub version: String,
    pub server_name: String,
    pub headers: bool,
    pub max_payload: usize,
    pub auth_required: bool,
    pub tls_required: bool,
    pub tls_available: bool,
    pub nonce: String,
    pub cluster: Option<String>,
    /// The servers of the cluster, `host:port`.
    pub connect_urls: Vec<String>,
}

impl ServerInfo {
    /// Major and minor number.
    pub fn release(&self) -> Option<(u64, u64)> {
        let mut parts = self.version.split(['.', '-']).map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    }
}

pub(super) struct Dialled {
    pub info: ServerInfo,
    pub stream: Box<dyn Duplex>,
    /// Read already.
    pub buffer: Vec<u8>,
}

/// Connects to one of these, in their order, each within `limit`.
pub(super) async fn dial(config: &Config, endpoints: &[Endpoint], limit: Duration) -> Result<Dialled> {
    let mut worst: Option<Error> = None;
    for endpoint in endpoints {
        let tried = tokio::time::timeout(limit, dial_one(config, endpoint)).await;
        match tried {
            Ok(Ok(dialled)) => return Ok(dialled),
            // What a server says matters more than that another one is not there.
            Ok(Err(error)) => {
                let before = worst.as_ref().map(|error| error.status);
                if before.is_none_or(|status| status == StatusCode::Unavailable) {
                    worst = Some(error);
                }
            }
            Err(_) => {
                let why = format!("no greeting of a NATS server within {} ms", limit.as_millis());
                worst.get_or_insert(unavailable(&server(endpoint), &why));
            }
        }
    }
    Err(worst.unwrap_or_else(|| unavailable(&config.server, &"no server is named")))
}

fn server(endpoint: &Endpoint) -> String {
    format!("nats at {}", address(endpoint))
}

async fn dial_one(config: &Config, endpoint: &Endpoint) -> Result<Dialled> {
    let server = server(endpoint);
    let io = |error: std::io::Error| unavailable(&server, &error);
    let tcp = TcpStream::connect(address(endpoint)).await.map_err(io)?;
    tcp.set_nodelay(true).map_err(io)?;
    let mut stream: Box<dyn Duplex> = Box::new(tcp);
    let mut buffer = Vec::new();
    let secured = config.tls.is_some() && config.tls_first;
    if secured {
        stream = secure(config, endpoint, &server, stream).await?;
    }
    let Some(info) = greeting(&server, &mut stream, &mut buffer).await? else {
        return Err(no_nats(&server, "it ended the connection at once"));
    };
    check(&server, config, &info)?;
    if config.tls.is_some() && !secured {
        stream = secure(config, endpoint, &server, stream).await?;
    }
    let mut out = format!("CONNECT {}\r\n", Value::Object(connect(config, &info)?)).into_bytes();
    out.extend_from_slice(b"PING\r\n");
    stream.write_all(&out).await.map_err(io)?;
    stream.flush().await.map_err(io)?;
    loop {
        match next(&server, &mut stream, &mut buffer).await? {
            Some((Op::Pong, _)) => return Ok(Dialled { info, stream, buffer }),
            Some((Op::Err(_), text)) => return Err(refused(&server, &text)),
            Some(_) => {}
            None => return Err(unavailable(&server, &"it ended the connection while we said who we are")),
        }
    }
}

/// A server that wants a certificate says so only after its own part of TLS is done.
fn broken(server: &str, error: &std::io::Error) -> Error {
    if error.to_string().to_ascii_lowercase().contains("certificate") {
        return Error::new(StatusCode::Unauthorized, format!("{server} refused the connection: {error}"))
            .with_remedy("show a certificate that it trusts: tls.certificate.file and tls.key.file");
    }
    unavailable(server, error)
}

/// Takes the next operation out of the buffer, with its text.
async fn next(
    server: &str,
    stream: &mut Box<dyn Duplex>,
    buffer: &mut Vec<u8>,
) -> Result<Option<(Op, String)>> {
    loop {
        match wire::parse(buffer, 0).map_err(|error| no_nats(server, &error.to_string()))? {
            Parsed::Op(op, end) => {
                let text = match &op {
                    Op::Err(range) | Op::Info(range) => {
                        String::from_utf8_lossy(&buffer[range.clone()]).into_owned()
                    }
                    _ => String::new(),
                };
                buffer.drain(..end);
                return Ok(Some((op, text)));
            }
            Parsed::Needs(_) => {
                let read = stream.read_buf(buffer).await.map_err(|error| broken(server, &error))?;
                if read == 0 {
                    return Ok(None);
                }
            }
        }
    }
}

async fn greeting(
    server: &str,
    stream: &mut Box<dyn Duplex>,
    buffer: &mut Vec<u8>,
) -> Result<Option<ServerInfo>> {
    match next(server, stream, buffer).await? {
        Some((Op::Info(_), text)) => {
            let info = serde_json::from_str(&text);
            info.map(Some).map_err(|error| no_nats(server, &format!("its INFO cannot be read: {error}")))
        }
        Some((Op::Err(_), text)) => Err(refused(server, &text)),
        Some(_) => Err(no_nats(server, "it does not begin with INFO")),
        None => Ok(None),
    }
}

fn check(server: &str, config: &Config, info: &ServerInfo) -> Result<()> {
    if info.release().is_none_or(|release| release < OLDEST) || !info.headers {
        let message =
            format!("{server} is NATS {}: this driver needs 2.9 or later, with headers", info.version);
        return Err(Error::new(StatusCode::UnsupportedVersion, message).with_remedy("upgrade that server"));
    }
    match (&config.tls, info.tls_required, info.tls_available) {
        (Some(_), false, false) => {
            Err(Error::new(StatusCode::BadParameter, format!("{server} does not speak TLS on this port"))
                .with_remedy("set tls = false, or give the server a tls block"))
        }
        (None, true, false) => {
            Err(Error::new(StatusCode::BadParameter, format!("{server} wants TLS on this port")).with_remedy(
                "set tls = true, and tls.ca.file where its authority is not one of the system's",
            ))
        }
        _ => Ok(()),
    }
}

async fn secure(
    config: &Config,
    endpoint: &Endpoint,
    server: &str,
    plain: Box<dyn Duplex>,
) -> Result<Box<dyn Duplex>> {
    let Some(tls) = &config.tls else { return Ok(plain) };
    let name = rustls::pki_types::ServerName::try_from(endpoint.host.clone()).map_err(|_| {
        Error::new(StatusCode::BadUrl, format!("\"{}\" cannot be the name in a certificate", endpoint.host))
            .with_remedy("name the server as its certificate does")
    })?;
    let secured = TlsConnector::from(tls.clone()).connect(name, plain).await;
    Ok(Box::new(secured.map_err(|error| tls_failed(server, &error))?))
}

fn tls_failed(server: &str, error: &std::io::Error) -> Error {
    let text = error.to_string();
    let (status, remedy) = if text.to_ascii_lowercase().contains("certificate") {
        (
            StatusCode::BadParameter,
            "name the authority of the server's certificate in tls.ca.file, and the server as its certificate does",
        )
    } else {
        (
            StatusCode::Unavailable,
            "look at whether the server speaks TLS on this port (tls, tls.first), and at its log",
        )
    };
    Error::new(status, format!("{server}: TLS failed: {text}")).with_remedy(remedy)
}

fn no_nats(server: &str, why: &str) -> Error {
    Error::new(StatusCode::Unavailable, format!("{server}: {why}")).with_remedy(
        "name the port for clients of a NATS server; where TLS begins at once, set tls.first = true",
    )
}

fn connect(config: &Config, info: &ServerInfo) -> Result<Map<String, Value>> {
    let mut connect = Map::new();
    for (name, value) in [
        ("verbose", json!(false)),
        ("pedantic", json!(false)),
        ("tls_required", json!(config.tls.is_some())),
        ("name", json!(config.name)),
        ("lang", json!("rust-omsconnect")),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("protocol", json!(1)),
        ("echo", json!(true)),
        ("headers", json!(true)),
        ("no_responders", json!(true)),
    ] {
        connect.insert(name.to_owned(), value);
    }
    config.auth.sign(&info.nonce, &mut connect)?;
    Ok(connect)
}

/// What a server says before it ends a connection.
pub(super) fn refused(server: &str, text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    let (status, remedy) = if lower.starts_with("permissions violation") {
        return forbidden(server, text);
    } else if lower.contains("authorization") || lower.contains("authentication") || lower.contains("revoked")
    {
        (StatusCode::Unauthorized, "give the right user and password, token, nkey.seed or credentials.file")
    } else if lower.contains("tls") || lower.contains("secure") {
        (StatusCode::BadParameter, "set tls = true, with tls.certificate.file where the server wants one")
    } else if lower.contains("maximum payload") {
        (StatusCode::MessageTooLarge, "raise max_payload of the server, or send smaller messages")
    } else if lower.contains("maximum") {
        (
            StatusCode::Unavailable,
            "raise the limits of the server or of the account, or close other connections",
        )
    } else {
        (StatusCode::Unavailable, "look into the server's log for the reason")
    };
    Error::new(status, format!("{server} refused the connection: {text}")).with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let release =
            |version: &str| ServerInfo { version: version.to_owned(), ..ServerInfo::default() }.release();
        assert_eq!(release("2.9.10"), Some((2, 9)));
        assert_eq!(release("2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(release("dev"), None);
    }

    #[test]
    fn refusals_have_statuses() {
        for (text, status) in [
            ("Authorization Violation", StatusCode::Unauthorized),
            ("User Authentication Expired", StatusCode::Unauthorized),
            ("Secure Connection - TLS Required", StatusCode::BadParameter),
            ("Permissions Violation for Publish to \"x\"", StatusCode::Forbidden),
            ("maximum connections exceeded", StatusCode::Unavailable),
            ("Maximum Payload Violation", StatusCode::MessageTooLarge),
        ] {
            assert_eq!(refused("nats at h:1", text).status, status, "{text}");
        }
    }
}
