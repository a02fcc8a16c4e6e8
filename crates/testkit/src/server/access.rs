//! Others' clients, ways to connect, regions, and what `doctor` says: D31, D37, D39, D40.

use std::cell::Cell;
use std::sync::Arc;

use openmessaging::{
    ConsumerOptions, Driver, ProducerOptions, QueuePartition, QueueSpec, Result, Severity, StartAt,
    StatusCode,
};

use super::{Access, Foreign, ServerFixture};
use crate::driver::kit::{Point, numbered, open, refused, texts, unique};

fn foreign(key: Option<&str>, body: &str) -> Foreign {
    Foreign { key: key.map(|key| key.as_bytes().to_vec()), body: body.as_bytes().to_vec() }
}

/// D31: what others wrote is read, what we write is read by others.
pub async fn d31_others_read_and_write<F: ServerFixture>(fixture: &mut F) {
    let keys = fixture.foreign_keys();
    let key = |key: &'static str| keys.then_some(key);
    let theirs = [
        foreign(key("k1"), "one"),
        foreign(key("k2"), "{\"a\": \"\u{e9}\u{4e2d}\"}"),
        foreign(None, "three"),
    ];
    let point = open(fixture).await;
    // A queue that nobody made through us.
    let queue: Arc<str> = unique("d31").into();
    fixture.write_foreign(&queue, &theirs).await;
    let listed = point.point.resources().list_queues().await.expect("listed");
    assert!(listed.contains(&queue.to_string()), "{queue} is not listed");
    let all: Vec<_> = point.read_queue(&queue).await.into_iter().flatten().collect();
    let mut read: Vec<_> = all
        .iter()
        .map(|got| Foreign { key: got.key.clone(), body: got.body.clone().unwrap_or_default() })
        .collect();
    let by_body = |one: &Foreign, other: &Foreign| one.body.cmp(&other.body);
    let mut expected = theirs.to_vec();
    expected.sort_by(by_body);
    read.sort_by(by_body);
    assert_eq!(read, expected, "what others wrote");

    let own = point.queue("d31", 1).await;
    let mut producer = point.producer().await;
    let mut batch = openmessaging::MessageBatch::new();
    for Foreign { key, body } in &theirs {
        let mut writer = batch.start();
        writer.key(key.as_deref());
        writer.header("source", Some(b"shop"));
        writer.finish(&own, Some(0), 1_700_000_000_000, Some(body));
    }
    point.send(&mut *producer, batch).await;
    assert_eq!(fixture.read_foreign(&own, theirs.len()).await, theirs, "what others read");
    point.delete(&own).await;
    point.delete(&queue).await;
    point.close().await;
}

/// D37: TLS, and each way to authenticate.
pub async fn d37_accesses_work_or_say_why_not<F: ServerFixture>(fixture: &mut F) {
    let accesses = fixture.accesses().await;
    let names: Vec<_> = accesses.iter().map(|access| access.name.clone()).collect();
    assert!(accesses.iter().any(|access| access.fails.is_none()), "{names:?}");
    assert!(accesses.iter().any(|access| access.fails == Some(StatusCode::Unauthorized)), "{names:?}");
    let driver = fixture.driver();
    for access in accesses {
        // A call says itself why it ended at its deadline.
        let limit = 2 * fixture.patience();
        let step = Cell::new("connect");
        let used = tokio::time::timeout(limit, everything(&*driver, &access, &step)).await;
        let result = used.unwrap_or_else(|_| panic!("{}: {} hangs", access.name, step.get()));
        match (result, access.fails) {
            (Ok(()), None) => {}
            (Ok(()), Some(status)) => panic!("{}: must fail with {status:?}", access.name),
            (Err(error), None) => panic!("{}: {}: {error}", access.name, step.get()),
            (Err(error), Some(status)) => {
                assert_eq!(error.status, status, "{}: {error}", access.name);
                assert!(error.remedy.is_some(), "{}: no remedy: {error}", access.name);
                let shown = format!("{error} {error:?}");
                for (key, value) in &access.properties {
                    let secret =
                        driver.settings().iter().any(|setting| setting.name == key && setting.secret);
                    assert!(!secret || !shown.contains(value.as_str()), "{}: {key} is shown", access.name);
                }
            }
        }
    }
}

