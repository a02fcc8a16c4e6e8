//! The store over a queue passes the clauses of key/value operations, here over the embedded driver's queues.

use std::path::{Path, PathBuf};

use openmessaging::{
    AccessPointUrl, Capabilities, ConsumerOptions, Diagnosis, Driver, MessagingAccessPoint, ProducerOptions,
    Properties, QueueSpec, Setting, Terms,
};
use tempfile::TempDir;
use testkit::driver::{DriverFixture, Wrong};

use super::*;
use crate::local::LocalDriver;

struct LocalQueues {
    point: Arc<dyn MessagingAccessPoint>,
    closed: CancellationToken,
}

#[async_trait]
impl StoreQueue for LocalQueues {
    fn server(&self) -> &str {
        "a folder"
    }

    async fn create(&self, queue: &str) -> Result<()> {
        // Small files, so that something is removed from the front.
        let mut spec = QueueSpec::new(queue, 1);
        spec.properties.insert("segment.bytes".to_owned(), "4096".to_owned());
        self.point.resources().create_queue(&spec).await
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        self.point.resources()
    }

    async fn producer(&self) -> Result<Box<dyn Producer>> {
        self.point.producer(ProducerOptions::default()).await
    }

    async fn consumer(&self) -> Result<Box<dyn PullConsumer>> {
        self.point.pull_consumer(ConsumerOptions::default()).await
    }

    async fn trim(&self, _queue: &str, _before: u64) -> Result<()> {
        Ok(())
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

/// The embedded driver, with its stores over queues.
struct OverQueues;

struct Point {
    inner: Arc<dyn MessagingAccessPoint>,
    stores: QueueStores,
    closed: CancellationToken,
}

#[async_trait]
impl Driver for OverQueues {
    fn name(&self) -> &'static str {
        "over-queues"
    }

    fn capabilities(&self) -> Capabilities {
        LocalDriver.capabilities()
    }

    fn settings(&self) -> &'static [Setting] {
        LocalDriver.settings()
    }

    fn terms(&self) -> Terms {
        LocalDriver.terms()
    }

    async fn connect(
        &self,
        url: &AccessPointUrl,
        properties: &Properties,
    ) -> Result<Arc<dyn MessagingAccessPoint>> {
        let (inner, closed) = (LocalDriver.connect(url, properties).await?, CancellationToken::new());
        let source = LocalQueues { point: inner.clone(), closed: closed.clone() };
        Ok(Arc::new(Point { inner, stores: QueueStores::new(Arc::new(source)), closed }))
    }
}

#[async_trait]
impl MessagingAccessPoint for Point {
    fn url(&self) -> &AccessPointUrl {
        self.inner.url()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>> {
        self.inner.producer(options).await
    }

    async fn pull_consumer(&self, options: ConsumerOptions) -> Result<Box<dyn PullConsumer>> {
        self.inner.pull_consumer(options).await
    }

    fn resources(&self) -> Arc<dyn ResourceManager> {
        self.inner.resources()
    }

    async fn key_value_store(&self, name: &str) -> Result<Arc<dyn KeyValueStore>> {
        if self.closed.is_cancelled() {
            return Err(closed());
        }
        self.stores.store(name).await
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        self.inner.diagnose().await
    }

    async fn close(&self) -> Result<()> {
        self.closed.cancel();
        self.inner.close().await
    }
}

struct Folder {
    root: TempDir,
    life: usize,
}

impl Folder {
    fn new() -> Self {
        Self { root: TempDir::new().expect("a folder"), life: 0 }
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(self.life.to_string())
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[async_trait]
impl DriverFixture for Folder {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(OverQueues)
    }

    fn url(&self) -> AccessPointUrl {
        format!("oms:local://{}", self.path().display()).parse().expect("a URL")
    }

    async fn wrong(&mut self) -> Vec<Wrong> {
        Vec::new()
    }

    async fn crash(&mut self) {
        let before = self.path();
        self.life += 1;
        copy(&before, &self.path());
    }

    fn retain_little(&self, _spec: &mut QueueSpec) -> usize {
        0
    }
}

macro_rules! clauses {
    ($($clause:ident)*) => {
        $(
            #[test]
            fn $clause() {
                testkit::block_on(async { testkit::driver::$clause(&mut Folder::new()).await });
            }
        )*
    };
}

clauses!(
    d23_puts_are_durable
    d24_reads_see_earlier_writes
    d25_one_writer_wins
    d26_deletes_and_versions
    d27_lists_in_pages
    d28_watches_see_every_change
);

/// Snapshots are written, a store that is opened later finds everything from the last whole one on.
#[test]
fn a_store_is_found_from_its_snapshot() {
    testkit::block_on(async {
        let folder = Folder::new();
        let point = folder.open().await.expect("open");
        let store = point.key_value_store("s").await.expect("a store");
        for round in 0..30_u32 {
            let puts = (0..400).map(|number| {
                let store = store.clone();
                async move { store.put(&format!("k{number}"), &round.to_le_bytes()).await }
            });
            for put in futures::future::join_all(puts).await {
                put.expect("put");
            }
        }
        store.delete("k7").await.expect("deleted");
        let spec = format!("{PREFIX}s");
        let described = point.resources().describe_queue(&spec).await.expect("described");
        assert!(described.partitions[0].end > 12_000, "snapshots are records too: {described:?}");
        let other = folder.open().await.expect("open");
        let same = other.key_value_store("s").await.expect("a store");
        assert_eq!(same.list("", None, 1000).await.expect("listed").entries.len(), 399);
        assert_eq!(same.get("k9").await.expect("asked").expect("there").value, 29_u32.to_le_bytes());
        point.close().await.expect("closed");
        other.close().await.expect("closed");
    });
}
