//! One connection to one broker. Requests go out as they come; a broker answers those of one connection in their order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openmessaging::{Error, Result, StatusCode};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::config::{Config, address};
use super::error::{self, code};
use super::protocol::versions::{self, Versions};
use super::protocol::{CORRELATION, sasl as messages};
use super::sasl::Exchange;
use super::wire::Reader;

/// An answer that is not about messages is smaller.
pub(super) const MAX_ANSWER: usize = 100 * 1024 * 1024;

/// So much is taken before it has come.
const TAKEN_AHEAD: usize = 1024 * 1024;

/// A connection, shared by whoever has a clone. It ends with the last one.
#[derive(Clone)]
pub(super) struct Connection {
    server: Arc<str>,
    versions: Arc<Versions>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    ended: CancellationToken,
    _guard: Arc<DropGuard>,
}

struct Outgoing {
    request: Vec<u8>,
    max_answer: usize,
    reply: oneshot::Sender<Vec<u8>>,
}

struct Waiting {
    number: i32,
    max_answer: usize,
    reply: oneshot::Sender<Vec<u8>>,
}

impl Connection {
    /// Connects and authenticates. Must be called on the drivers' runtime.
    pub async fn open(config: &Config, host: &str, port: u16, client_id: &str) -> Result<Self> {
        let server: Arc<str> = format!("kafka at {}", address(host, port)).into();
        let tcp = TcpStream::connect((host, port)).await.map_err(|error| unreachable(&server, &error))?;
        // An error only means that small requests may wait a little.
        let _ = tcp.set_nodelay(true);
        let connection = match &config.tls {
            None => {
                let (read, write) = tcp.into_split();
                Self::start(server, read, write)
            }
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|error| no_tls(&server, &error))?;
                let connector = tokio_rustls::TlsConnector::from(tls.clone());
                let stream = connector.connect(name, tcp).await.map_err(|error| no_tls(&server, &error))?;
                let (read, write) = tokio::io::split(stream);
                Self::start(server, read, write)
            }
        };
        connection.introduce(config, client_id).await
    }

    fn start(
        server: Arc<str>,
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let (outgoing, requests) = mpsc::unbounded_channel();
        let (sent, waiting) = mpsc::unbounded_channel();
        let ended = CancellationToken::new();
        tokio::spawn(write_requests(write, requests, sent, ended.clone()));
        tokio::spawn(read_answers(server.clone(), read, waiting, ended.clone()));
        let guard = Arc::new(ended.clone().drop_guard());
        Self { server, versions: Arc::default(), outgoing, ended, _guard: guard }
    }

    async fn introduce(mut self, config: &Config, client_id: &str) -> Result<Self> {
        let answer = self.call(versions::request(client_id), MAX_ANSWER).await.map_err(|error| {
            // A server of another kind ends the connection at bytes that it does not understand.
            let remedy = match config.tls {
                None => {
                    "look whether it is the port of a Kafka broker, and one without TLS (else set tls=true)"
                }
                Some(_) => "look whether it is the port of a Kafka broker",
            };
            error.with_remedy(remedy)
        })?;
        let (code, versions) = versions::answer(Reader::new(&answer))?;
        if code != code::NONE {
            return Err(error::of(code, &self.server));
        }
        versions.check(&self.server)?;
        self.versions = Arc::new(versions);
        if let Some(login) = &config.login {
            self.authenticate(login, client_id).await?;
        }
        Ok(self)
    }

    async fn authenticate(&self, login: &super::config::Login, client_id: &str) -> Result<()> {
        let answer = self.call(messages::handshake(client_id, login.mechanism), MAX_ANSWER).await?;
        let (code, mechanisms) = messages::handshake_answer(Reader::new(&answer))?;
        if code != code::NONE {
            let error = error::of(code, &self.server);
            return Err(if code == code::UNSUPPORTED_SASL_MECHANISM {
                error.with_remedy(format!("set sasl.mechanism to one that it has: {}", mechanisms.join(", ")))
            } else {
                error
            });
        }
        let mut exchange = Exchange::new(login, nonce()?);
        let mut token = exchange.first(login);
        loop {
            let answer = self.call(messages::authenticate(client_id, &token), MAX_ANSWER).await?;
            let (code, _, server) = messages::authenticate_answer(Reader::new(&answer))?;
            if code != code::NONE {
                return Err(error::of(code, &format!("{}, user {}", self.server, login.user)));
            }
            match exchange.next(login, &server)? {
                Some(next) => token = next,
                None => return Ok(()),
            }
        }
    }

    /// As errors name it.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    pub fn is_open(&self) -> bool {
        !self.ended.is_cancelled()
    }

    /// Ends it: what waits for an answer fails.
    pub fn close(&self) {
        self.ended.cancel();
    }

    /// Sends a request now; the future is its answer, without its number.
    ///
    /// # Errors
    /// `Unavailable`: the connection ended before the answer.
    pub fn call(
        &self,
        request: Vec<u8>,
        max_answer: usize,
    ) -> impl Future<Output = Result<Vec<u8>>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        // When the connection has ended, the reply is dropped.
        let _ = self.outgoing.send(Outgoing { request, max_answer, reply });
        let server = self.server.clone();
        async move {
            answer.await.map_err(|_| {
                Error::new(StatusCode::Unavailable, format!("{server} closed the connection"))
                    .with_remedy("look whether that broker is up, and into its log")
            })
        }
    }
}

