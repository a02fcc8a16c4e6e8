//! A TCP proxy in front of a broker, which does what networks do: cuts connections, swallows answers, is slow.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Never cut.
const NEVER: i64 = i64::MAX;

/// Runs on a thread of its own until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<String>,
    /// Ends all connections.
    cut: Notify,
    /// Ends the proxy.
    end: Notify,
    /// So many more bytes go to the broker, in all connections together, until all are cut.
    budget: AtomicI64,
    /// What the broker answers on connections of a lower number is thrown away: not on those made after a cut.
    swallow: AtomicU64,
    /// Nothing is let through, in either direction; connections stay.
    hold: AtomicBool,
    /// How long each piece waits, milliseconds.
    delay: AtomicU64,
    /// The largest piece, and so how little passes in each `delay`.
    piece: AtomicU64,
    connections: AtomicU64,
    down: AtomicU64,
}

impl Proxy {
    /// Listens on this port of 127.0.0.1 (0: any free one), for a broker at `target` (`host:port`).
    pub fn start(port: u16, target: &str) -> Self {
        let shared = Arc::new(Shared {
            target: Mutex::new(target.to_owned()),
            cut: Notify::new(),
            end: Notify::new(),
            budget: AtomicI64::new(NEVER),
            swallow: AtomicU64::new(0),
            hold: AtomicBool::new(false),
            delay: AtomicU64::new(0),
            piece: AtomicU64::new(64 * 1024),
            connections: AtomicU64::new(0),
            down: AtomicU64::new(0),
        });
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a port for the proxy");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("the proxy's address");
        let own = shared.clone();
        std::thread::spawn(move || {
            crate::block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                loop {
                    tokio::select! {
                        () = own.end.notified() => return,
                        accepted = listener.accept() => {
                            if let Ok((client, _)) = accepted {
                                tokio::spawn(connection(client, own.clone()));
                            }
                        }
                    }
                }
            });
        });
        Self { address, shared }
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections were made through it so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes went from the broker to its clients so far.
    pub fn bytes_down(&self) -> u64 {
        self.shared.down.load(Ordering::Relaxed)
    }

    /// Cuts every connection now. New ones go through.
    pub fn cut(&self) {
        let made = self.shared.connections.load(Ordering::SeqCst);
        let _ = self.shared.swallow.compare_exchange(u64::MAX, made, Ordering::SeqCst, Ordering::SeqCst);
        self.shared.cut.notify_waiters();
    }

    /// Cuts every connection when so many more bytes went to the broker: half-way through a batch. Once.
    pub fn cut_after(&self, bytes: usize) {
        self.shared.budget.store(bytes as i64, Ordering::SeqCst);
    }

    /// Throws away what the broker answers from now on; followed by [`cut`](Self::cut), an answer that was lost after the
    /// write.
    pub fn swallow_answers(&self, swallow: bool) {
        self.shared.swallow.store(if swallow { u64::MAX } else { 0 }, Ordering::SeqCst);
    }

    /// Lets nothing through and keeps connections open, until it is called with `false`.
    pub fn hold(&self, hold: bool) {
        self.shared.hold.store(hold, Ordering::SeqCst);
    }

    /// Each piece of at most `piece` bytes takes `delay` from now on.
    pub fn slow(&self, delay: Duration, piece: usize) {
        self.shared.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
        self.shared.piece.store(piece as u64, Ordering::SeqCst);
    }

    /// As it was at first.
    pub fn heal(&self) {
        self.shared.budget.store(NEVER, Ordering::SeqCst);
        self.swallow_answers(false);
        self.hold(false);
        self.slow(Duration::ZERO, 64 * 1024);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.end.notify_one();
        self.cut();
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let target = shared.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Ok(server) = TcpStream::connect(&target).await else { return };
    // Before it is counted: every connection that a cut counts is cut.
    let cut = shared.cut.notified();
    tokio::pin!(cut);
    cut.as_mut().enable();
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = cut => {}
        () = pump(from_client, to_server, &shared, None) => {}
        () = pump(from_server, to_client, &shared, Some(number)) => {}
    }
}

/// `down`: this is the way from the broker, of the connection of that number.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, down: Option<u64>) {
    let mut buffer = vec![0; 64 * 1024];
    let up = down.is_none();
    // Nothing comes behind what was swallowed: a connection ends there.
    let mut swallowed = false;
    loop {
        let piece = (shared.piece.load(Ordering::Relaxed) as usize).clamp(1, buffer.len());
        let Ok(count @ 1..) = from.read(&mut buffer[..piece]).await else { return };
        let delay = shared.delay.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        while shared.hold.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        swallowed |= down.is_some_and(|number| number < shared.swallow.load(Ordering::SeqCst));
        if swallowed {
            continue;
        }
        if !up {
            shared.down.fetch_add(count as u64, Ordering::Relaxed);
        }
        let mut allowed = count;
        if up && shared.budget.load(Ordering::SeqCst) != NEVER {
            let left = shared.budget.fetch_sub(count as i64, Ordering::SeqCst);
            if left < count as i64 {
                allowed = left.max(0) as usize;
            }
        }
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return;
        }
        if allowed < count {
            shared.budget.store(NEVER, Ordering::SeqCst);
            // What was let through arrives before the connection ends.
            tokio::time::sleep(Duration::from_millis(20)).await;
            shared.cut.notify_waiters();
            return;
        }
    }
}
