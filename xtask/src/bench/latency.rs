//! From a commit to the line that `omsconnect tap` prints, at a steady rate of single-row transactions.
//!
//! Each row carries two stamps of this machine's clock: when its INSERT was written to the client, and when the server
//! ran it (`SYSDATE(6)`), which is the last moment before the commit that SQL can tell. Arrival is when the whole line
//! has been read from `tap`. So both latencies hold the commit itself too, and the first also the client and the way to
//! the server.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::figure::{Figure, Metric, RATE, Target, Unit};
use super::orders::{DATABASE, SETTINGS};
use super::worker::{Queues, Worker};
use super::{Context, Outcome, Workload, mysql};
use crate::Result;

/// Through the embedded queue, or through a broker of the tests.
pub struct Latency {
    pub broker: Option<&'static str>,
}

const PER_SECOND: u64 = 1_000;
const WARM_UP: u64 = 3 * PER_SECOND;
const ROWS: u64 = 30 * PER_SECOND;

const P50: Metric = Metric { name: "p50", unit: Unit::Milliseconds };
const P99: Metric = Metric { name: "p99", unit: Unit::Milliseconds };
const MAX: Metric = Metric { name: "max", unit: Unit::Milliseconds };
const CLIENT_P99: Metric = Metric { name: "p99 from the client on", unit: Unit::Milliseconds };
/// Of one core, of the worker.
const CPU: Metric = Metric { name: "CPU", unit: Unit::Percent };

const QUEUE: &str = "latency";

impl Workload for Latency {
    fn name(&self) -> &'static str {
        match self.broker {
            None => "latency",
            Some(_) => "latency-kafka",
        }
    }

    fn about(&self) -> &'static str {
        match self.broker {
            None => "commit -> `omsconnect tap`, at 1,000 single-row transactions a second for 30 s",
            Some(_) => "the same through Kafka, with default settings",
        }
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        let database = context.database()?;
        let queues = Queues::of(self.broker)?;
        let worker = Worker::start(context.binary()?, &context.folder.join(self.name()), &queues)?;
        worker.rest.delete_queue(QUEUE)?;
        worker.rest.create_queue(QUEUE)?;
        let tap = Tap::start(&worker)?;
        database.feed(|sql| sql.write_all(create().as_bytes()))?;
        worker.rest.create_connector(self.name(), &mysql::source(database, QUEUE))?;
        // A first start streams from the end of the binlog on: rows from before are not for it.
        let begin = Instant::now();
        while !tap.has_begun() {
            if let Some(trace) = worker.rest.failure(self.name())? {
                return Err(format!("connector {} failed: {trace}", self.name()));
            }
            if begin.elapsed() > Duration::from_secs(30) {
                return Err("no row arrived within 30 s".into());
            }
            database.feed(|sql| sql.write_all((SETTINGS.to_string() + &insert(-1)).as_bytes()))?;
        }
        let before = worker.usage()?;
        let begin = Instant::now();
        database.feed(|sql| paced(sql, WARM_UP + ROWS))?;
        let seconds = begin.elapsed().as_secs_f64();
        let lines = tap.finish(ROWS)?;
        let after = worker.usage()?;
        worker.stop()?;
        let arrivals: Vec<Arrival> = lines.iter().map(arrival).collect::<Result<_>>()?;
        let [server, client] = latencies(&arrivals)?;
        let millis = |micros: i64| micros as f64 / 1e3;
        let busy = (after.cpu - before.cpu).as_secs_f64() / seconds;
        Ok(Outcome {
            workload: self.name(),
            work: if self.broker.is_some() { "commit -> Kafka -> tap" } else { "commit -> tap" }.into(),
            figures: vec![
                Figure::new(RATE, (WARM_UP + ROWS) as f64 / seconds, None),
                Figure::new(P50, millis(percentile(&server, 50)), None),
                Figure::new(P99, millis(percentile(&server, 99)), Some(Target::below(10.0))),
                Figure::new(MAX, millis(percentile(&server, 100)), None),
                Figure::new(CLIENT_P99, millis(percentile(&client, 99)), None),
                Figure::new(CPU, busy * 100.0, None),
            ],
        })
    }
}

fn create() -> String {
    format!(
        "{SETTINGS}CREATE DATABASE IF NOT EXISTS {DATABASE};\n\
         DROP TABLE IF EXISTS {DATABASE}.{QUEUE};\n\
         CREATE TABLE {DATABASE}.{QUEUE} (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, number BIGINT NOT NULL,\n\
         sent BIGINT NOT NULL, executed BIGINT NOT NULL, note VARCHAR(100) NOT NULL);\n"
    )
}

/// One transaction, stamped now. Rows that only wake things up have a negative number.
fn insert(number: i64) -> String {
    let sent = micros();
    format!(
        "INSERT INTO {DATABASE}.{QUEUE} (number, sent, executed, note) VALUES ({number}, {sent}, \
         CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED), 'please leave the parcel at the door');\n"
    )
}