async fn write_requests(
    mut write: impl AsyncWrite + Unpin,
    mut requests: mpsc::UnboundedReceiver<Outgoing>,
    sent: mpsc::UnboundedSender<Waiting>,
    ended: CancellationToken,
) {
    let work = async {
        let mut number = 0_i32;
        while let Some(Outgoing { mut request, max_answer, reply }) = requests.recv().await {
            number = number.wrapping_add(1);
            request[CORRELATION].copy_from_slice(&number.to_be_bytes());
            if sent.send(Waiting { number, max_answer, reply }).is_err() {
                return;
            }
            if write.write_all(&request).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = ended.cancelled() => {}
    }
    ended.cancel();
    // TLS says good-bye; where that fails there is nobody to say it to.
    let _ = tokio::time::timeout(Duration::from_millis(100), write.shutdown()).await;
}

async fn read_answers(
    server: Arc<str>,
    read: impl AsyncRead + Unpin,
    mut waiting: mpsc::UnboundedReceiver<Waiting>,
    ended: CancellationToken,
) {
    let mut read = BufReader::with_capacity(64 * 1024, read);
    let work = async {
        loop {
            let mut length = [0; 4];
            read.read_exact(&mut length).await?;
            let Some(Waiting { number, max_answer, reply }) = waiting.recv().await else {
                return Ok(());
            };
            let answer = read_answer(&mut read, length, number, max_answer).await?;
            // Nobody may want it any more.
            let _ = reply.send(answer);
        }
    };
    let result: io::Result<()> = tokio::select! {
        result = work => result,
        () = ended.cancelled() => Ok(()),
    };
    if let Err(error) = result
        && error.kind() == io::ErrorKind::InvalidData
    {
        tracing::warn!(%server, %error, "an answer cannot be read, and its connection is closed");
    }
    ended.cancel();
}

async fn read_answer(
    read: &mut (impl AsyncRead + Unpin),
    length: [u8; 4],
    number: i32,
    max: usize,
) -> io::Result<Vec<u8>> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let length = i32::from_be_bytes(length);
    if length < 4 || length as usize > max {
        return Err(invalid(format!("its length is {length}")));
    }
    let answered = read.read_i32().await?;
    if answered != number {
        return Err(invalid(format!("it answers request {answered} and not {number}")));
    }
    let length = length as usize - 4;
    let mut answer = Vec::with_capacity(length.min(TAKEN_AHEAD));
    let mut limited = read.take(length as u64);
    while answer.len() < length {
        if answer.len() == answer.capacity() {
            answer.reserve(answer.len().min(length - answer.len()));
        }
        if limited.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(answer)
}

/// What only this exchange has.
fn nonce() -> Result<String> {
    use base64::Engine;
    let mut bytes = [0; 24];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| {
        Error::new(StatusCode::DriverFailed, "the system gives no random numbers")
            .with_remedy("look at /dev/urandom of this machine")
    })?;
    Ok(base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes))
}

fn unreachable(server: &str, why: &io::Error) -> Error {
    Error::new(StatusCode::Unavailable, format!("{server} cannot be reached: {why}"))
        .with_remedy("look whether the broker is up, at host and port of the URL, and at firewalls between")
}

/// No TLS connection came about. Trying again mends none of it but a broken connection.
fn no_tls(server: &str, why: &dyn std::error::Error) -> Error {
    let text = why.to_string();
    let (what, remedy) = if text.contains("UnknownIssuer") || text.contains("invalid peer certificate") {
        (
            "its certificate is not trusted",
            "name the authority that signed it in tls.ca.file, and use a host that it names",
        )
    } else if text.contains("eof") || text.contains("corrupt message") || text.contains("InvalidContentType")
    {
        ("it does not speak TLS on this port", "use the port with TLS, or leave tls and tls.ca.file out")
    } else {
        ("no TLS connection can be made", "look at the certificates on both sides")
    };
    let mut error =
        Error::new(StatusCode::Unavailable, format!("{server}: {what}: {text}")).with_remedy(remedy);
    error.retriable = Some(text.contains("reset"));
    error
}
