//! `omsconnect queues`

use clap::{Args, Subcommand};
use openmessaging::{QueueDescription, QueueSpec};
use serde::Serialize;

use crate::broker::{Broker, BrokerArguments, is_missing};
use crate::failure::Result;
use crate::output;

pub const EXAMPLES: &str = "\
Examples:
  omsconnect queues list
  omsconnect queues describe orders --json
  omsconnect queues create orders --partitions 4 --retention-ms 86400000
  omsconnect queues delete orders
  omsconnect queues list --driver-url oms:local:///var/lib/omsconnect

The embedded queue (oms:local) is open in one process at a time: while a worker runs, go
through it.";

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every queue with its partitions and the number of messages kept
    List(Common),
    /// The partitions of one queue, with the first and the next offset
    Describe {
        /// Its name
        queue: String,
        #[command(flatten)]
        common: Common,
    },
    /// Make a queue
    Create {
        /// Its name: letters, digits, `.`, `_` and `-`
        queue: String,
        /// How many partitions it has
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        partitions: u32,
        /// Messages older than this may be removed [default: the broker's]
        #[arg(long, value_name = "MS")]
        retention_ms: Option<u64>,
        /// The oldest messages of a larger partition may be removed [default: the broker's]
        #[arg(long, value_name = "BYTES")]
        retention_bytes: Option<u64>,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a queue and its messages
    Delete {
        /// Its name
        queue: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    broker: BrokerArguments,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let common = match &arguments.action {
        Action::List(common)
        | Action::Describe { common, .. }
        | Action::Create { common, .. }
        | Action::Delete { common, .. } => common,
    };
    let broker = Broker::open(&common.broker).await?;
    let done = act(&broker, &arguments.action).await;
    done.and(broker.close().await)
}

async fn act(broker: &Broker, action: &Action) -> Result<()> {
    match action {
        Action::List(common) => list(broker, common.json).await,
        Action::Describe { queue, common } => describe(&broker.describe(queue).await?, common.json),
        Action::Create { queue, partitions, retention_ms, retention_bytes, common } => {
            let spec = QueueSpec {
                retention_ms: *retention_ms,
                retention_bytes: *retention_bytes,
                ..QueueSpec::new(queue.as_str(), *partitions)
            };
            broker.create(&spec).await?;
            done(common, &spec, &format!("created {queue} with {partitions} partition(s)"))
        }
        Action::Delete { queue, common } => {
            broker.delete(queue).await?;
            done(common, &serde_json::json!({"deleted": queue}), &format!("deleted {queue}"))
        }
    }
}

fn done(common: &Common, value: &impl Serialize, text: &str) -> Result<()> {
    if common.json { output::json(value) } else { output::line(text) }
}

async fn list(broker: &Broker, json: bool) -> Result<()> {
    let names = broker.names().await?;
    if json {
        return output::json(&names);
    }
    if names.is_empty() {
        return output::line("no queues yet");
    }
    let mut queues = Vec::with_capacity(names.len());
    for name in &names {
        match broker.describe(name).await {
            Ok(queue) => queues.push(queue),
            // Deleted since it was listed.
            Err(failure) if is_missing(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    let kept = |queue: &QueueDescription| -> u64 {
        queue.partitions.iter().map(|partition| partition.end.saturating_sub(partition.begin)).sum()
    };
    let rows = queues
        .iter()
        .map(|queue| [queue.name.clone(), queue.partitions.len().to_string(), kept(queue).to_string()]);
    output::table(["QUEUE", "PARTITIONS", "MESSAGES"], rows)
}

fn describe(queue: &QueueDescription, json: bool) -> Result<()> {
    if json {
        return output::json(queue);
    }
    let rows = queue.partitions.iter().map(|partition| {
        let kept = partition.end.saturating_sub(partition.begin);
        [u64::from(partition.partition), partition.begin, partition.end, kept]
            .map(|number| number.to_string())
    });
    output::table(["PARTITION", "BEGIN", "END", "MESSAGES"], rows)
}