/// Each at its time, whether the one before is done or not.
fn paced(sql: &mut impl Write, rows: u64) -> std::io::Result<()> {
    sql.write_all(SETTINGS.as_bytes())?;
    let begin = Instant::now();
    for at in 0..rows {
        let due = begin + Duration::from_micros(at * 1_000_000 / PER_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        sql.write_all(insert(at as i64 - WARM_UP as i64).as_bytes())?;
        sql.flush()?;
    }
    Ok(())
}

/// Microseconds since 1970.
fn micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as i64)
}

/// A line of `tap`, and when it was read.
struct Line {
    at: i64,
    text: String,
}

/// `omsconnect tap`, reading.
struct Tap {
    child: Child,
    lines: Receiver<Line>,
}

impl Tap {
    fn start(worker: &Worker) -> Result<Tap> {
        let mut command = Command::new(&worker.binary);
        command.args(["tap", QUEUE, "--json", "--from", "begin", "--worker", &worker.rest.url]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot run omsconnect tap: {error}"))?;
        let output = child.stdout.take().ok_or("tap has no standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for text in BufReader::with_capacity(1 << 20, output).lines().map_while(std::io::Result::ok) {
                if sender.send(Line { at: micros(), text }).is_err() {
                    break;
                }
            }
        });
        Ok(Tap { child, lines })
    }

    /// Whether a line came within a tenth of a second.
    fn has_begun(&self) -> bool {
        self.lines.recv_timeout(Duration::from_millis(100)).is_ok()
    }

    /// The lines of the measured rows, all of them.
    fn finish(self, rows: u64) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        while (lines.len() as u64) < rows {
            let line = self.lines.recv_timeout(Duration::from_secs(10));
            let line = line.map_err(|_| format!("only {} of {rows} rows arrived", lines.len()))?;
            if !line.text.contains("\\\"number\\\":-") {
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, PartialEq)]
struct Arrival {
    number: i64,
    sent: i64,
    executed: i64,
    at: i64,
}

fn arrival(line: &Line) -> Result<Arrival> {
    let read = || {
        let message: Value = serde_json::from_str(&line.text).ok()?;
        let value: Value = serde_json::from_str(message.get("value")?.as_str()?).ok()?;
        let number = |name: &str| value.get("after")?.get(name)?.as_i64();
        let (number, sent, executed) = (number("number")?, number("sent")?, number("executed")?);
        Some(Arrival { number, sent, executed, at: line.at })
    };
    read().ok_or_else(|| format!("tap printed what is no row of {QUEUE}: {}", line.text))
}

/// Sorted, from the server's stamp and from the client's. Every row must be there once, in order.
fn latencies(arrivals: &[Arrival]) -> Result<[Vec<i64>; 2]> {
    if let Some((at, odd)) = (0..).zip(arrivals).find(|(at, arrival)| *at != arrival.number) {
        return Err(format!("row {} arrived where {at} was due", odd.number));
    }
    let since = |stamp: fn(&Arrival) -> i64| {
        let mut all: Vec<i64> = arrivals.iter().map(|arrival| arrival.at - stamp(arrival)).collect();
        all.sort_unstable();
        all
    };
    Ok([since(|arrival| arrival.executed), since(|arrival| arrival.sent)])
}

/// The smallest value that so many per cent of the sorted values do not exceed.
fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<i64> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&sorted, percent)), [100, 198, 200]);
        assert_eq!(percentile(&[7], 50), 7);
    }

    #[test]
    fn a_line_of_tap_is_read() {
        let text = r#"{"queue":"latency","key":null,"value":"{\"before\":null,\"after\":{\"id\":1,\"number\":0,\"sent\":10,\"executed\":12},\"op\":\"c\"}"}"#;
        let line = Line { at: 15, text: text.into() };
        let row = arrival(&line).expect("a row");
        assert_eq!(row, Arrival { number: 0, sent: 10, executed: 12, at: 15 });
        assert_eq!(latencies(&[row]).expect("in order"), [vec![3], vec![5]]);
        assert!(arrival(&Line { at: 0, text: "{}".into() }).is_err());
    }

    #[test]
    fn a_row_that_is_missing_or_twice_is_an_error() {
        let row = |number| Arrival { number, sent: 0, executed: 0, at: 0 };
        assert!(latencies(&[row(0), row(1)]).is_ok());
        assert!(latencies(&[row(0), row(2)]).is_err());
        assert!(latencies(&[row(0), row(0)]).is_err());
    }

    #[test]
    fn inserts_carry_the_time() {
        let sql = insert(-1);
        let stamp: i64 = sql.split(", ").nth(4).and_then(|text| text.parse().ok()).unwrap_or_default();
        assert!((micros() - stamp).abs() < 1_000_000, "{sql}");
        assert!(sql.contains("(-1, ") && sql.matches(';').count() == 1, "{sql}");
    }
}
