//! A source that counts and a sink that collects, each with faults on request. They stand beside the real connectors'
//! tests, for what no real system does on command.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use openmessaging_connector::config::KeyType;
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{
    Config, ConfigDef, EntryType, Error, Flow, Key, PluginInfo, Polled, RecordHead, RecordSink, Registry,
    Result, Scalar, SinkBatch, SinkConnector, SinkTask, SinkTaskContext, SourceConnector, SourcePartition,
    SourceTask, SourceTaskContext,
};

pub fn register(registry: &mut Registry) {
    registry.register(PluginInfo {
        class: "test.CountSourceConnector",
        aliases: &["count"],
        version: "1",
        doc: "Counts.",
        config_def: count_keys,
        factory: Factory::Source(|| Box::new(CountConnector::default())),
    });
    registry.register(PluginInfo {
        class: "test.CollectSinkConnector",
        aliases: &["collect"],
        version: "1",
        doc: "Collects.",
        config_def: collect_keys,
        factory: Factory::Sink(|| Box::new(CollectConnector::default())),
    });
}

fn count_keys() -> ConfigDef {
    ConfigDef::new()
        .key(Key::new("queue", KeyType::String, "Where to.").default("out"))
        .key(Key::new("count", KeyType::Long, "How many records.").default("10"))
        .key(Key::new("keys", KeyType::Int, "How many different keys.").default("1"))
        .key(Key::new("per.poll", KeyType::Int, "Records of a poll.").default("3"))
        .key(Key::new("size", KeyType::Int, "Bytes of padding.").default("0"))
        .key(Key::new("password", KeyType::Password, "A secret."))
        .key(Key::new("fail.at", KeyType::Long, "The record before which it fails.").default("-1"))
        .key(Key::new("fail.how", KeyType::String, "How.").default("none").one_of(&[
            "none",
            "panic",
            "hang",
            "fatal",
            "retriable",
            "start",
            "validate",
            "connector",
            "record",
            "record-unnoticed",
        ]))
}

#[derive(Default)]
struct CountConnector {
    config: Config,
}

#[async_trait]
impl SourceConnector for CountConnector {
    async fn validate(&mut self, config: &Config) -> Vec<Error> {
        let parsed = count_keys().parse(config).expect("valid");
        match parsed.str("fail.how") {
            "validate" => vec![Error::config(
                "count.wrong",
                "count",
                format!("no {}", parsed.secret("password").expose()),
            )],
            _ => Vec::new(),
        }
    }

    async fn start(&mut self, config: &Config) -> Result<()> {
        self.config = config.clone();
        let parsed = count_keys().parse(config).expect("valid");
        if parsed.str("fail.how") == "connector" {
            std::thread::sleep(Duration::from_secs(3600));
        }
        Ok(())
    }

    fn task_configs(&self, max_tasks: usize) -> Result<Vec<Config>> {
        Ok(vec![self.config.clone(); max_tasks.min(2)])
    }

    fn task(&self) -> Box<dyn SourceTask> {
        Box::new(CountTask::default())
    }
}

#[derive(Default)]
struct CountTask {
    queue: Arc<str>,
    partition: Option<SourcePartition>,
    base: Arc<str>,
    next: u64,
    count: u64,
    keys: u64,
    per_poll: u64,
    size: usize,
    fail_at: i64,
    fail_how: String,
    password: String,
}

/// How often a task failed on request, by connector: a fault comes once.
static FAILED: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

#[async_trait]
impl SourceTask for CountTask {
    async fn start(&mut self, context: SourceTaskContext) -> Result<()> {
        let parsed = count_keys().parse(&context.config).expect("valid");
        let partition = SourcePartition::of("task", format!("{}-{}", context.connector, context.task));
        self.next = context.positions.get(&partition).map_or(0, |position| position.step);
        self.partition = Some(partition);
        self.base = "{\"count\":true}".into();
        self.queue = parsed.str("queue").into();
        self.count = parsed.int("count") as u64;
        self.keys = parsed.int("keys") as u64;
        self.per_poll = parsed.int("per.poll") as u64;
        self.size = parsed.int("size") as usize;
        self.fail_at = parsed.int("fail.at");
        self.fail_how = parsed.str("fail.how").to_owned();
        self.password = parsed.secret("password").expose().to_owned();
        let mut failed = FAILED.lock().expect("a lock");
        let times = failed.entry(context.connector.to_string()).or_default();
        if self.fail_how == "start" {
            *times += 1;
            if *times <= 2 {
                return Err(Error::retriable("count.away", format!("away, says {}", self.password)));
            }
        }
        if *times > 0 && self.fail_how != "fatal" && !self.fail_how.starts_with("record") {
            self.fail_how = "none".to_owned();
        }
        *times += 1;
        Ok(())
    }

