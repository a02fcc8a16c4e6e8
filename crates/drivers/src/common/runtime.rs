//! One runtime for the connections of all drivers in the process. Callers have runtimes of their own (a task has a thread
//! and a runtime that end with it): a connection that is shared must not live on one of those.

use std::sync::OnceLock;

use openmessaging::{Error, Result, StatusCode};
use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: OnceLock<std::result::Result<Runtime, String>> = OnceLock::new();

/// Threads: connections wait far more than they work.
const THREADS: usize = 2;

/// Where a driver spawns what outlives a call.
pub(crate) fn handle() -> Result<&'static Handle> {
    let start = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("oms-driver").enable_all();
        builder.build().map_err(|error| error.to_string())
    };
    match RUNTIME.get_or_init(start) {
        Ok(runtime) => Ok(runtime.handle()),
        Err(why) => {
            let message = format!("the threads of the drivers cannot be started: {why}");
            Err(Error::new(StatusCode::DriverFailed, message)
                .with_remedy("look at the limits of this process (ulimit -u)"))
        }
    }
}

/// Runs a future on the drivers' runtime and waits for it; dropping the returned future gives it up.
pub(crate) async fn on_own<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    struct Aborted<T>(tokio::task::JoinHandle<T>);
    impl<T> Drop for Aborted<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = Aborted(handle()?.spawn(work));
    (&mut task.0).await.unwrap_or_else(|ended| {
        let why = if ended.is_cancelled() { "was cancelled" } else { "panicked" };
        Err(Error::new(StatusCode::ServerError, format!("work of the driver {why}")))
    })
}
