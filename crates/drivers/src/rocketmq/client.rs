//! The connections of an access point: to the name servers of its URL, and to each broker that they name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use openmessaging::{Error, Result, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::codes::{HEART_BEAT, SUCCESS};
use super::config::Config;
use super::connection::{Connection, Failure};
use super::error;
use super::frame::{Request, Response};
use crate::common::outage::Outage;
use crate::common::{lock, runtime};

/// Brokers end connections that are silent for 120 s.
const HEARTBEAT: Duration = Duration::from_secs(30);
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);
/// How long one name server may take before the next is asked, or what is known counts on.
pub(super) const NAME_SERVER_LIMIT: Duration = Duration::from_secs(3);

pub(super) struct Client {
    pub config: Config,
    /// The name servers, `host:port`.
    name_servers: Vec<String>,
    /// As in errors.
    pub servers: String,
    /// The name server that answered last.
    good: AtomicUsize,
    /// Made when one of them answered for the first time: before, whoever connects is told.
    names: OnceLock<Outage>,
    peers: Mutex<HashMap<String, Arc<Peer>>>,
    pub closed: CancellationToken,
    /// What tells this client apart at the brokers.
    id: String,
}

/// One server.
struct Peer {
    address: String,
    /// "rocketmq at 127.0.0.1:10911"
    server: Arc<str>,
    /// Held while it is connected: who wants it too waits.
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// Of a broker. Name servers are asked one after the other, and share one.
    outage: Option<Outage>,
}