    async fn poll(&mut self, out: &mut dyn RecordSink, wait: Duration) -> Result<Polled> {
        if self.next >= self.count {
            tokio::time::sleep(wait).await;
            return Ok(Polled::Idle);
        }
        for _ in 0..self.per_poll {
            if self.next >= self.count {
                break;
            }
            if self.next as i64 == self.fail_at {
                match std::mem::replace(&mut self.fail_how, "none".to_owned()).as_str() {
                    "panic" => panic!("on request, with {}", self.password),
                    "hang" => std::thread::sleep(Duration::from_secs(3600)),
                    "fatal" => {
                        return Err(Error::fatal("count.fatal", format!("broken, says {}", self.password)));
                    }
                    "retriable" => return Err(Error::retriable("count.away", "away")),
                    _ => {}
                }
            }
            let partition = self.partition.as_ref().expect("started");
            out.begin(RecordHead {
                queue: &self.queue,
                queue_partition: None,
                sharding_key: None,
                entry: EntryType::Create,
                timestamp_ms: 1,
                source_partition: partition,
            })?;
            out.key(None).scalar(Scalar::I64((self.next % self.keys) as i64));
            let text = format!("{}{}", self.next, "x".repeat(self.size));
            let (fails_here, bytes) = (self.next as i64 == self.fail_at, self.fail_how.starts_with("record"));
            out.value(None).scalar(match (bytes, fails_here) {
                (false, _) => Scalar::Str(&text),
                (true, false) => Scalar::Bytes(text.as_bytes()),
                // What the bytes converter refuses.
                (true, true) => Scalar::Bool(true),
            });
            self.next += 1;
            match out.end(&self.base, self.next) {
                Ok(Flow::More) => {}
                Ok(Flow::Full) => break,
                Err(_) if self.fail_how == "record-unnoticed" => return Ok(Polled::Ready),
                Err(error) => return Err(error),
            }
        }
        Ok(Polled::Ready)
    }
}

fn collect_keys() -> ConfigDef {
    ConfigDef::new()
        .key(Key::new("into", KeyType::String, "The collection.").required())
        .key(Key::new("put.fails", KeyType::Int, "How often a put fails first.").default("0"))
        .key(Key::new("flush.fails", KeyType::Int, "How often a flush fails first.").default("0"))
}

/// What a sink was given: flushed and not yet flushed.
#[derive(Default)]
pub struct Collection {
    pub put: Mutex<Vec<String>>,
    pub durable: Mutex<Vec<String>>,
    put_fails: AtomicUsize,
    flush_fails: AtomicUsize,
}

static COLLECTIONS: LazyLock<Mutex<HashMap<String, Arc<Collection>>>> = LazyLock::new(Mutex::default);

pub fn collection(name: &str) -> Arc<Collection> {
    COLLECTIONS.lock().expect("a lock").entry(name.to_owned()).or_default().clone()
}

#[derive(Default)]
struct CollectConnector {
    config: Config,
}

#[async_trait]
impl SinkConnector for CollectConnector {
    async fn start(&mut self, config: &Config) -> Result<()> {
        self.config = config.clone();
        Ok(())
    }

    fn task_configs(&self, max_tasks: usize) -> Result<Vec<Config>> {
        Ok(vec![self.config.clone(); max_tasks])
    }

    fn task(&self) -> Box<dyn SinkTask> {
        Box::new(CollectTask::default())
    }
}

#[derive(Default)]
struct CollectTask {
    into: Arc<Collection>,
    put_fails: usize,
    flush_fails: usize,
}

#[async_trait]
impl SinkTask for CollectTask {
    async fn start(&mut self, context: SinkTaskContext) -> Result<()> {
        let parsed = collect_keys().parse(&context.config).expect("valid");
        self.into = collection(parsed.str("into"));
        self.put_fails = parsed.int("put.fails") as usize;
        self.flush_fails = parsed.int("flush.fails") as usize;
        self.into.put.lock().expect("a lock").clear();
        Ok(())
    }

    async fn put(&mut self, batch: &SinkBatch<'_>) -> Result<()> {
        if self.into.put_fails.fetch_add(1, Ordering::SeqCst) < self.put_fails {
            return Err(Error::retriable("collect.away", "away"));
        }
        let texts = batch.records.iter().map(|record| record.value.as_str().unwrap_or("?").to_owned());
        self.into.put.lock().expect("a lock").extend(texts);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.into.flush_fails.fetch_add(1, Ordering::SeqCst) < self.flush_fails {
            return Err(Error::retriable("collect.away", "not flushed"));
        }
        let put = std::mem::take(&mut *self.into.put.lock().expect("a lock"));
        self.into.durable.lock().expect("a lock").extend(put);
        Ok(())
    }
}
