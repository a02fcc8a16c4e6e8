//! A message queue, seen through a running worker or straight at the broker.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use connect_rest::tap::{Tap, TapOptions, is_internal};
use openmessaging::{AccessPointUrl, MessagingAccessPoint, Properties, QueueDescription, QueueSpec, StartAt};
use openmessaging_connector::config::nearest;

use crate::client::{Lines, Worker, encode};
use crate::failure::{Failure, Result};
use crate::plugins;

/// Where a command finds the queues.
#[derive(Debug, Clone, Args)]
pub struct BrokerArguments {
    /// REST API of a running worker [env: OMSCONNECT_WORKER] [default: http://127.0.0.1:8081]
    #[arg(long, value_name = "URL")]
    pub worker: Option<String>,
    /// Straight at the broker, without a worker: oms:local:///FOLDER, oms:<driver>://HOST:PORT/REGION
    #[arg(long, value_name = "URL", conflicts_with = "worker")]
    pub driver_url: Option<String>,
    /// A property of the driver, as often as needed: password='${env:PASSWORD}', tls.ca.file=/etc/ca.pem
    #[arg(long = "driver-property", value_name = "KEY=VALUE", requires = "driver_url")]
    pub driver_properties: Vec<String>,
}

/// Opens a broker without a worker.
///
/// # Errors
/// A URL or a property that cannot be read, a secret that is not there, and whatever the driver says.
pub async fn connect(url: &str, properties: &[String]) -> Result<Arc<dyn MessagingAccessPoint>> {
    let url: AccessPointUrl = url.parse()?;
    let mut given = Properties::new();
    for property in properties {
        let Some((key, value)) = property.split_once('=') else {
            // What stands there may be a secret.
            return Err(Failure::usage("driver.property", "a --driver-property is not KEY=VALUE")
                .with_remedy("write --driver-property tls.ca.file=/etc/ca.pem"));
        };
        given.insert(key.trim().to_owned(), connect_runtime::config::secrets::resolve(value)?);
    }
    Ok(plugins::drivers().connect(&url, &given).await?)
}

/// Names the worker where no flag does.
const WORKER_VARIABLE: &str = "OMSCONNECT_WORKER";
const DEFAULT_WORKER: &str = "http://127.0.0.1:8081";

/// An open way to the queues.
pub enum Broker {
    Worker(Worker),
    Driver(Arc<dyn MessagingAccessPoint>),
}

/// Which messages are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub from_begin: bool,
    pub partition: Option<u32>,
    pub limit: Option<u64>,
    pub timeout: Option<Duration>,
}

/// Messages as they come, a line of JSON each.
pub enum Messages {
    Worker(WorkerMessages),
    Driver(Box<Tap>),
}

/// The stream of a worker, which may end with a line that says why it broke off.
pub struct WorkerMessages {
    lines: Lines,
    broken: Option<Failure>,
}

impl Broker {
    /// # Errors
    /// A URL that cannot be read; a broker that cannot be opened. A worker is not asked yet.
    pub async fn open(arguments: &BrokerArguments) -> Result<Self> {
        let Some(url) = &arguments.driver_url else {
            // Not by clap: a variable must not be in conflict with --driver-url.
            let variable = std::env::var(WORKER_VARIABLE).ok().filter(|url| !url.is_empty());
            let url = arguments.worker.clone().or(variable);
            return Ok(Self::Worker(Worker::new(url.as_deref().unwrap_or(DEFAULT_WORKER))?));
        };
        Ok(Self::Driver(connect(url, &arguments.driver_properties).await?))
    }

    /// The names of the queues, in order; those of worker groups' own queues are left out.
    pub async fn names(&self) -> Result<Vec<String>> {
        match self {
            Broker::Worker(worker) => worker.get("/queues").await?.json(worker),
            Broker::Driver(access_point) => {
                let names = access_point.resources().list_queues().await?;
                Ok(names.into_iter().filter(|name| !is_internal(name)).collect())
            }
        }
    }

    pub async fn describe(&self, queue: &str) -> Result<QueueDescription> {
        let described = match self {
            Broker::Worker(worker) => worker.get(&path(queue)).await.and_then(|answer| answer.json(worker)),
            Broker::Driver(access_point) => {
                access_point.resources().describe_queue(queue).await.map_err(Failure::from)
            }
        };
        self.or_known(queue, described).await
    }

    pub async fn create(&self, spec: &QueueSpec) -> Result<()> {
        match self {
            Broker::Worker(worker) => worker.post("/queues", spec).await.map(|_| ()),
            Broker::Driver(access_point) => Ok(access_point.resources().create_queue(spec).await?),
        }
    }

    pub async fn delete(&self, queue: &str) -> Result<()> {
        let deleted = match self {
            Broker::Worker(worker) => worker.delete(&path(queue)).await.map(|_| ()),
            Broker::Driver(_) if is_internal(queue) => {
                let message =
                    format!("{queue} is the control log of a worker group: its connectors are in it");
                return Err(Failure::new("queue.internal", message)
                    .with_remedy("delete the connectors over REST instead"));
            }
            Broker::Driver(access_point) => {
                access_point.resources().delete_queue(queue).await.map_err(Failure::from)
            }
        };
        self.or_known(queue, deleted).await
    }

