//! One connection: TCP or TLS, authenticated, with the answers in the order of the commands.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use openmessaging::{Error, Result, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::super::common::credentials::Secret;
use super::config::Config;
use super::error;
use super::resp::{self, Reply, push_command};

/// How long one server may take to let a connection in.
pub(super) const OPEN: Duration = Duration::from_secs(5);

/// How much is read at once.
const READ: usize = 64 * 1024;

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What was read and not yet looked at.
pub(super) struct Input {
    half: ReadHalf<Stream>,
    buffer: BytesMut,
    server: Arc<str>,
}

/// Where commands go.
pub(super) struct Output {
    half: WriteHalf<Stream>,
    server: Arc<str>,
}

pub(super) struct Connection {
    pub input: Input,
    pub output: Output,
    /// The server's number of this connection.
    pub id: i64,
}

impl Input {
    /// Reads more; cancel-safe.
    ///
    /// # Errors
    /// `Unavailable`: the connection broke or was ended.
    pub async fn read(&mut self) -> Result<()> {
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(READ);
        }
        match self.half.read_buf(&mut self.buffer).await {
            Ok(0) => Err(error::broken(&self.server, &"the server ended it")),
            Ok(_) => Ok(()),
            Err(why) => Err(error::broken(&self.server, &why)),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The front was looked at.
    pub fn consume(&mut self, count: usize) {
        self.buffer.advance(count);
        // What a large answer needed is given back.
        if self.buffer.is_empty() && self.buffer.capacity() > 16 * READ {
            self.buffer = BytesMut::with_capacity(READ);
        }
    }

    /// The next answer that is there already.
    pub fn ready(&mut self) -> Result<Option<Reply>> {
        let found = resp::reply(&self.buffer).map_err(|malformed| malformed.at(&self.server))?;
        Ok(found.map(|(reply, used)| {
            self.consume(used);
            reply
        }))
    }

    /// The next answer; cancel-safe.
    pub async fn reply(&mut self) -> Result<Reply> {
        loop {
            if let Some(reply) = self.ready()? {
                return Ok(reply);
            }
            self.read().await?;
        }
    }
}

impl Output {
    /// Writes some; cancel-safe.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.half.write(bytes).await.map_err(|why| error::broken(&self.server, &why))?;
        // TLS holds records back until they are flushed; for TCP this does nothing.
        if written == bytes.len() {
            self.half.flush().await.map_err(|why| error::broken(&self.server, &why))?;
        }
        Ok(written)
    }

    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            at += self.write(&bytes[at..]).await?;
        }
        Ok(())
    }
}

