//! What the embedded broker costs: `cargo run --release -p drivers --example local_bench -- [messages] [folder]`
//! (default 4,000,000 and a temporary folder). Messages are JSON envelopes of about 900 bytes, sent durably in batches
//! of 1,000. Counts are of messages that came back; CPU is user and system time of this process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::local::LocalDriver;
use nix::sys::resource::{UsageWho, getrusage};
use openmessaging::{
    ConsumerOptions, Driver, MessageBatch, MessagingAccessPoint, ProducerOptions, Properties, QueuePartition,
    QueueSpec, StartAt,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 1000;
const IN_FLIGHT: usize = 4;

struct Meter {
    started: Instant,
    cpu: f64,
}

fn cpu_seconds() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum()
    })
}

fn memory(what: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or_default();
    format!("{:.1} MiB", kib / 1024.0)
}

impl Meter {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_seconds() }
    }

    fn report(&self, what: &str, count: usize) {
        let (seconds, cpu) = (self.started.elapsed().as_secs_f64(), cpu_seconds() - self.cpu);
        let (rate, per_million) = (count as f64 / seconds, cpu / count as f64 * 1e6);
        println!("{what:<52} {rate:>10.0}/s {per_million:>7.2} CPU-s/M   peak {}", memory("VmHWM"));
    }
}

/// A row change as JSON, with words, numbers and dates that vary.
fn envelope(number: u64, out: &mut Vec<u8>) {
    use std::io::Write;
    const WORDS: [&str; 16] = [
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo",
        "lima", "mike", "november", "oscar", "papa",
    ];
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let note: Vec<_> = (0..20).map(|_| WORDS[random(16) as usize]).collect();
    let _ = write!(
        out,
        "{{\"before\":null,\"after\":{{\"id\":{number},\"customer_id\":{},\"status\":\"{}\",\"amount\":\"{}.{:02}\",\
         \"weight\":{}.{},\"active\":{},\"code\":\"{:08X}\",\"note\":\"{}\",\"attributes\":{{\"k\":{},\"t\":[{},{}]}},\
         \"day\":{},\"created\":{},\"updated\":\"2026-11-22T1{}:{:02}:{:02}.{:03}Z\"}},\"source\":{{\"version\":\"0.1.0\",\
         \"connector\":\"mysql\",\"name\":\"bench\",\"ts_ms\":{},\"snapshot\":\"false\",\"db\":\"bench\",\"sequence\":null,\
         \"table\":\"orders\",\"server_id\":1,\"gtid\":\"0-1-{}\",\"file\":\"mysql-bin.000003\",\"pos\":{},\"row\":{},\
         \"thread\":17,\"query\":null}},\"op\":\"c\",\"ts_ms\":{},\"transaction\":null,\"schema\":\"bench.orders.Envelope\",\
         \"host\":\"db-primary.internal.example\",\"pipeline\":\"orders-to-queue\",\"region\":\"eu-central\"}}",
        random(1_000_000),
        ["new", "paid", "shipped", "closed"][random(4) as usize],
        random(10_000),
        random(100),
        random(100),
        random(1_000_000),
        random(2) == 0,
        random(1 << 32),
        note.join(" "),
        random(100),
        random(1000),
        random(1000),
        20_000 + random(300),
        1_763_800_000_000_000 + random(1_000_000_000),
        random(10),
        random(60),
        random(60),
        random(1000),
        1_763_800_000_000 + number,
        number / 100,
        number * 273,
        number % 100,
        1_763_800_000_003 + number,
    );
}

/// Different batches, used over and over, so that making them is not measured.
fn batches(queues: &[Arc<str>], count: usize) -> Vec<MessageBatch> {
    let mut body = Vec::new();
    let mut made = Vec::new();
    for index in 0..count {
        let mut batch = MessageBatch::new();
        for message in 0..BATCH {
            body.clear();
            envelope((index * BATCH + message) as u64, &mut body);
            let key = (message as u32).to_le_bytes();
            let mut writer = batch.start();
            writer.key(Some(&key));
            writer.finish(&queues[message % queues.len()], Some(0), 1_763_800_000_000, Some(&body));
        }
        made.push(batch);
    }
    made
}

async fn create(point: &dyn MessagingAccessPoint, name: &str, count: usize) -> Outcome<Vec<Arc<str>>> {
    let mut queues = Vec::new();
    for number in 0..count {
        let name = format!("{name}-{number}");
        point.resources().create_queue(&QueueSpec::new(&name, 1)).await?;
        queues.push(name.into());
    }
    Ok(queues)
}

async fn produce(
    point: &dyn MessagingAccessPoint,
    what: &str,
    queues: &[Arc<str>],
    messages: usize,
) -> Outcome<()> {
    let mut ready = batches(queues, IN_FLIGHT * 2);
    let bytes: usize = ready.iter().map(MessageBatch::data_len).sum();
    let average = bytes / ready.len() / BATCH;
    let mut producer = point.producer(ProducerOptions::default()).await?;
    let meter = Meter::start();
    let mut in_flight = std::collections::VecDeque::new();
    for _ in 0..messages / BATCH {
        if in_flight.len() == IN_FLIGHT
            && let Some(send) = in_flight.pop_front()
        {
            ready.push(finish(send).await?);
        }
        let batch = ready.remove(0);
        in_flight.push_back(producer.send(batch));
    }
    for send in in_flight {
        finish(send).await?;
    }
    meter.report(&format!("produce {what}, {average} bytes"), messages / BATCH * BATCH);
    Ok(())
}

