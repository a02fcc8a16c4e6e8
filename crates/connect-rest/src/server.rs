//! Serving the API on a socket.

use std::io;

use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use connect_runtime::worker::Worker;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::app::App;
use crate::connection::{LenientListener, NextRequest};
use crate::options::{RestOptions, check_public};
use crate::router::app_router;

/// Serves until `shutdown` ends; then takes no more connections, ends the streams of messages, and gives requests in
/// progress `RestOptions::shutdown_timeout` to be answered.
///
/// # Errors
/// `InvalidInput` where the listener's address is open to others and nobody said that it may be (see
/// [`check_public`]); what accepting connections fails with.
pub async fn serve(
    worker: Worker,
    listener: TcpListener,
    options: RestOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    check_public(address.ip(), options.allow_unauthenticated_public)
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let patience = options.shutdown_timeout;
    let app = App::new(worker, RestOptions { bind: address, ..options });
    let closing = app.closing.clone();
    let (began, begins) = oneshot::channel();
    let signal = async move {
        shutdown.await;
        closing.cancel();
        let _ = began.send(());
    };
    let service: IntoMakeServiceWithConnectInfo<_, NextRequest> =
        app_router(app).into_make_service_with_connect_info();
    let serving = axum::serve(LenientListener(listener), service).with_graceful_shutdown(signal);
    let too_long = async {
        match begins.await {
            Ok(()) => tokio::time::sleep(patience).await,
            // The server ended by itself.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serving.into_future() => ended,
        () = too_long => {
            tracing::warn!("requests still in progress were given up at shutdown");
            Ok(())
        }
    }
}