impl Connection {
    /// Connects to the first server that lets us in and is no replica.
    ///
    /// # Errors
    /// That of the last one.
    pub async fn open(config: &Config) -> Result<Self> {
        let mut last = None;
        for (host, port) in &config.endpoints {
            let address = format!("redis at {host}:{port}");
            let opened = tokio::time::timeout(OPEN, Self::open_one(config, host, *port, &address)).await;
            match opened.unwrap_or_else(|_| Err(silent(&address))) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| error::unexpected(&config.server, "connecting")))
    }

    async fn open_one(config: &Config, host: &str, port: u16, address: &str) -> Result<Self> {
        let stream = TcpStream::connect((host, port)).await.map_err(|why| {
            Error::new(StatusCode::Unavailable, format!("{address} cannot be reached: {why}"))
                .with_remedy("look at host and port, and whether the server is up")
        })?;
        // An error means only that small commands may wait for each other.
        let _ = stream.set_nodelay(true);
        let stream = match &config.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| {
                    Error::new(StatusCode::BadUrl, format!("{host} cannot be the name of a TLS server"))
                        .with_remedy("name a host or an address")
                })?;
                let connected = TlsConnector::from(tls.clone()).connect(name, stream).await;
                Stream::Tls(Box::new(connected.map_err(|why| tls_refused(address, &why))?))
            }
        };
        let (read, write) = tokio::io::split(stream);
        let server: Arc<str> = address.into();
        let mut connection = Self {
            input: Input { half: read, buffer: BytesMut::with_capacity(READ), server: server.clone() },
            output: Output { half: write, server },
            id: 0,
        };
        connection.greet(config, address).await?;
        Ok(connection)
    }

    /// Authenticates, chooses the database, and learns the connection's number.
    async fn greet(&mut self, config: &Config, address: &str) -> Result<()> {
        let mut out = Vec::new();
        let mut what = Vec::new();
        if let Some(password) = config.credentials.password.as_ref().map(Secret::reveal) {
            match &config.credentials.user {
                Some(user) => push_command(&mut out, &[b"AUTH", user.as_bytes(), password.as_bytes()]),
                None => push_command(&mut out, &[b"AUTH", password.as_bytes()]),
            }
            what.push("authenticating");
        }
        if config.database > 0 {
            push_command(&mut out, &[b"SELECT", config.database.to_string().as_bytes()]);
            what.push("selecting the database");
        }
        push_command(&mut out, &[b"CLIENT", b"SETNAME", b"omsconnect"]);
        what.push("naming the connection");
        push_command(&mut out, &[b"CLIENT", b"ID"]);
        what.push("asking for the connection's number");
        // Refused while the server loads its data.
        push_command(&mut out, &[b"PING"]);
        what.push("greeting");
        if config.endpoints.len() > 1 {
            push_command(&mut out, &[b"ROLE"]);
            what.push("asking for its role");
        }
        let refused = |error: Error| ended_at_once(config, address, error);
        self.output.write_all(&out).await.map_err(refused)?;
        for what in what {
            let reply = self.input.reply().await.map_err(refused)?;
            match (what, &reply) {
                // Not needed, where the user may not.
                ("naming the connection" | "greeting" | "asking for its role", Reply::Error(text))
                    if text.starts_with("NOPERM") => {}
                (_, Reply::Error(text)) => return Err(error::answered(address, what, text)),
                ("asking for the connection's number", Reply::Integer(id)) => self.id = *id,
                ("asking for its role", Reply::Array(role))
                    if role.first().and_then(Reply::text) != Some("master") =>
                {
                    return Err(error::answered(address, "connecting", "READONLY this is a replica"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One command and its answer, an error of the server as an error.
    pub async fn call(&mut self, what: &str, parts: &[&[u8]]) -> Result<Reply> {
        self.output.write_all(&resp::command(parts)).await?;
        match self.input.reply().await? {
            Reply::Error(text) => Err(error::answered(&self.input.server, what, &text)),
            reply => Ok(reply),
        }
    }
}

fn silent(address: &str) -> Error {
    let message = format!("{address} did not answer within {} s: connecting", OPEN.as_secs());
    Error::new(StatusCode::Unavailable, message)
        .with_remedy("look at host and port, at the state of that server, and at tls=true where it wants TLS")
}

fn tls_refused(address: &str, why: &io::Error) -> Error {
    let text = why.to_string();
    let remedy = if text.contains("certificate") {
        "name the server's authority in tls.ca.file, and a host that its certificate is for"
    } else {
        "look whether that port is one for TLS, and at tls.certificate.file where the server wants one"
    };
    Error::new(StatusCode::Unavailable, format!("{address}: no TLS connection: {text}")).with_remedy(remedy)
}

/// A server that ends a fresh connection often wants TLS, or over TLS another certificate.
fn ended_at_once(config: &Config, address: &str, error: Error) -> Error {
    if error.status != StatusCode::Unavailable {
        return error;
    }
    let remedy = match config.tls {
        None => "set tls=true where that port is one for TLS; look into the server's log",
        Some(_) => "look at tls.certificate.file where the server wants one, and into the server's log",
    };
    Error::new(StatusCode::Unavailable, format!("{address} ends connections: {}", error.message))
        .with_remedy(remedy)
}