/// Whatever needs a right. `step`: what is done.
async fn everything(driver: &dyn Driver, access: &Access, step: &Cell<&'static str>) -> Result<()> {
    let point = driver.connect(&access.url, &access.properties).await?;
    let queue: Arc<str> = unique("d37").into();
    let resources = point.resources();
    step.set("create a queue");
    resources.create_queue(&QueueSpec::new(&*queue, 1)).await?;
    step.set("send");
    let mut producer = point.producer(ProducerOptions::default()).await?;
    let report = producer.send(crate::driver::kit::texts_batch(&queue, Some(0), &numbered(3))).await;
    if let Some(error) = report.error {
        return Err(error);
    }
    producer.close().await?;
    step.set("assign");
    let mut consumer = point.pull_consumer(ConsumerOptions::default()).await?;
    let from = if point.capabilities().offsets { StartAt::Begin } else { StartAt::Committed };
    consumer.assign(&[(QueuePartition::new(queue.clone(), 0), from)]).await?;
    step.set("poll");
    let mut got = 0;
    while got < 3 {
        let batch = consumer.poll(1000, std::time::Duration::from_secs(10)).await?;
        got += batch.unwrap_or_else(|| panic!("{}: {got} of 3 messages came", access.name)).messages.len();
    }
    consumer.close().await?;
    step.set("use a store");
    let store = point.key_value_store(&unique("store")).await?;
    store.put("k", b"v").await?;
    assert_eq!(store.get("k").await?.map(|found| found.value), Some(b"v".to_vec()));
    step.set("delete the queue");
    resources.delete_queue(&queue).await?;
    point.close().await
}

/// D39: two namespaces do not meet.
pub async fn d39_namespaces_do_not_meet<F: ServerFixture>(fixture: &mut F) {
    let mut points = Vec::new();
    for namespace in ["one", "two"] {
        let url = fixture.url_in("default", namespace);
        let point = fixture.driver().connect(&url, &fixture.properties()).await;
        let point = point.unwrap_or_else(|error| panic!("namespace {namespace}: {error}"));
        points.push(Point { can: point.capabilities(), point, patience: fixture.patience() });
    }
    let plain = open(fixture).await;
    let queue: Arc<str> = unique("d39").into();
    for point in &points {
        point.create(QueueSpec::new(&*queue, 1)).await;
    }
    points[0].send_texts(&queue, numbered(2)).await;
    assert_eq!(texts(&points[0].read(&queue, 0, 2).await), numbered(2));
    let mut reader = points[1].reader(&queue, 0, points[1].oldest()).await;
    assert!(points[1].take_all(&mut *reader).await.is_empty(), "the other's queue of that name is empty");
    for point in &points {
        let listed = point.point.resources().list_queues().await.expect("listed");
        assert!(listed.contains(&queue.to_string()), "names are plain within a namespace: {listed:?}");
    }
    refused(
        plain.point.resources().describe_queue(&queue).await,
        StatusCode::NotFound,
        "without a namespace",
    );
    let name = unique("store");
    for (number, point) in points.iter().enumerate() {
        let store = point.point.key_value_store(&name).await.expect("a store");
        assert_eq!(store.get("k").await.expect("asked"), None);
        store.put("k", &[number as u8]).await.expect("put");
    }
    for point in points {
        point.delete(&queue).await;
        point.close().await;
    }
    plain.close().await;
}

/// D40: what `doctor` finds.
pub async fn d40_diagnosis_names_what_to_change<F: ServerFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let diagnosis = point.within("diagnose", point.point.diagnose()).await.expect("diagnosed");
    assert!(diagnosis.broker.chars().any(|c| c.is_ascii_digit()), "no version: {}", diagnosis.broker);
    assert!(!diagnosis.findings.is_empty());
    let driver = format!("{}.", fixture.driver().name());
    for finding in &diagnosis.findings {
        assert!(finding.code.starts_with(&driver), "{finding:?}");
        assert!(!finding.subject.is_empty() && !finding.message.is_empty(), "{finding:?}");
        assert_eq!(finding.remedy.is_none(), finding.severity == Severity::Ok, "{finding:?}");
        assert_ne!(finding.severity, Severity::Error, "in a well-kept broker: {finding:?}");
    }
    point.close().await;
}