    /// Starts to read; with `from_begin` unset, every message sent after this returns is seen.
    pub async fn tap(&self, queue: &str, wanted: Wanted) -> Result<Messages> {
        let opened = match self {
            Broker::Worker(worker) => {
                let lines = worker.lines(&format!("{}/messages?{}", path(queue), query(wanted))).await;
                lines.map(|lines| Messages::Worker(WorkerMessages { lines, broken: None }))
            }
            Broker::Driver(access_point) => {
                let from = if wanted.from_begin { StartAt::Begin } else { StartAt::End };
                let Wanted { partition, limit, timeout, .. } = wanted;
                let options = TapOptions { from, partition, limit, timeout };
                let tap = Tap::open(access_point.as_ref(), queue, options).await;
                tap.map(|tap| Messages::Driver(Box::new(tap))).map_err(Failure::from)
            }
        };
        self.or_known(queue, opened).await
    }

    /// Lets go of the broker.
    pub async fn close(self) -> Result<()> {
        match self {
            Broker::Worker(_) => Ok(()),
            Broker::Driver(access_point) => Ok(access_point.close().await?),
        }
    }

    /// Says which queues there are where the one that was asked for is not there.
    async fn or_known<T>(&self, queue: &str, done: Result<T>) -> Result<T> {
        let Err(failure) = done else { return done };
        if !is_missing(&failure) {
            return Err(failure);
        }
        let Ok(names) = self.names().await else { return Err(failure) };
        Err(missing(queue, &names))
    }
}

impl Messages {
    /// The next lines; `None` when the limit or the timeout is reached. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match self {
            Messages::Worker(messages) => messages.next().await,
            Messages::Driver(tap) => Ok(tap.next().await?),
        }
    }
}

impl WorkerMessages {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(failure) = self.broken.take() {
            return Err(failure);
        }
        let Some(mut lines) = self.lines.next().await? else { return Ok(None) };
        let last = lines[..lines.len().saturating_sub(1)]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let Some(failure) = broken(&lines[last..]) else { return Ok(Some(lines)) };
        lines.truncate(last);
        if lines.is_empty() {
            return Err(failure);
        }
        self.broken = Some(failure);
        Ok(Some(lines))
    }
}

/// What the last line of a stream says of its end, where it is no message.
fn broken(line: &[u8]) -> Option<Failure> {
    #[derive(serde::Deserialize)]
    struct Line {
        error: Error,
    }
    #[derive(serde::Deserialize)]
    struct Error {
        code: String,
        message: String,
    }
    if !line.starts_with(b"{\"error\"") {
        return None;
    }
    let Line { error } = serde_json::from_slice(line).ok()?;
    Some(Failure::new(error.code, error.message))
}

/// Whether there is no such queue.
pub fn is_missing(failure: &Failure) -> bool {
    failure.problems.iter().any(|problem| matches!(problem.code.as_str(), "queue.not_found" | "OMS-1404"))
}

fn path(queue: &str) -> String {
    format!("/queues/{}", encode(queue))
}

fn query(wanted: Wanted) -> String {
    let mut query = format!("from={}", if wanted.from_begin { "begin" } else { "end" });
    if let Some(partition) = wanted.partition {
        query.push_str(&format!("&partition={partition}"));
    }
    if let Some(limit) = wanted.limit {
        query.push_str(&format!("&limit={limit}"));
    }
    if let Some(timeout) = wanted.timeout {
        query.push_str(&format!("&timeout={}", timeout.as_secs_f64()));
    }
    query
}

fn missing(queue: &str, known: &[String]) -> Failure {
    /// Names beyond this are counted only.
    const SHOWN: usize = 20;
    let failure = Failure::new("queue.not_found", format!("there is no queue {queue}"));
    if known.is_empty() {
        return failure.with_remedy("there are no queues yet: a source makes them with its first message");
    }
    let near = nearest(queue, known.iter().map(String::as_str));
    let near = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    let more = match known.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = known[..known.len().min(SHOWN)].join(", ");
    failure.with_remedy(format!("{near}the queues are {shown}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_broke_off_says_why() {
        let failure = broken(br#"{"error":{"code":"broker.error","message":"gone"}}"#).expect("an error");
        assert_eq!(failure.to_string(), "error[broker.error]: gone\n");
        assert_eq!(broken(br#"{"queue":"q"}"#), None);
    }

    #[test]
    fn a_missing_queue_is_told_with_those_that_are_there() {
        let known: Vec<String> = (0..25).map(|n| format!("orders{n}")).collect();
        let text = missing("order3", &known).to_string();
        assert!(text.contains("did you mean orders3?") && text.contains("and 5 more"), "{text}");
        assert!(missing("x", &[]).to_string().contains("no queues yet"));
    }
}
