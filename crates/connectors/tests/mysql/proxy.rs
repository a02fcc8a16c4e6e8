//! A TCP relay in front of a server, so that a test can cut a task's connections and refuse new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Relays to one address until dropped.
pub struct Proxy {
    pub port: u16,
    cut: watch::Sender<u64>,
    refusing: Arc<AtomicBool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn to(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (cut, cuts) = watch::channel(0);
        let refusing = Arc::new(AtomicBool::new(false));
        let refuse = refusing.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if refuse.load(Ordering::SeqCst) {
                    continue;
                }
                tokio::spawn(relay(client, address.clone(), cuts.clone()));
            }
        });
        Self { port, cut, refusing, accepting }
    }

    /// Cuts every connection, and new ones as soon as they come.
    pub fn interrupt(&self) {
        self.refusing.store(true, Ordering::SeqCst);
        self.cut.send_modify(|count| *count += 1);
    }

    pub fn restore(&self) {
        self.refusing.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut.send_modify(|count| *count += 1);
    }
}

async fn relay(mut client: TcpStream, address: String, mut cuts: watch::Receiver<u64>) {
    cuts.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(address).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => {}
    }
}
