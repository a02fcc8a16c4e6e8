//! Folders that earlier versions wrote can be read (invariant 7 of `docs/architecture.md`). `tests/data/local-v1` was
//! written by format version 1; a new version gets a fixture beside it, and old ones stay.
//!
//! `OMS_WRITE_FIXTURE=<folder> cargo test -p drivers --test local formats` writes what the fixture is made of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openmessaging::{
    ConsumerOptions, MessageBatch, MessagingAccessPoint, ProducerOptions, QueuePartition, QueueSpec, StartAt,
    StatusCode,
};

use crate::fixture::{connect, copy};

const PROPERTIES: [(&str, &str); 1] = [("segment.bytes", "4096")];

/// Everything that is stored: several files, plain and compressed frames, every part of a message, positions, keys.
async fn write(folder: &Path) {
    let point = connect(folder, &PROPERTIES).await.expect("opened");
    let resources = point.resources();
    let mut spec = QueueSpec::new("orders", 2);
    (spec.retention_ms, spec.retention_bytes) = (Some(u64::MAX), Some(u64::MAX));
    spec.properties.insert("segment.bytes".to_owned(), "4096".to_owned());
    resources.create_queue(&spec).await.expect("created");
    resources.create_queue(&QueueSpec::new("empty", 1)).await.expect("created");
    resources.create_queue(&QueueSpec::new("deleted", 1)).await.expect("created");
    resources.delete_queue("deleted").await.expect("deleted");
    let mut producer = point.producer(ProducerOptions::default()).await.expect("a producer");
    let queue: Arc<str> = "orders".into();
    for number in 0..60 {
        let mut batch = MessageBatch::new();
        for part in messages(number) {
            let mut writer = batch.start();
            writer.key(part.key.as_deref());
            for (name, value) in &part.headers {
                writer.header(name, value.as_deref());
            }
            writer.finish(&queue, Some((number % 2) as u32), part.timestamp, part.body.as_deref());
        }
        let report = producer.send(batch).await;
        assert!(report.error.is_none(), "{report:?}");
    }
    let mut consumer = point.pull_consumer(group()).await.expect("a consumer");
    consumer.commit(&[(QueuePartition::new("orders", 1), 17)]).await.expect("committed");
    let store = point.key_value_store("positions").await.expect("a store");
    for key in ["gone", "a", "b", "\u{e9}"] {
        store.put(key, key.as_bytes()).await.expect("put");
    }
    store.delete("gone").await.expect("deleted");
    point.close().await.expect("closed");
}

fn group() -> ConsumerOptions {
    ConsumerOptions { group: "readers".to_owned(), prefetch_bytes: None }
}

#[derive(Debug, PartialEq)]
struct Parts {
    timestamp: i64,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    body: Option<Vec<u8>>,
}

fn messages(number: i64) -> Vec<Parts> {
    let small = Parts {
        timestamp: 1_763_800_000_000 - number * number,
        key: (number % 3 != 0).then(|| format!("key{number}").into_bytes()),
        headers: (0..number % 3).map(|n| (format!("h{n}"), (n > 0).then(|| vec![n as u8, 0, 255]))).collect(),
        body: (number % 5 != 0).then(|| vec![number as u8; (number % 7) as usize]),
    };
    // One that is compressed, and one that cannot be.
    let body = match number % 8 {
        0 => (0..1500_i64).map(|n| ((n * n * 31 + n * number * 17) % 251) as u8).collect(),
        _ => format!("{number} ").repeat(700).into_bytes(),
    };
    let large = Parts { timestamp: number, key: None, headers: Vec::new(), body: Some(body) };
    if number % 4 == 0 { vec![small, large] } else { vec![small] }
}