async fn finish(send: openmessaging::SendFuture) -> Outcome<MessageBatch> {
    let report = send.await;
    match report.error {
        Some(error) => Err(error.into()),
        None => Ok(report.batch),
    }
}

async fn consume(point: &dyn MessagingAccessPoint, what: &str, queues: &[Arc<str>]) -> Outcome<()> {
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await?;
    let assignment: Vec<_> =
        queues.iter().map(|queue| (QueuePartition::new(queue.clone(), 0), StartAt::Begin)).collect();
    consumer.assign(&assignment).await?;
    let meter = Meter::start();
    let mut count = 0;
    while let Some(batch) = consumer.poll(1 << 20, Duration::ZERO).await? {
        count += batch.messages.len();
    }
    meter.report(&format!("consume {what}"), count);
    Ok(())
}

fn quantiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("{what:<52} p50 {:?} p99 {:?} max {:?}", at(0.5), at(0.99), at(1.0));
}

/// Single messages, one after the other: from the send to the acknowledgement, and to a waiting consumer.
async fn latency(point: &dyn MessagingAccessPoint) -> Outcome<()> {
    let queues = create(point, "latency", 1).await?;
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await?;
    consumer.assign(&[(QueuePartition::new(queues[0].clone(), 0), StartAt::End)]).await?;
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 3000 {
            match consumer.poll(1 << 20, Duration::from_secs(10)).await {
                Ok(Some(batch)) => seen.extend(batch.messages.iter().map(|_| Instant::now())),
                _ => break,
            }
        }
        seen
    });
    let mut producer = point.producer(ProducerOptions::default()).await?;
    let (mut body, mut batch) = (Vec::new(), MessageBatch::new());
    let (mut sent, mut acknowledged) = (Vec::new(), Vec::new());
    envelope(1, &mut body);
    for _ in 0..3000 {
        batch.clear(1 << 20);
        batch.start().finish(&queues[0], Some(0), 1, Some(&body));
        sent.push(Instant::now());
        batch = finish(producer.send(batch)).await?;
        acknowledged.push(Instant::now());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    let seen = reader.await?;
    quantiles(
        "send of one message, acknowledged",
        sent.iter().zip(&acknowledged).map(|(a, b)| *b - *a).collect(),
    );
    quantiles(
        "send of one message, at a waiting consumer",
        sent.iter().zip(&seen).map(|(a, b)| *b - *a).collect(),
    );
    Ok(())
}

async fn key_values(point: &dyn MessagingAccessPoint) -> Outcome<()> {
    let store = point.key_value_store("bench").await?;
    let mut times = Vec::new();
    for number in 0..1000 {
        let started = Instant::now();
        store.put(&format!("key{}", number % 50), &[7; 200]).await?;
        times.push(started.elapsed());
    }
    quantiles("put of 200 bytes", times);
    let meter = Meter::start();
    let puts = (0..20_000).map(|number| {
        let store = store.clone();
        async move { store.put(&format!("many{number}"), &[7; 200]).await }
    });
    for put in futures::future::join_all(puts).await {
        put?;
    }
    meter.report("20,000 puts at once", 20_000);
    Ok(())
}

async fn open(folder: &Path, properties: &Properties) -> Outcome<Arc<dyn MessagingAccessPoint>> {
    let url = format!("oms:local://{}", folder.display()).parse()?;
    Ok(LocalDriver.connect(&url, properties).await?)
}

async fn idle(folder: &Path) -> Outcome<()> {
    let before = memory("VmRSS");
    let started = Instant::now();
    let point = open(folder, &Properties::new()).await?;
    let opened = started.elapsed();
    let count = point.resources().list_queues().await?.len();
    let started = Instant::now();
    let first = point.resources().describe_queue("lz4-0").await?;
    let described = started.elapsed();
    println!(
        "open {count} queues: {opened:?}, first description {described:?} (end {})",
        first.partitions[0].end
    );
    let (cpu, rest) = (cpu_seconds(), Duration::from_secs(20));
    tokio::time::sleep(rest).await;
    println!(
        "idle for {rest:?}: {:.4} CPU-s, resident {before} before opening, {} after",
        cpu_seconds() - cpu,
        memory("VmRSS")
    );
    Ok(point.close().await?)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let messages = arguments.next().map_or(Ok(4_000_000), |count| count.parse())?;
    let temporary = tempfile::TempDir::new()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), std::path::PathBuf::from);
    if arguments.next().is_some_and(|word| word == "idle") {
        return idle(&folder).await;
    }
    for compression in ["lz4", "none"] {
        let properties = Properties::from([("compression".to_owned(), compression.to_owned())]);
        let point = open(&folder, &properties).await?;
        for (name, count) in [("", 1), ("x100", 100)] {
            let what = format!("{compression}, {count} queue(s)");
            let queues = create(&*point, &format!("{compression}{name}"), count).await?;
            let messages = if count == 1 { messages } else { messages / 4 };
            produce(&*point, &what, &queues, messages).await?;
            consume(&*point, &what, &queues).await?;
        }
        if compression == "lz4" {
            latency(&*point).await?;
            key_values(&*point).await?;
        }
        point.close().await?;
    }
    idle(&folder).await
}
