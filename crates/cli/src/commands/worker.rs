//! `omsconnect worker`

use crate::failure::Result;
use crate::service::{self, Service};
use crate::settings::{WorkerArguments, WorkerSettings};
use crate::signals::Signals;
use crate::{logging, output};

pub const EXAMPLES: &str = "\
Examples:
  omsconnect worker                       queue in ~/connectorStore, REST on port 8081
  omsconnect worker -c connect.conf
  omsconnect worker --http-port 8082 --store-path-root-dir /var/lib/omsconnect --log-stdout
  OMSCONNECT_LOG_LEVEL=debug omsconnect worker -c connect.conf

Each key is taken from the flag, else the environment variable, else the file, else the default.

It prints \"The worker [ID] boot success.\" once the REST API answers. SIGTERM or Ctrl-C lets work
end and flushes positions; a second one ends at once.

Exit codes: 0 stopped, 1 failed, 2 wrongly called.";

pub async fn run(arguments: WorkerArguments) -> Result<()> {
    let settings = WorkerSettings::load(arguments)?;
    let log = logging::start(&settings.log)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let ended = serve(&settings, &log).await;
    if let Err(failure) = &ended {
        tracing::error!("{}", failure.to_string().trim_end());
    }
    ended
}

async fn serve(settings: &WorkerSettings, log: &logging::Log) -> Result<()> {
    let mut signals = Signals::listen()?;
    tracing::info!(
        worker = settings.worker_id,
        group = settings.group,
        queue = settings.driver_url.redacted(),
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let listener = service::listen(settings.http.host, settings.http.port).await?;
    let mut service = tokio::select! {
        started = Service::start(settings, listener) => started?,
        (signal, _) = signals.next() => {
            tracing::info!(signal, "asked to stop before the start was complete");
            return Ok(());
        }
    };
    let boot = format!("The worker [{}] boot success.", settings.worker_id);
    tracing::info!(rest = service.url(), "{boot}");
    if let Err(failure) = announce(&boot, &service, log, settings.log.folder.is_none()) {
        // Nobody reads standard output; the worker works.
        tracing::debug!("{}", failure.to_string().trim_end());
    }
    let ended = tokio::select! {
        (signal, _) = signals.next() => {
            tracing::info!(signal, "stopping");
            Ok(())
        }
        failure = service.broken() => Err(failure),
    };
    signals.exit_on_next();
    service.stop().await;
    tracing::info!("stopped");
    ended
}

fn announce(boot: &str, service: &Service, log: &logging::Log, log_is_stdout: bool) -> Result<()> {
    output::line(boot)?;
    output::line(format!("REST API: {}", service.url()))?;
    if log_is_stdout { Ok(()) } else { output::line(format!("Log: {}", log.place)) }
}
