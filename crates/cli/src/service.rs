//! A worker with its REST API, as one thing to start and to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};

use connect_rest::RestOptions;
use connect_runtime::worker::{Worker, WorkerOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Result};
use crate::plugins;
use crate::settings::WorkerSettings;

/// A worker that answers requests.
pub struct Service {
    worker: Worker,
    /// Where the REST API listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<io::Result<()>>,
}

impl Service {
    /// Opens the message queue, starts the worker and serves. When it returns the API answers.
    ///
    /// # Errors
    /// The queue cannot be had; nothing is left running then.
    pub async fn start(settings: &WorkerSettings, listener: TcpListener) -> Result<Self> {
        let http = &settings.http;
        let address = listener.local_addr().map_err(|error| cannot_listen(http.host, http.port, &error))?;
        let worker = Worker::start(options(settings, address)).await?;
        let rest = RestOptions {
            allowed_hosts: http.allowed_hosts.clone(),
            create_over_get: http.create_over_get,
            allow_unauthenticated_public: http.public,
            ..RestOptions::new(address)
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(connect_rest::serve(worker.clone(), listener, rest, stopped));
        Ok(Self { worker, address, stop, serving })
    }

    /// The URL of the REST API for this machine.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
            });
        }
        format!("http://{address}")
    }

    /// Waits until the REST API ends by itself, which is a failure.
    pub async fn broken(&mut self) -> Failure {
        let why = match (&mut self.serving).await {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Failure::new("http.failed", format!("the REST API on {} failed: {why}", self.address))
    }

    /// Stops taking requests, lets work end and flushes positions.
    pub async fn stop(self) {
        self.stop.cancel();
        self.worker.shutdown().await;
        // It has a limit of its own, and is done already where it was what failed.
        if !self.serving.is_finished() {
            let _ = self.serving.await;
        }
    }
}

fn options(settings: &WorkerSettings, address: SocketAddr) -> WorkerOptions {
    WorkerOptions {
        group: settings.group.clone(),
        driver_properties: settings.driver_properties.clone(),
        address: settings.http.advertised.clone().unwrap_or_else(|| address.to_string()),
        drivers: plugins::drivers(),
        plugins: plugins::registry(),
        connector_defaults: settings.connector_defaults.clone(),
        heartbeat_interval: settings.heartbeat_interval,
        shutdown_timeout: settings.shutdown_timeout,
        call_timeout: settings.call_timeout,
        memory_bytes: settings.memory_bytes,
        ..WorkerOptions::new(settings.worker_id.as_str(), settings.driver_url.clone())
    }
}

/// Takes the port.
///
/// # Errors
/// `http.*`: it cannot be had.
pub async fn listen(host: IpAddr, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).await.map_err(|error| cannot_listen(host, port, &error))
}

fn cannot_listen(host: IpAddr, port: u16, error: &io::Error) -> Failure {
    let at = SocketAddr::new(host, port);
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::new("http.port_in_use", format!("httpPort: another process listens on {at} already"))
                .with_remedy("end it, or choose another port with --http-port (0 takes any free one)")
        }
        io::ErrorKind::PermissionDenied => {
            Failure::new("http.port_refused", format!("httpPort: this user may not listen on {at}"))
                .with_remedy("choose a port from 1024 on with --http-port")
        }
        io::ErrorKind::AddrNotAvailable => {
            Failure::new("http.no_such_address", format!("httpHost: this machine has no address {host}"))
                .with_remedy("write 127.0.0.1, 0.0.0.0, or one of `ip address`")
        }
        _ => Failure::new("http.listen", format!("httpHost, httpPort: cannot listen on {at}: {error}")),
    }
}
