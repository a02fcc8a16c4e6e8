//! The boundary around plugin code (invariant 8): a thread of its own, a panic boundary, and a sign of life by which a
//! thread that hangs is noticed and given up.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use openmessaging_connector::{Error, Result};
use tokio::sync::watch;

/// How often an isolated thread shows that it is alive.
const BEAT: Duration = Duration::from_millis(500);

/// The code of the error for a call that took too long.
pub const TIMED_OUT: &str = "plugin.timeout";

/// A thread that runs a task.
pub struct Running {
    done: watch::Receiver<bool>,
    beats: Arc<AtomicU64>,
    seen: (u64, Instant),
}

impl Running {
    /// Whether it has ended.
    pub fn is_done(&self) -> bool {
        *self.done.borrow() || self.done.has_changed().is_err()
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        let _ = self.done.wait_for(|done| *done).await;
    }

    /// The same, to be waited for elsewhere.
    pub fn end(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut done = self.done.clone();
        async move {
            let _ = done.wait_for(|done| *done).await;
        }
    }

    /// How long the thread has been stuck in a call that does not return, zero while it lives. To be asked every so
    /// often.
    pub fn stuck_for(&mut self) -> Duration {
        let beats = self.beats.load(Ordering::Relaxed);
        if beats != self.seen.0 || self.is_done() {
            self.seen = (beats, Instant::now());
        }
        let since = self.seen.1.elapsed();
        if since > 3 * BEAT { since } else { Duration::ZERO }
    }
}

/// Runs `work` on a new thread with a runtime of its own. A panic ends the thread and is told to `panicked`.
pub fn spawn<F>(
    name: &str,
    work: F,
    panicked: impl FnOnce(String) + Send + 'static,
) -> std::io::Result<Running>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (ended, done) = watch::channel(false);
    let beats = Arc::new(AtomicU64::new(0));
    let life = beats.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The kernel shows 15 bytes of a thread's name.
    std::thread::Builder::new().name(name.chars().take(15).collect()).spawn(move || {
        let work = async {
            let beat = async {
                loop {
                    life.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(BEAT).await;
                }
            };
            tokio::select! {
                () = work => {}
                () = beat => {}
            }
        };
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
        if let Err(panic) = outcome {
            panicked(message_of(&*panic));
        }
        let _ = ended.send(true);
        // Blocking calls that hang must not keep the thread.
        runtime.shutdown_background();
    })?;
    Ok(Running { done, beats, seen: (0, Instant::now()) })
}

/// Makes one call into a plugin on a thread of its own, and gives it up after `limit`.
///
/// # Errors
/// The call's own; `plugin.timeout` naming `stage`; `plugin.panicked`.
pub async fn call_isolated<T, F>(stage: &str, limit: Duration, call: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (answer, answered) = tokio::sync::oneshot::channel();
    let work = async move {
        let outcome = AssertUnwindSafe(call).catch_unwind().await;
        let _ = answer.send(outcome.map_err(|panic| message_of(&*panic)));
    };
    spawn(stage, work, |_| {}).map_err(|error| {
        Error::retriable("worker.no_thread", format!("no thread could be started for {stage}: {error}"))
    })?;
    match tokio::time::timeout(limit, answered).await {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(panic))) => Err(Error::fatal("plugin.panicked", format!("{stage} panicked: {panic}"))),
        Ok(Err(_)) => Err(Error::fatal("plugin.panicked", format!("{stage} ended without an answer"))),
        Err(_) => {
            Err(Error::fatal(TIMED_OUT, format!("{stage} did not return within {} s", limit.as_secs()))
                .with_remedy("see what the connector waits for; the worker's call.timeout.ms is the limit"))
        }
    }
}

/// Limits one asynchronous call into a plugin.
pub async fn limited<T>(stage: &str, limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(Error::retriable(TIMED_OUT, format!("{stage} did not return within {} s", limit.as_secs())))
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