impl Client {
    pub fn new(config: Config, name_servers: Vec<String>) -> Arc<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            config,
            servers: format!("rocketmq at {}", name_servers.join(",")),
            name_servers,
            good: AtomicUsize::new(0),
            names: OnceLock::new(),
            peers: Mutex::default(),
            closed: CancellationToken::new(),
            id: format!("omsconnect@{}#{number}", std::process::id()),
        })
    }

    pub fn check(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(error::closed(&self.servers)) } else { Ok(()) }
    }

    pub fn name_servers(&self) -> &[String] {
        &self.name_servers
    }

    /// Ends every connection. Who waits for an answer gets `Closed`.
    pub fn close(&self) {
        self.closed.cancel();
        lock(&self.peers).clear();
    }

    /// Until when a call that begins now may take.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.config.request_timeout
    }

    fn peer(&self, address: &str, is_broker: bool) -> Arc<Peer> {
        let mut peers = lock(&self.peers);
        if let Some(peer) = peers.get(address) {
            return peer.clone();
        }
        let server: Arc<str> = format!("rocketmq at {address}").into();
        let peer = Arc::new(Peer {
            address: address.to_owned(),
            connection: tokio::sync::Mutex::default(),
            outage: is_broker.then(|| Outage::new(&*server)),
            server,
        });
        peers.insert(address.to_owned(), peer.clone());
        peer
    }

    /// Asks a broker, once. An answer that is an error of the broker's is `Ok`: see [`expect`].
    pub async fn broker(
        self: &Arc<Self>,
        address: &str,
        request: &Request,
        deadline: Instant,
    ) -> std::result::Result<Response, Failure> {
        self.ask(&self.peer(address, true), request, deadline).await
    }

    /// Ends the connection to a broker on which an answer is overdue. The next call makes a new one.
    pub async fn give_up(&self, address: &str) {
        let slot = self.peer(address, true).connection.lock().await.take();
        if let Some(connection) = slot {
            connection.end();
        }
    }

    /// Asks a broker for what may be asked twice: until it answers, or the deadline is over.
    pub async fn broker_again(
        self: &Arc<Self>,
        address: &str,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response> {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.broker(address, request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    let error = failure.error();
                    if !error.is_retriable() || Instant::now() + pause >= deadline {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Asks the name servers, the one that answered last first, until one answers.
    pub async fn name_server(self: &Arc<Self>, request: &Request, deadline: Instant) -> Result<Response> {
        let count = self.name_servers.len();
        let first = self.good.load(Ordering::Relaxed);
        let mut problem = None;
        for step in 0..count {
            let index = (first + step) % count;
            let limit = if count == 1 { deadline } else { deadline.min(Instant::now() + NAME_SERVER_LIMIT) };
            match self.name_server_at(index, request, limit).await {
                Ok(answer) => {
                    self.good.store(index, Ordering::Relaxed);
                    let servers = || format!("name server of {}", self.servers);
                    self.names.get_or_init(|| Outage::new(servers())).works();
                    return Ok(answer);
                }
                Err(error) if error.status == StatusCode::Closed => return Err(error),
                Err(error) => problem = Some(error),
            }
        }
        let problem = problem.unwrap_or_else(|| Error::new(StatusCode::BadUrl, "the URL names no server"));
        if let Some(outage) = self.names.get() {
            outage.failed(&problem);
        }
        Err(problem)
    }

    /// Asks one name server.
    pub async fn name_server_at(
        self: &Arc<Self>,
        index: usize,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response> {
        let peer = self.peer(&self.name_servers[index], false);
        match self.ask(&peer, request, deadline).await {
            // Name servers end connections that are silent: once more on a new one.
            Err(Failure::Lost(_) | Failure::NotSent(_)) => {
                self.ask(&peer, request, deadline).await.map_err(Failure::error)
            }
            other => other.map_err(Failure::error),
        }
    }

    async fn ask(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        request: &Request,
        deadline: Instant,
    ) -> std::result::Result<Response, Failure> {
        self.check().map_err(Failure::NotSent)?;
        let work = async {
            let connection = self.connection(peer, deadline).await.map_err(Failure::NotSent)?;
            let limit = deadline.saturating_duration_since(Instant::now());
            connection.call(request, self.config.keys.as_ref(), limit).await
        };
        let result = tokio::select! {
            result = work => result,
            () = self.closed.cancelled() => return Err(Failure::Lost(error::closed(&self.servers))),
        };
        if let Some(outage) = &peer.outage {
            match &result {
                Ok(_) => outage.works(),
                Err(Failure::NotSent(error) | Failure::Lost(error) | Failure::Late(error)) => {
                    outage.failed(error);
                }
            }
        }
        result
    }

    async fn connection(self: &Arc<Self>, peer: &Arc<Peer>, deadline: Instant) -> Result<Arc<Connection>> {
        let late = || crate::common::deadline::late(self.config.request_timeout, &peer.server, "connecting");
        let work = async {
            let mut slot = peer.connection.lock().await;
            if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_ended()) {
                return Ok(connection.clone());
            }
            *slot = None;
            let tls = self.config.tls.clone();
            let connection = Connection::open(peer.server.clone(), &peer.address, tls).await?;
            if peer.outage.is_some() {
                self.keep_alive(&connection)?;
            }
            *slot = Some(connection.clone());
            Ok(connection)
        };
        tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// Sends heart beats while the connection lives, and ends one that does not answer them.
    fn keep_alive(self: &Arc<Self>, connection: &Arc<Connection>) -> Result<()> {
        let (client, connection) = (Arc::downgrade(self), Arc::downgrade(connection));
        runtime::handle()?.spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let (Some(client), Some(connection)) = (client.upgrade(), connection.upgrade()) else {
                    return;
                };
                if connection.is_ended() {
                    return;
                }
                let keys = client.config.keys.as_ref();
                if connection.call(&client.heart_beat(), keys, HEARTBEAT_LIMIT).await.is_err() {
                    connection.end();
                    return;
                }
            }
        });
        Ok(())
    }

    /// A heart beat of a client without groups: it needs no right but to be there.
    pub fn heart_beat(&self) -> Request {
        let body = format!("{{\"clientID\":\"{}\",\"producerDataSet\":[],\"consumerDataSet\":[]}}", self.id);
        Request::new(HEART_BEAT).field("clientID", &self.id).body(body.into_bytes().into())
    }
}

/// The answer where it is a success, the broker's error where it is not.
pub(super) fn expect(server: &str, what: &str, answer: Response) -> Result<Response> {
    if answer.code == SUCCESS {
        return Ok(answer);
    }
    Err(error::refused(&format!("rocketmq at {server}"), what, &answer))
}
