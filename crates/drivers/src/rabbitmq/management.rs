//! The HTTP interface of the management plugin: AMQP cannot list queues, and does not tell how a broker is doing.

use std::time::Duration;

use base64::Engine;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode as HttpStatus};
use hyper_util::rt::TokioIo;
use openmessaging::{Error, Result, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::config::{Auth, Config};

/// A list of 100,000 queues is about 10 MB.
const LONGEST: usize = 256 * 1024 * 1024;

const ENABLE: &str = "enable the plugin on the server (`rabbitmq-plugins enable rabbitmq_management`), give the user the tag \
     `management`, and name its address in the property management.url";

/// Asks for `/api/<path>`; within the time that a call may take.
pub(super) async fn get(config: &Config, path: &str) -> Result<Value> {
    let limit = config.timeout.min(Duration::from_secs(60));
    match tokio::time::timeout(limit, ask(config, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(problem(
            config,
            StatusCode::Timeout,
            &format!("did not answer within {} ms", limit.as_millis()),
        )),
    }
}

/// A name as a part of a path.
pub(super) fn part(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

fn problem(config: &Config, status: StatusCode, what: &str) -> Error {
    Error::new(status, format!("the management interface of rabbitmq at {} {what}", config.management))
        .with_remedy(ENABLE)
}

async fn ask(config: &Config, path: &str) -> Result<Value> {
    let unreachable = |error: &dyn std::fmt::Display| {
        problem(config, StatusCode::Unavailable, &format!("cannot be reached: {error}"))
    };
    let (secure, address) = match config.management.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some((_, rest)) => (false, rest),
        None => (false, config.management.as_str()),
    };
    // A prefix of the path may follow the address.
    let (authority, prefix) = address.split_once('/').map_or((address, ""), |(host, rest)| (host, rest));
    let (host, port) = host_and_port(authority, if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(|error| unreachable(&error))?;
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let mut request = Request::get(format!("{prefix}/api/{path}")).header("host", authority);
    if let Auth::Plain { user, password } = &config.auth {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.reveal()));
        request = request.header("authorization", format!("Basic {pair}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| unreachable(&error))?;
    let (status, body) = if secure {
        let tls = config.tls.clone().unwrap_or_default();
        let name =
            rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(|error| unreachable(&error))?;
        let connector = tokio_rustls::TlsConnector::from(tls.client_config()?);
        let stream = connector.connect(name, stream).await.map_err(|error| unreachable(&error))?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
    .map_err(|error| unreachable(&error))?;
    match status {
        HttpStatus::OK => serde_json::from_slice(&body)
            .map_err(|error| problem(config, StatusCode::ServerError, &format!("gave no JSON: {error}"))),
        HttpStatus::UNAUTHORIZED | HttpStatus::FORBIDDEN => {
            Err(problem(config, StatusCode::Forbidden, &format!("refuses the user: {status}")))
        }
        other => Err(problem(config, StatusCode::ServerError, &format!("answered {other}"))),
    }
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> std::result::Result<(HttpStatus, Bytes), Problem> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes();
        Ok::<_, Problem>((status, body))
    };
    let answer = answered.await;
    driving.abort();
    answer
}

/// Of `host:port`, `host`, `[::1]:port`.
fn host_and_port(authority: &str, default: u16) -> (&str, u16) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(default)),
        _ => (authority, default),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(host_and_port("h:15672", 80), ("h", 15672));
        assert_eq!(host_and_port("h", 80), ("h", 80));
        assert_eq!(host_and_port("[::1]:5", 80), ("::1", 5));
        assert_eq!(host_and_port("[::1]", 443), ("::1", 443));
        assert_eq!(part("/"), "%2F");
    }
}
