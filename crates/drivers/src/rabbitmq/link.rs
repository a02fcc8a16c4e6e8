//! Connections. An access point has one; each producer one of its own, as RabbitMQ stops reading from a connection that
//! publishes while an alarm is on; and each consumer one of its own, which is not read while there is no room.

use std::sync::Arc;
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use lapin::{Channel, Connection, ConnectionBuilder, ConnectionProperties};
use openmessaging::{Error, Result, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::config::{Auth, Config};
use super::error::{self, Stage};
use super::intake::Intake;
use super::socket;
use crate::common::deadline::late;
use crate::common::outage::Outage;
use crate::common::runtime;

/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(4);

/// Between attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// lapin has buffers of 32 frames each way.
const FRAME_MAX: u32 = 64 * 1024;

/// The oldest version with streams.
const OLDEST: (u32, u32) = (3, 9);

/// What a server of AMQP says first fits in here; longer is something else.
const LONGEST_GREETING: usize = 64 * 1024;

/// A connection that is made when it is needed, and again after it was lost.
pub(super) struct Link {
    pub config: Arc<Config>,
    tls: OwnedTLSConfig,
    /// As the server shows it.
    name: String,
    pub intake: Arc<Intake>,
    current: Mutex<Option<Arc<Connection>>>,
    outage: Arc<Outage>,
}

impl Link {
    pub fn new(config: Arc<Config>, name: &str, outage: Arc<Outage>, intake: Arc<Intake>) -> Result<Self> {
        let tls = config.lapin_tls()?;
        let name = format!("omsconnect {name}");
        Ok(Self { config, tls, name, intake, current: Mutex::default(), outage })
    }

    /// The connection; one attempt to make it where there is none.
    pub async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>> {
        let mut current =
            timeout_at(deadline, self.current.lock()).await.map_err(|_| self.late("connecting"))?;
        if let Some(connection) = current.as_ref().filter(|connection| connection.status().connected()) {
            return Ok(connection.clone());
        }
        *current = None;
        match self.dial(deadline).await {
            Ok(connection) => {
                self.outage.works();
                Ok(current.insert(Arc::new(connection)).clone())
            }
            Err(error) => {
                self.outage.failed(&error);
                Err(error)
            }
        }
    }

    /// A new channel; tried until the deadline as long as trying helps.
    pub async fn channel(&self, deadline: Instant) -> Result<Channel> {
        loop {
            let error = match self.try_channel(deadline).await {
                Ok(channel) => return Ok(channel),
                Err(error) => error,
            };
            if !error.is_retriable() || Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Does it again until the deadline, as long as what it fails with is that the broker, or a queue, is away.
    pub async fn retry<T, F>(&self, deadline: Instant, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        loop {
            match call().await {
                Err(error) if is_passing(&error) && Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    /// One attempt.
    ///
    /// lapin 4.12 keeps the error with which the broker closed a channel (a queue that is not there, mostly) and refuses
    /// with it whatever is sent on a later channel of the same number, which comes after 2,047 others. The broker itself
    /// refuses no channel, so after a refusal the connection is left to who still uses it, and another one is made.
    pub async fn try_channel(&self, deadline: Instant) -> Result<Channel> {
        const WHAT: &str = "opening a channel";
        let connection = self.connection(deadline).await?;
        match self.call(WHAT, deadline, connection.create_channel()).await {
            Err(error) if error.status != StatusCode::Timeout && connection.status().connected() => {
                self.leave(&connection).await;
                let connection = self.connection(deadline).await?;
                self.call(WHAT, deadline, connection.create_channel()).await
            }
            ended => ended,
        }
    }

    /// lapin does not close a connection for being dropped once channels of it were refused. Calls that still use it have
    /// ended by their deadline.
    async fn leave(&self, connection: &Arc<Connection>) {
        let mut current = self.current.lock().await;
        let Some(left) = current.take_if(|current| Arc::ptr_eq(current, connection)) else { return };
        let (intake, deadline) = (self.intake.clone(), self.config.timeout);
        if let Ok(runtime) = runtime::handle() {
            runtime.spawn(async move {
                tokio::time::sleep(deadline).await;
                close(&left, &intake).await;
            });
        }
    }

    /// Waits for a call of lapin, and not beyond the deadline. Whatever lies before the answer is read.
    pub async fn call<T>(
        &self,
        what: &str,
        deadline: Instant,
        call: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T> {
        let _open = self.intake.open();
        self.tell(what, deadline, call).await
    }

    /// The same, for what needs no answer: nothing is read for it that there is no room for.
    pub async fn tell<T>(
        &self,
        what: &str,
        deadline: Instant,
        call: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T> {
        match timeout_at(deadline, call).await {
            Ok(result) => result.map_err(|error| self.failed(what, &error)),
            Err(_) => Err(self.late(what)),
        }
    }

    pub fn failed(&self, what: &str, error: &lapin::Error) -> Error {
        error::of(&self.config, what, Stage::Working, error)
    }

    pub fn late(&self, what: &str) -> Error {
        late(self.config.timeout, &self.config.server(), what)
    }

    /// Whether an alarm of the server stops this connection.
    pub async fn is_blocked(&self) -> bool {
        self.current.lock().await.as_ref().is_some_and(|connection| connection.status().blocked())
    }

    /// Closes the connection; not longer than a moment.
    pub async fn close(&self) {
        if let Some(connection) = self.current.lock().await.take() {
            close(&connection, &self.intake).await;
        }
    }

    async fn dial(&self, deadline: Instant) -> Result<Connection> {
        let mut last = None;
        for endpoint in &self.config.endpoints {
            let limit = deadline.min(Instant::now() + ATTEMPT);
            match timeout_at(limit, self.dial_one(endpoint)).await {
                Ok(Ok(connection)) => return Ok(connection),
                // Other servers would say the same.
                Ok(Err(error)) if !error.is_retriable() => return Err(error),
                Ok(Err(error)) => last = Some(error),
                Err(_) => {
                    let (host, port) = endpoint;
                    let message = format!("rabbitmq at {host}:{port} did not answer in time: connecting");
                    last = Some(
                        Error::new(StatusCode::Unavailable, message)
                            .with_remedy("look whether that server runs, and whether the way to it is open"),
                    );
                }
            }
        }
        Err(last.unwrap_or_else(|| self.late("connecting")))
    }

    async fn dial_one(&self, endpoint: &(String, u16)) -> Result<Connection> {
        let greeting = self.knock(endpoint).await?;
        check_version(&greeting, endpoint)?;
        let (username, password, mechanism) = match &self.config.auth {
            Auth::Plain { user, password } => {
                (user.clone(), password.reveal().to_owned(), SASLMechanism::Plain)
            }
            Auth::External => (String::new(), String::new(), SASLMechanism::External),
        };
        let uri = AMQPUri {
            scheme: if self.config.tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username, password },
                host: endpoint.0.clone(),
                port: endpoint.1,
            },
            vhost: self.config.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(self.config.heartbeat),
                frame_max: Some(FRAME_MAX),
                connection_timeout: Some(ATTEMPT.as_millis() as u64),
                auth_mechanism: Some(mechanism),
                ..AMQPQueryString::default()
            },
        };
        let properties = ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let heartbeat = Duration::from_secs(self.config.heartbeat.into());
        let connected = ConnectionBuilder::new_with_runtime(socket::runtime(self.intake.clone(), heartbeat))
            .with_uri(uri)
            .with_properties(properties)
            .with_tls_config(self.tls.clone())
            .connect()
            .await;
        connected.map_err(|error| error::of(&self.config, "the connection", Stage::Connecting, &error))
    }

    /// Asks who is there, on a connection of its own: lapin has a thread for each connection, which a server that
    /// says nothing would hold for ever. Gives the server's greeting.
    async fn knock(&self, (host, port): &(String, u16)) -> Result<Vec<u8>> {
        let server = format!("rabbitmq at {host}:{port}");
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| {
            Error::new(StatusCode::Unavailable, format!("{server} cannot be reached: {error}")).with_remedy(
                "look at the address, whether that server runs, and whether the way to it is open",
            )
        })?;
        let Some(tls) = &self.config.tls else { return greet(stream, &server).await };
        let name = rustls::pki_types::ServerName::try_from(host.clone()).map_err(|error| {
            Error::new(StatusCode::BadUrl, format!("{host} is no name that a certificate can have: {error}"))
                .with_remedy("name the server as its certificate does")
        })?;
        let connector = tokio_rustls::TlsConnector::from(tls.client_config()?);
        let secured = connector.connect(name, stream).await.map_err(|error| no_tls(&server, &error))?;
        greet(secured, &server).await
    }
}

async fn close(connection: &Connection, intake: &Intake) {
    let _open = intake.open();
    if connection.status().connected() {
        let close = connection.close(200, "the client is done".into());
        let _ = tokio::time::timeout(Duration::from_secs(2), close).await;
    }
}

/// Whether it may be over soon: a broker that is started says this and that.
fn is_passing(error: &Error) -> bool {
    matches!(error.status, StatusCode::Unavailable | StatusCode::ServerError) && error.is_retriable()
}

/// TLS cannot be agreed on. Trying again does not help, unless the connection was just cut.
fn no_tls(server: &str, error: &std::io::Error) -> Error {
    let text = error.to_string();
    let made =
        |message: String, remedy: &str| Error::new(StatusCode::Unavailable, message).with_remedy(remedy);
    let mut error = if text.contains("certificate") {
        made(
            format!("the certificate of {server} is not trusted: {text}"),
            "name the authority that signed it in tls.ca.file, and the server as its certificate does",
        )
    } else if error.kind() == std::io::ErrorKind::InvalidData {
        made(
            format!("{server} does not speak TLS on this port: {text}"),
            "use the port of its TLS listener (5671), or leave the tls properties out",
        )
    } else {
        return made(
            format!("{server} cannot be reached over TLS: {text}"),
            "look at the state of that server",
        );
    };
    error.retriable = Some(false);
    error
}

/// Says who we are, and reads the first frame.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin, server: &str) -> Result<Vec<u8>> {
    let lost = |error: std::io::Error| {
        Error::new(StatusCode::Unavailable, format!("{server} ended the connection: {error}"))
            .with_remedy("look whether this is the port of AMQP, with TLS or without as the properties say")
    };
    stream.write_all(b"AMQP\0\0\x09\x01").await.map_err(lost)?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.map_err(lost)?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if head[..3] != [1, 0, 0] || size > LONGEST_GREETING {
        let mut error =
            Error::new(StatusCode::Unavailable, format!("{server} does not speak AMQP 0.9.1 here"))
                .with_remedy(
                    "name the port of AMQP (5672, with TLS 5671), with the tls properties where it wants TLS",
                );
        error.retriable = Some(false);
        return Err(error);
    }
    let mut greeting = vec![0; size];
    stream.read_exact(&mut greeting).await.map_err(lost)?;
    Ok(greeting)
}

/// `version`, `S`, four bytes of length, the text.
pub(super) fn version_in(greeting: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\x07versionS";
    let at = greeting.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let (length, rest) = greeting.get(at..)?.split_first_chunk::<4>()?;
    std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok()
}

fn check_version(greeting: &[u8], (host, port): &(String, u16)) -> Result<()> {
    let Some(version) = version_in(greeting) else { return Ok(()) };
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= OLDEST {
        return Ok(());
    }
    Err(Error::new(StatusCode::UnsupportedVersion, format!("rabbitmq at {host}:{port} is version {version}"))
        .with_remedy("use RabbitMQ 3.9 or newer"))
}

/// Arguments of a declaration from pairs.
pub(super) fn table<const N: usize>(pairs: [(&'static str, lapin::types::AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_refused() {
        let greeting = |version: &str| {
            let mut frame = b"\x07versionS".to_vec();
            frame.extend((version.len() as u32).to_be_bytes());
            frame.extend(version.as_bytes());
            frame
        };
        let place = ("h".to_owned(), 1);
        assert_eq!(version_in(&greeting("3.10.8")), Some("3.10.8"));
        for version in ["3.9.0", "3.10.8", "4.1.2"] {
            check_version(&greeting(version), &place).expect(version);
        }
        let error = check_version(&greeting("3.8.35"), &place).expect_err("too old");
        assert!(error.status == StatusCode::UnsupportedVersion && error.remedy.is_some(), "{error}");
        assert_eq!(version_in(b"\x07versionS\0\0\0\xffx"), None);
    }

    proptest::proptest! {
        /// Whatever says that it is a server of AMQP.
        #[test]
        fn any_greeting_is_read(
            before in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20),
            length in proptest::prelude::any::<u32>(),
            version in "[0-9.x-]{0,12}",
        ) {
            let mut greeting = before;
            greeting.extend(b"\x07versionS");
            greeting.extend(length.to_be_bytes());
            greeting.extend(version.as_bytes());
            let place = ("h".to_owned(), 1);
            for end in 0..=greeting.len() {
                let _ = check_version(&greeting[..end], &place);
            }
        }
    }
}
