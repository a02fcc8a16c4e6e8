//! `omsconnect tap`

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::broker::{Broker, BrokerArguments, Messages, Wanted};
use crate::failure::Result;
use crate::message::Shown;
use crate::output;
use crate::signals::Signals;

pub const EXAMPLES: &str = "\
Examples:
  omsconnect tap orders                                  messages as they come, until Ctrl-C
  omsconnect tap orders --from begin --limit 10          the ten oldest
  omsconnect tap orders --from begin --timeout 5 --json | jq -r .value
  omsconnect tap orders --worker http://10.0.0.5:8081
  omsconnect tap orders --driver-url oms:local:///var/lib/omsconnect

With --json each message is one line: queue, partition, offset, timestamp (milliseconds), key,
headers, value. Bytes that are not UTF-8 are {\"base64\": \"...\"}, and what is not there is null.
Reading commits no position and disturbs nobody.

Exit codes: 0 at the limit, the timeout, Ctrl-C or a closed pipe; 1 failed; 2 wrongly called.";

#[derive(Debug, Args)]
pub struct Arguments {
    /// The queue to read: for a database source, the table's name
    queue: String,
    #[command(flatten)]
    broker: BrokerArguments,
    /// Where to start: with the oldest message kept, or with the next one that is sent
    #[arg(long, value_enum, default_value_t = From::End)]
    from: From,
    /// This partition alone [default: all]
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// End after this many seconds in all
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Begin,
    End,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a number of seconds".to_owned())
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let mut signals = Signals::listen()?;
    let read = async {
        let broker = Broker::open(&arguments.broker).await?;
        let done = show(&broker, &arguments).await;
        done.and(broker.close().await)
    };
    tokio::select! {
        done = read => done,
        _ = signals.next() => Ok(()),
    }
}

async fn show(broker: &Broker, arguments: &Arguments) -> Result<()> {
    let wanted = Wanted {
        from_begin: arguments.from == From::Begin,
        partition: arguments.partition,
        limit: arguments.limit,
        timeout: arguments.timeout,
    };
    let mut messages = broker.tap(&arguments.queue, wanted).await?;
    if !arguments.json && std::io::stderr().is_terminal() {
        let place =
            if wanted.from_begin { "its oldest message" } else { "now on (--from begin shows older ones)" };
        eprintln!("reading {} from {place}; Ctrl-C ends", arguments.queue);
    }
    while let Some(lines) = next(&mut messages).await? {
        if arguments.json {
            output::write(&lines)?;
            continue;
        }
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            output::line(Shown::read(line)?.pretty())?;
        }
    }
    Ok(())
}

/// The next lines, or `None` when they end or nobody reads our output any more.
async fn next(messages: &mut Messages) -> Result<Option<Vec<u8>>> {
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            next = messages.next() => return next,
            _ = look.tick() => if output::is_closed() { return Ok(None) },
        }
    }
}
