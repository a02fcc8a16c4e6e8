//! `omsconnect doctor`

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use openmessaging::{
    AccessPointUrl, ConsumerOptions, Diagnosis, Error, Finding, MessageBatch, MessagingAccessPoint,
    ProducerOptions, QueuePartition, QueueSpec, Severity, StartAt,
};
use serde_json::json;

use crate::broker::connect;
use crate::failure::{Failure, Result};
use crate::output;

pub const EXAMPLES: &str = "\
Examples:
  omsconnect doctor --driver-url oms:rocketmq://localhost:9876/default:default
  omsconnect doctor --driver-url oms:kafka://me@broker:9093/default --driver-property tls=true \\
      --driver-property password='${env:KAFKA_PASSWORD}'
  omsconnect doctor --driver-url oms:redis://localhost:6379/default --read-only --json

It connects, reads the broker's settings, makes a queue of its own, sends and reads a message,
writes a value, and removes all of it again. Each finding says what to change.

Exit codes: 0 nothing that stops or loses messages, 1 something does, 2 wrongly called.";

#[derive(Debug, Args)]
pub struct Arguments {
    /// The broker: oms:<driver>://HOST:PORT/REGION, oms:local:///FOLDER
    #[arg(long, value_name = "URL", env = "OMSCONNECT_OMS_DRIVER_URL")]
    driver_url: String,
    /// A property of the driver, as often as needed: password='${env:PASSWORD}', tls.ca.file=/etc/ca.pem
    #[arg(long = "driver-property", value_name = "KEY=VALUE")]
    driver_properties: Vec<String>,
    /// Look, and write nothing
    #[arg(long)]
    read_only: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(90);

pub async fn run(arguments: Arguments) -> Result<()> {
    let url: AccessPointUrl = arguments.driver_url.parse()?;
    let begin = Instant::now();
    let point = match connect(&arguments.driver_url, &arguments.driver_properties).await {
        Ok(point) => point,
        Err(failure) => {
            if arguments.json {
                print_unreachable(&url, &failure)?;
            }
            return Err(failure);
        }
    };
    let reached = Finding::ok("doctor.connect", url.redacted(), format!("connected in {}", millis(begin)));
    let looked = tokio::time::timeout(LIMIT, look(&point, arguments.read_only)).await;
    let _ = tokio::time::timeout(Duration::from_secs(5), point.close()).await;
    let mut diagnosis = looked.unwrap_or_else(|_| {
        let message = format!("it took longer than {} s", LIMIT.as_secs());
        let slow =
            Finding::error("doctor.timeout", url.redacted(), message, "look at the load of that server");
        Diagnosis { broker: "not known".to_owned(), findings: vec![slow] }
    });
    diagnosis.findings.insert(0, reached);
    if arguments.json {
        output::json(&json!({
            "url": url.redacted(),
            "broker": diagnosis.broker,
            "worst": diagnosis.worst(),
            "findings": diagnosis.findings,
        }))?;
    } else {
        print(&diagnosis)?;
    }
    let errors = diagnosis.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if errors > 0 {
        return Err(Failure::new("doctor.unwell", format!("{errors} finding(s) stop or lose messages"))
            .with_remedy("change what stands behind each of them, and run this again"));
    }
    Ok(())
}

fn print_unreachable(url: &AccessPointUrl, failure: &Failure) -> Result<()> {
    let findings: Vec<Finding> = failure
        .problems
        .iter()
        .map(|problem| {
            let remedy = problem.remedy.clone().unwrap_or_else(|| "look at that server".to_owned());
            Finding::error(
                "doctor.connect",
                url.redacted(),
                format!("[{}] {}", problem.code, problem.message),
                remedy,
            )
        })
        .collect();
    output::json(&json!({"url": url.redacted(), "broker": null, "worst": "error", "findings": findings}))
}

fn print(diagnosis: &Diagnosis) -> Result<()> {
    output::line(&diagnosis.broker)?;
    for Finding { severity, code, subject, message, remedy } in &diagnosis.findings {
        let severity = match severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Error => "ERROR",
        };
        output::line(format!("{severity:<8}{subject}: {message} [{code}]"))?;
        if let Some(remedy) = remedy {
            output::line(format!("        {remedy}"))?;
        }
    }
    Ok(())
}

