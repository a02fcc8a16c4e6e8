//! `omsconnect quickstart`

mod shop;
mod show;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use self::shop::Shop;
use crate::client::{Worker, encode};
use crate::failure::{Failure, Result};
use crate::message::Shown;
use crate::service::{self, Service};
use crate::settings::WorkerSettings;
use crate::signals::Signals;
use crate::{logging, output};

pub const EXAMPLES: &str = "\
Examples:
  omsconnect quickstart                    stays up until Ctrl-C, to be played with
  omsconnect quickstart --once             ends after the message
  omsconnect quickstart --dir shop-demo    keeps everything in that folder";

#[derive(Debug, Args)]
pub struct Arguments {
    /// End after the first message
    #[arg(long)]
    once: bool,
    /// Keep the queue and the database in this folder, and go on with what is in it [default: a new temporary one]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Port of the REST API [default: 8081, or the next free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// The connector's name.
const CONNECTOR: &str = "shop";
/// Within this the source runs, and the first message arrives.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn run(arguments: Arguments) -> Result<()> {
    let mut signals = Signals::listen()?;
    let place = Place::prepare(arguments.dir.as_deref())?;
    let settings = WorkerSettings::for_quickstart(place.path())?;
    let _log = logging::start(&settings.log)?;
    let shop = Shop::open(&place.path().join("shop.db"))?;
    let mut service = Service::start(&settings, listen(arguments.port).await?).await?;
    let url = service.url();
    let ended = tokio::select! {
        ended = demonstrate(&url, &settings, &shop, arguments.once) => ended,
        _ = signals.next() => Ok(()),
        failure = service.broken() => Err(failure),
    };
    signals.exit_on_next();
    service.stop().await;
    ended
}

async fn demonstrate(url: &str, settings: &WorkerSettings, shop: &Shop, once: bool) -> Result<()> {
    let worker = Worker::new(url)?;
    show::head(url, settings, shop.path())?;
    let config = shop.connector(&settings.driver_url);
    show::creation(url, CONNECTOR, &config)?;
    let text = serde_json::to_string(&config)
        .map_err(|error| Failure::new("quickstart.config", error.to_string()))?;
    let answer = worker.get(&format!("/connectors/{CONNECTOR}?config={}", encode(&text))).await?;
    let answer = String::from_utf8_lossy(&answer.body).into_owned();
    // A folder that was kept has it already, as the original says it.
    if answer != "success" && answer != "Connector with same config already exist." {
        return Err(Failure::new(
            "quickstart.connector",
            format!("the worker did not create the connector: {answer}"),
        ));
    }
    running(&worker).await?;
    output::line(format!("   {answer}\n"))?;
    let mut arrivals = watch::queues(&worker, &shop::TABLES).await?;
    show::change(shop.change()?)?;
    let first = tokio::time::timeout(PATIENCE, arrivals.recv()).await;
    let first = first.ok().flatten().ok_or_else(|| {
        Failure::new("quickstart.no_message", format!("no message arrived within {} s", PATIENCE.as_secs()))
            .with_remedy(format!("see the log, and GET {}/connectors/{CONNECTOR}/status", url))
    })?;
    show::arrival(&first?)?;
    if once {
        return Ok(());
    }
    show::next_steps(url, CONNECTOR, shop.path())?;
    stay(&mut arrivals, shop).await
}

/// Shows what arrives, and changes a row whenever Enter is pressed.
async fn stay(arrivals: &mut mpsc::Receiver<Result<Shown>>, shop: &Shop) -> Result<()> {
    let mut keys = watch::enter();
    loop {
        tokio::select! {
            Some(arrival) = arrivals.recv() => show::later(&arrival?)?,
            Some(()) = keys.recv() => show::another(shop.change()?)?,
            else => return Ok(()),
        }
    }
}

/// Waits until the connector's task runs: from then on no change is missed.
async fn running(worker: &Worker) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Status {
        connector: State,
        tasks: Vec<State>,
    }
    #[derive(serde::Deserialize)]
    struct State {
        state: String,
        trace: Option<String>,
    }
    let started = std::time::Instant::now();
    loop {
        let status = worker.get(&format!("/connectors/{CONNECTOR}/status")).await;
        if let Ok(status) = status.and_then(|answer| answer.json::<Status>(worker)) {
            let states = || status.tasks.iter().chain([&status.connector]);
            if let Some(failed) = states().find(|state| state.state == "FAILED") {
                let trace = failed.trace.clone().unwrap_or_default();
                return Err(Failure::new("quickstart.connector", format!("the connector failed: {trace}")));
            }
            if !status.tasks.is_empty() && states().all(|state| state.state == "RUNNING") {
                return Ok(());
            }
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::new("quickstart.connector", "the connector does not run within 30 s"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes the port that was asked for, or the first free one from the default on.
async fn listen(wanted: Option<u16>) -> Result<TcpListener> {
    const DEFAULT: u16 = 8081;
    let host = [127, 0, 0, 1].into();
    if let Some(port) = wanted {
        return service::listen(host, port).await;
    }
    for port in DEFAULT..DEFAULT + 100 {
        if let Ok(listener) = service::listen(host, port).await {
            return Ok(listener);
        }
    }
    service::listen(host, 0).await
}

/// Where everything is kept: a folder of the user's, or one that goes away in the end.
enum Place {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn prepare(dir: Option<&Path>) -> Result<Self> {
        let Some(dir) = dir else {
            let made = tempfile::Builder::new().prefix("omsconnect-").tempdir();
            return made.map(Self::Temporary).map_err(|error| {
                Failure::new("quickstart.folder", format!("cannot make a temporary folder: {error}"))
                    .with_remedy("name one with --dir")
            });
        };
        let absolute = std::fs::create_dir_all(dir).and_then(|()| std::path::absolute(dir));
        absolute.map(Self::Kept).map_err(|error| {
            Failure::new(
                "quickstart.folder",
                format!("--dir: cannot make the folder {}: {error}", dir.display()),
            )
        })
    }

    fn path(&self) -> &Path {
        match self {
            Place::Kept(path) => path,
            Place::Temporary(folder) => folder.path(),
        }
    }
}
