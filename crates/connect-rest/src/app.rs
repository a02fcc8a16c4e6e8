//! What every handler has at hand.

use std::sync::Arc;

use connect_runtime::worker::Worker;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::guard::Guard;
use crate::options::RestOptions;

/// The worker and how it is served. Shared by all requests.
pub struct App {
    pub worker: Worker,
    pub options: RestOptions,
    pub guard: Guard,
    /// One permit for each tap that may be open.
    pub taps: Arc<Semaphore>,
    /// Ends the answers that would otherwise go on for ever.
    pub closing: CancellationToken,
}

impl App {
    pub fn new(worker: Worker, options: RestOptions) -> Arc<Self> {
        let guard = Guard::new(&options, &worker.info().address);
        let taps = Arc::new(Semaphore::new(options.max_taps.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { worker, options, guard, taps, closing: CancellationToken::new() })
    }
}
