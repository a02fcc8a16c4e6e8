//! One TCP (or TLS) connection: requests are pipelined, answers find theirs by `opaque`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openmessaging::{Error, Result, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::config::Keys;
use super::frame::{self, Incoming, Request, Response};
use crate::common::{lock, runtime};

/// How much is read at once, at most.
const READ: usize = 128 * 1024;
/// Requests that wait for the connection to take them; more wait in their callers.
const WAITING: usize = 64;
/// How long a connection and its TLS may take.
pub(super) const CONNECT: Duration = Duration::from_secs(4);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was sent: the same request may be sent again whatever it does.
    NotSent(Error),
    /// The connection ended before the answer came: whether it was done is not known.
    Lost(Error),
    /// No answer in time: the same.
    Late(Error),
}

impl Failure {
    pub fn error(self) -> Error {
        match self {
            Failure::NotSent(error) | Failure::Lost(error) | Failure::Late(error) => error,
        }
    }
}

type Waiting = HashMap<i32, oneshot::Sender<Response>>;

pub(super) struct Connection {
    /// "rocketmq at 127.0.0.1:10911"
    server: Arc<str>,
    requests: mpsc::Sender<(Vec<u8>, Bytes)>,
    /// `None` once the connection has ended.
    waiting: Arc<Mutex<Option<Waiting>>>,
    next: AtomicI32,
    ended: CancellationToken,
    _end: DropGuard,
}

impl Connection {
    /// Connects, on the runtime of the drivers.
    pub async fn open(server: Arc<str>, address: &str, tls: Option<Arc<ClientConfig>>) -> Result<Arc<Self>> {
        let target = address.to_owned();
        let (own, name) = (server.clone(), server.clone());
        let opened = runtime::on_own(async move {
            let connected = tokio::time::timeout(CONNECT, TcpStream::connect(&target)).await;
            let stream = match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(unreachable(&own, &error)),
                Err(_) => {
                    return Err(unreachable(&own, &format!("no answer within {} s", CONNECT.as_secs())));
                }
            };
            let _ = stream.set_nodelay(true);
            match tls {
                None => {
                    let (reader, writer) = stream.into_split();
                    Ok(Self::start(own, reader, writer))
                }
                Some(config) => {
                    let host = host_of(&target).to_owned();
                    let name = ServerName::try_from(host).map_err(|error| unreachable(&own, &error))?;
                    let shaken = TlsConnector::from(config).connect(name, stream);
                    let stream = match tokio::time::timeout(CONNECT, shaken).await {
                        Ok(Ok(stream)) => stream,
                        Ok(Err(error)) => return Err(no_tls(&own, &error)),
                        Err(_) => return Err(no_tls(&own, &"no answer in time")),
                    };
                    let (reader, writer) = tokio::io::split(stream);
                    Ok(Self::start(own, reader, writer))
                }
            }
        });
        let late = || unreachable(&name, &"it takes too long");
        tokio::time::timeout(2 * CONNECT, opened).await.unwrap_or_else(|_| Err(late()))
    }

    fn start(
        server: Arc<str>,
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
    ) -> Arc<Self> {
        let (requests, queue) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(Some(Waiting::new())));
        let ended = CancellationToken::new();
        let (token, shared) = (ended.clone(), waiting.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = write(writer, queue) => {}
                () = read(reader, &shared) => {}
            }
            token.cancel();
            // Those who wait see their sender go.
            lock(&shared).take();
        });
        let guard = ended.clone().drop_guard();
        Arc::new(Self { server, requests, waiting, next: AtomicI32::new(1), ended, _end: guard })
    }

    pub fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Sends a request and waits for its answer, not longer than `limit`.
    pub async fn call(
        &self,
        request: &Request,
        keys: Option<&Keys>,
        limit: Duration,
    ) -> std::result::Result<Response, Failure> {
        let opaque = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(opaque, reply),
            None => return Err(Failure::NotSent(broken(&self.server))),
        };
        let _forget = Forget { waiting: &self.waiting, opaque };
        let frame = (request.head(opaque, keys), request.body.clone());
        let answered = tokio::time::timeout(limit, async {
            if self.requests.send(frame).await.is_err() {
                return Err(Failure::NotSent(broken(&self.server)));
            }
            answer.await.map_err(|_| Failure::Lost(broken(&self.server)))
        });
        answered.await.unwrap_or_else(|_| {
            let what = format!("request {}", request.code);
            Err(Failure::Late(crate::common::deadline::late(limit, &self.server, &what)))
        })
    }
}

/// Takes the place of a caller who gave up out of the table.
struct Forget<'a> {
    waiting: &'a Mutex<Option<Waiting>>,
    opaque: i32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = lock(self.waiting).as_mut() {
            waiting.remove(&self.opaque);
        }
    }
}

async fn write(mut writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<(Vec<u8>, Bytes)>) {
    while let Some((head, body)) = queue.recv().await {
        if writer.write_all(&head).await.is_err()
            || writer.write_all(&body).await.is_err()
            || writer.flush().await.is_err()
        {
            return;
        }
    }
}

async fn read(mut reader: impl AsyncRead + Unpin, waiting: &Mutex<Option<Waiting>>) {
    let mut received = BytesMut::with_capacity(READ);
    loop {
        loop {
            match frame::take(&mut received) {
                Ok(None) => break,
                Ok(Some(Incoming::Request)) => {}
                Ok(Some(Incoming::Answer(opaque, response))) => {
                    let caller = lock(waiting).as_mut().and_then(|waiting| waiting.remove(&opaque));
                    if let Some(caller) = caller {
                        // Whoever gave up meanwhile does not want it.
                        let _ = caller.send(response);
                    }
                }
                Err(problem) => {
                    tracing::debug!(problem, "the connection is given up");
                    return;
                }
            }
        }
        received.reserve(READ);
        if !matches!(reader.read_buf(&mut received).await, Ok(1..)) {
            return;
        }
    }
}

fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn broken(server: &str) -> Error {
    Error::new(StatusCode::Unavailable, format!("the connection to {server} broke"))
        .with_remedy("look whether that server runs; it is tried again")
}

fn unreachable(server: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(StatusCode::Unavailable, format!("{server} cannot be reached: {why}"))
        .with_remedy("look whether that server runs and listens at this address")
}

/// TLS that cannot be is not cured by trying again.
fn no_tls(server: &str, why: &dyn std::fmt::Display) -> Error {
    let text = why.to_string();
    let remedy = if text.contains("ertificate") || text.contains("UnknownIssuer") {
        "name the authority that signed its certificate in tls.ca.file"
    } else {
        "turn TLS on at the server (tls.server.mode=permissive and tls.config.file), or off here (tls=false)"
    };
    Error::new(StatusCode::DriverFailed, format!("no TLS connection to {server}: {text}")).with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn hosts_are_read() {
        assert_eq!(host_of("127.0.0.1:10911"), "127.0.0.1");
        assert_eq!(host_of("[::1]:9876"), "::1");
        assert_eq!(host_of("broker"), "broker");
    }
}