async fn check(point: &dyn MessagingAccessPoint) {
    let resources = point.resources();
    assert_eq!(resources.list_queues().await.expect("listed"), ["empty", "orders"]);
    for partition in 0..2 {
        let expected: Vec<_> = (0..60).filter(|n| n % 2 == i64::from(partition)).flat_map(messages).collect();
        let mut consumer = point.pull_consumer(group()).await.expect("a consumer");
        let place = QueuePartition::new("orders", partition);
        consumer.assign(&[(place.clone(), StartAt::Begin)]).await.expect("assigned");
        let mut got = Vec::new();
        while let Some(batch) = consumer.poll(1 << 20, Duration::ZERO).await.expect("polled") {
            got.extend(batch.messages.iter().map(|message| {
                Parts {
                    timestamp: message.timestamp,
                    key: message.key.map(<[u8]>::to_vec),
                    headers: message
                        .headers
                        .into_iter()
                        .map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec)))
                        .collect(),
                    body: message.body.map(<[u8]>::to_vec),
                }
            }));
        }
        assert_eq!(got, expected);
        let position = consumer.committed(&place).await.expect("asked");
        assert_eq!(position, (partition == 1).then_some(17));
        let described = resources.describe_queue("orders").await.expect("described");
        assert_eq!(described.partitions[partition as usize].end, expected.len() as u64);
    }
    let store = point.key_value_store("positions").await.expect("a store");
    let page = store.list("", None, 100).await.expect("listed");
    let entries: Vec<_> = page
        .entries
        .iter()
        .map(|entry| (entry.key.as_str(), entry.value.as_slice(), entry.version))
        .collect();
    assert_eq!(entries, [("a", &b"a"[..], 2), ("b", b"b", 3), ("\u{e9}", "\u{e9}".as_bytes(), 4)]);
    assert!(store.put("new", b"x").await.expect("put") > 5, "versions go on behind the deletion");
}

fn fixture() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/local-v1")
}

#[test]
fn version_1_can_be_read() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let folder = root.path().join("v1");
        copy(&fixture(), &folder);
        let packed = folder.join("meta.redb.lz4");
        let bytes = std::fs::read(&packed).expect("the fixture's metadata");
        let plain = lz4_flex::block::decompress_size_prepended(&bytes).expect("lz4");
        std::fs::write(folder.join("meta.redb"), plain).expect("written");
        let point = connect(&folder, &PROPERTIES).await.expect("opened");
        check(&*point).await;
        point.close().await.expect("closed");
    });
}

#[test]
fn what_is_written_today_reads_the_same() {
    let root = tempfile::TempDir::new().expect("a folder");
    let target = std::env::var_os("OMS_WRITE_FIXTURE");
    testkit::block_on(async {
        let folder = root.path().join("today");
        write(&folder).await;
        if let Some(target) = target.as_ref().map(Path::new) {
            copy(&folder, target);
            let meta = std::fs::read(target.join("meta.redb")).expect("read");
            let packed = lz4_flex::block::compress_prepend_size(&meta);
            std::fs::write(target.join("meta.redb.lz4"), packed).expect("written");
            std::fs::remove_file(target.join("meta.redb")).expect("removed");
            std::fs::remove_file(target.join("LOCK")).expect("removed");
        }
        let point = connect(&folder, &PROPERTIES).await.expect("opened");
        check(&*point).await;
        point.close().await.expect("closed");
    });
}

/// A folder of a newer version is refused, and says so.
#[test]
fn a_newer_format_is_refused() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let folder = root.path().join("newer");
        write(&folder).await;
        let file = folder.join("queues/orders.1/0/00000000000000000000.log");
        let bases = std::fs::read_dir(file.parent().expect("a folder")).expect("listed");
        let newest = bases.map(|entry| entry.expect("listed").path()).max().expect("a file");
        let mut bytes = std::fs::read(&newest).expect("read");
        bytes[6] = 2;
        std::fs::write(&newest, bytes).expect("written");
        let point = connect(&folder, &PROPERTIES).await.expect("opened");
        let error = point.resources().describe_queue("orders").await.expect_err("too new");
        assert_eq!(error.status, StatusCode::UnsupportedVersion, "{error}");
        assert!(
            error.to_string().contains(&newest.display().to_string()) && error.remedy.is_some(),
            "{error}"
        );
        point.close().await.expect("closed");
    });
}