fn millis(begin: Instant) -> String {
    format!("{} ms", begin.elapsed().as_millis())
}

async fn look(point: &Arc<dyn MessagingAccessPoint>, read_only: bool) -> Diagnosis {
    let mut diagnosis = match point.diagnose().await {
        Ok(diagnosis) => diagnosis,
        Err(error) => {
            let finding = failed("doctor.settings", "the broker's settings", &error);
            Diagnosis { broker: "not known".to_owned(), findings: vec![finding] }
        }
    };
    if !read_only {
        let name = format!("omsconnect-doctor-{:x}-{}", now(), std::process::id());
        diagnosis.findings.push(try_queue(point, &name).await);
        diagnosis.findings.push(try_store(point).await);
    }
    diagnosis
}

fn failed(code: &'static str, subject: &str, error: &Error) -> Finding {
    let remedy = error
        .remedy
        .clone()
        .unwrap_or_else(|| "look at that server and at the rights of the account".to_owned());
    Finding::error(code, subject, format!("[OMS-{}] {}", error.status.number(), error.message), remedy)
}

/// A queue made, written, read and deleted.
async fn try_queue(point: &Arc<dyn MessagingAccessPoint>, name: &str) -> Finding {
    const CODE: &str = "doctor.queue";
    if let Err(error) = point.resources().create_queue(&QueueSpec::new(name, 1)).await {
        return failed(CODE, "making a queue", &error);
    }
    let used = send_and_read(point, name).await;
    let deleted = point.resources().delete_queue(name).await;
    match (used, deleted) {
        (Err((what, error)), _) => failed(CODE, what, &error),
        (Ok(_), Err(error)) => failed(CODE, "deleting a queue", &error),
        (Ok(time), Ok(())) => {
            Finding::ok(CODE, "a queue", format!("made, written, read and deleted; a message took {time}"))
        }
    }
}

type Step = (&'static str, Error);

async fn send_and_read(
    point: &Arc<dyn MessagingAccessPoint>,
    name: &str,
) -> std::result::Result<String, Step> {
    let queue: Arc<str> = name.into();
    let sending = |error| ("sending a message", error);
    let reading = |error| ("reading a message", error);
    let mut producer = point.producer(ProducerOptions::default()).await.map_err(sending)?;
    let options = ConsumerOptions { group: name.to_owned(), prefetch_bytes: None };
    let mut consumer = point.pull_consumer(options).await.map_err(reading)?;
    let from = if point.capabilities().offsets { StartAt::Begin } else { StartAt::Committed };
    consumer.assign(&[(QueuePartition::new(queue.clone(), 0), from)]).await.map_err(reading)?;
    let begin = Instant::now();
    let mut batch = MessageBatch::new();
    batch.start().finish(&queue, Some(0), now() as i64, Some(b"omsconnect doctor"));
    if let Some(error) = producer.send(batch).await.error {
        return Err(sending(error));
    }
    let got = consumer.poll(1024, Duration::from_secs(15)).await.map_err(reading)?;
    let time = millis(begin);
    let _ = (producer.close().await, consumer.close().await);
    match got {
        Some(_) => Ok(time),
        None => Err(reading(Error::new(
            openmessaging::StatusCode::Timeout,
            "the message did not come back within 15 s",
        ))),
    }
}

/// A value written, read and deleted.
async fn try_store(point: &Arc<dyn MessagingAccessPoint>) -> Finding {
    const CODE: &str = "doctor.store";
    let steps = async {
        let store = point.key_value_store("doctor").await?;
        let key = format!("{:x}", now());
        let version = store.put(&key, b"omsconnect doctor").await?;
        let found = store.get(&key).await?;
        store.delete(&key).await?;
        Ok::<_, Error>(found.is_some_and(|found| found.version == version))
    };
    match steps.await {
        Ok(true) => Finding::ok(CODE, "a key/value store", "written, read and deleted"),
        Ok(false) => Finding::error(
            CODE,
            "a key/value store",
            "a value that was just written was not read back",
            "look at the state of that server: positions of connectors would be lost",
        ),
        Err(error) => failed(CODE, "a key/value store", &error),
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64
}
