//! One worker, from configuration to acknowledged records, on the local driver.

mod common;

use std::time::Duration;

use common::{Place, arrived, config, create, messages, plugins, set, task_is, task_state, trace, until};
use connect_runtime::ApiErrorKind;
use connect_runtime::cluster::{RestartScope, RunState, TargetState};
use connect_runtime::worker::PutMode;
use openmessaging::StatusCode;
use testkit::faults::Fault;

const TASKS: RestartScope = RestartScope { connector: false, tasks: true, task: None, only_failed: false };

fn bodies(arrived: &[common::Arrived]) -> Vec<String> {
    arrived.iter().map(|(_, _, body)| body.clone()).collect()
}

fn numbers(from: u64, to: u64) -> Vec<String> {
    (from..to).map(|n| format!("\"{n}\"")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_in_order_and_a_restarted_worker_goes_on_behind_them() {
    let place = Place::new();
    let worker = place.worker().await;
    create(&worker, "a", &[("connector.class", "count"), ("count", "100")]).await;
    assert_eq!(bodies(&arrived(&worker, "out", 100).await), numbers(0, 100));
    worker.shutdown().await;

    let worker = place.worker().await;
    let more = config(&[("connector.class", "count"), ("count", "150")]);
    worker.put_connector("a", more, PutMode::CreateOrReplace, None).await.expect("changed");
    assert_eq!(bodies(&arrived(&worker, "out", 150).await), numbers(0, 150));
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn target_states_survive_a_restart_of_the_worker() {
    let place = Place::new();
    let worker = place.worker().await;
    create(&worker, "a", &[("connector.class", "count"), ("count", "1000000000")]).await;
    task_is(&worker, "a", RunState::Running).await;
    set(&worker, "a", TargetState::Paused).await;
    task_is(&worker, "a", RunState::Paused).await;
    let before = until("nothing is written any more", async || {
        let one = messages(&worker, "out").await.len();
        tokio::time::sleep(Duration::from_millis(200)).await;
        (one == messages(&worker, "out").await.len()).then_some(one)
    })
    .await;
    worker.shutdown().await;

    let worker = place.worker().await;
    task_is(&worker, "a", RunState::Paused).await;
    assert_eq!(messages(&worker, "out").await.len(), before);
    set(&worker, "a", TargetState::Stopped).await;
    until("stopped", async || {
        let status = worker.connector_status("a")?;
        (status.connector.state == RunState::Stopped && status.tasks.is_empty()).then_some(())
    })
    .await;
    worker.shutdown().await;

    let worker = place.worker().await;
    assert!(worker.connector_status("a").expect("known").tasks.is_empty());
    set(&worker, "a", TargetState::Started).await;
    task_is(&worker, "a", RunState::Running).await;
    worker.delete_connector("a").await.expect("deleted");
    assert!(worker.connector_info("a").is_none());
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_a_hang_takes_down_its_own_task_and_a_restart_brings_it_back() {
    let place = Place::new();
    let worker = place.worker().await;
    let fail = |how, queue| {
        [("connector.class", "count"), ("count", "20"), ("fail.at", "7"), ("fail.how", how), ("queue", queue)]
    };
    create(&worker, "panics", &[&fail("panic", "out-p")[..], &[("password", "hunter2")]].concat()).await;
    create(&worker, "hangs", &fail("hang", "out-h")).await;
    create(&worker, "works", &[("connector.class", "count"), ("count", "50"), ("queue", "out-w")]).await;
    assert_eq!(arrived(&worker, "out-w", 50).await.len(), 50);
    task_is(&worker, "panics", RunState::Failed).await;
    task_is(&worker, "hangs", RunState::Failed).await;
    assert!(trace(&worker, "panics").contains("task.panicked"), "{}", trace(&worker, "panics"));
    assert!(trace(&worker, "hangs").contains("task.hung"), "{}", trace(&worker, "hangs"));
    for name in ["panics", "hangs"] {
        worker.restart(name, TASKS).await.expect("restarted");
        task_is(&worker, name, RunState::Running).await;
    }
    for queue in ["out-p", "out-h"] {
        let mut seen = bodies(&arrived(&worker, queue, 20).await);
        seen.dedup();
        let last = seen.iter().rev().take(20 - 6).rev().cloned().collect::<Vec<_>>();
        assert_eq!(last, numbers(6, 20), "{queue}: {seen:?}");
    }
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_hangs_at_its_start_fails_alone() {
    let place = Place::new();
    let worker = place.worker().await;
    create(&worker, "hangs", &[("connector.class", "count"), ("fail.how", "connector")]).await;
    create(&worker, "works", &[("connector.class", "count"), ("queue", "out-w")]).await;
    assert_eq!(arrived(&worker, "out-w", 10).await.len(), 10);
    let trace = until("failed", async || worker.connector_status("hangs")?.connector.trace).await;
    assert!(trace.contains("plugin.timeout"), "{trace}");
    worker.delete_connector("hangs").await.expect("deleted");
    worker.shutdown().await;
}

/// Invariants 1 and 3: whatever happens to a send, nothing is lost and nothing overtakes.
#[tokio::test(flavor = "multi_thread")]
async fn failed_sends_are_repeated_in_order() {
    let place = Place::new();
    let lost = StatusCode::Timeout;
    place.script.add([
        Fault::None,
        Fault::FailBefore(StatusCode::Unavailable),
        Fault::Hold(Duration::from_millis(100)),
        Fault::LoseAnswer(lost),
        Fault::None,
        Fault::Prefix(1, StatusCode::Full),
        Fault::Prefix(2, StatusCode::Full),
    ]);
    let worker = place.worker().await;
    create(&worker, "a", &[("connector.class", "count"), ("count", "200")]).await;
    let seen = until("all have come", async || {
        let seen = bodies(&messages(&worker, "out").await);
        (seen.last() == Some(&"\"199\"".to_owned())).then_some(seen)
    })
    .await;
    assert_eq!(place.script.left(), 0);
    // Repeats are whole runs: each record's last place is behind that of the record before it.
    let last = |text: &String| seen.iter().rposition(|other| other == text);
    let places: Vec<_> =
        numbers(0, 200).iter().map(|text| last(text).unwrap_or_else(|| panic!("lost {text}"))).collect();
    assert!(places.is_sorted(), "{seen:?}");
    assert!(seen.len() < 220, "repeats: {}", seen.len() - 200);
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_can_never_be_stored_fails_the_task_and_loses_nothing() {
    let place = Place::new();
    place.script.add([Fault::None, Fault::Prefix(1, StatusCode::MessageTooLarge)]);
    let worker = place.worker().await;
    create(&worker, "a", &[("connector.class", "count"), ("count", "30")]).await;
    task_is(&worker, "a", RunState::Failed).await;
    assert!(trace(&worker, "a").contains("OMS-1411"), "{}", trace(&worker, "a"));
    let stored = bodies(&messages(&worker, "out").await);
    assert_eq!(stored, numbers(0, stored.len() as u64));
    worker.restart("a", TASKS).await.expect("restarted");
    assert_eq!(bodies(&arrived(&worker, "out", 30).await), numbers(0, 30));
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_pass_are_tried_again() {
    let place = Place::new();
    let worker = place.worker().await;
    create(&worker, "start", &[("connector.class", "count"), ("fail.how", "start"), ("queue", "out-s")])
        .await;
    let poll =
        [("connector.class", "count"), ("fail.how", "retriable"), ("fail.at", "4"), ("queue", "out-r")];
    create(&worker, "poll", &poll).await;
    assert_eq!(bodies(&arrived(&worker, "out-s", 10).await), numbers(0, 10));
    assert_eq!(bodies(&arrived(&worker, "out-r", 10).await), numbers(0, 10));
    task_is(&worker, "start", RunState::Running).await;
    worker.shutdown().await;
}

/// Invariant 1: a record that cannot be written stops its task, also where the source takes no notice, and nothing passes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_encoded_is_not_passed() {
    let place = Place::new();
    let worker = place.worker().await;
    for (name, how, queue) in [("a", "record", "out-a"), ("b", "record-unnoticed", "out-b")] {
        let bad = [
            ("connector.class", "count"),
            ("fail.how", how),
            ("fail.at", "7"),
            ("queue", queue),
            ("value.converter", "bytes"),
        ];
        create(&worker, name, &bad).await;
        task_is(&worker, name, RunState::Failed).await;
        assert_eq!(bodies(&messages(&worker, queue).await), ["0", "1", "2", "3", "4", "5", "6"]);
        // The same record stops it again, until something changes.
        worker.restart(name, TASKS).await.expect("restarted");
        task_is(&worker, name, RunState::Failed).await;
        assert_eq!(messages(&worker, queue).await.len(), 7);
        let text = config(&[("connector.class", "count"), ("queue", queue), ("value.converter", "string")]);
        worker.put_connector(name, text, PutMode::CreateOrReplace, None).await.expect("changed");
        assert_eq!(arrived(&worker, queue, 10).await.len(), 10);
    }
    worker.shutdown().await;
}

/// Invariant 5: a broker that does not answer stops the source.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_broker_slows_its_source() {
    let place = Place::new();
    place.script.add([Fault::Hold(Duration::from_secs(2))]);
    let worker = place.worker().await;
    let small = [
        ("connector.class", "count"),
        ("count", "100000"),
        ("size", "1000"),
        ("batch.max.bytes", "4096"),
        ("in.flight.max.bytes", "65536"),
    ];
    create(&worker, "a", &small).await;
    until("the first batch is held", async || (place.script.left() == 0).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Written and held or not, no more than the limit and one batch has left the source.
    let written = messages(&worker, "out").await.len();
    assert!(written * 1000 < 65536 + 3 * 8192, "{written} records of 1 KB in flight");
    arrived(&worker, "out", 1000).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_partitions_keep_the_order_of_each_key() {
    let place = Place::new();
    let worker = place.worker().await;
    let many = [("connector.class", "count"), ("count", "300"), ("keys", "17"), ("queue.partitions", "4")];
    create(&worker, "a", &many).await;
    let seen = arrived(&worker, "out", 300).await;
    let mut by_key = std::collections::HashMap::<String, Vec<(u32, u64)>>::new();
    for (partition, key, body) in seen {
        let number = body.trim_matches('"').parse().expect("a number");
        by_key.entry(key.expect("a key")).or_default().push((partition, number));
    }
    assert_eq!(by_key.len(), 17);
    for (key, records) in &by_key {
        assert!(records.iter().all(|(partition, _)| *partition == records[0].0), "{key}");
        assert!(records.is_sorted_by_key(|(_, number)| *number), "{key}");
    }
    assert!(by_key.values().any(|records| records[0].0 != by_key["0"][0].0), "all in one partition");
    worker.shutdown().await;
}

/// The original's messages have no key; order is kept by it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_originals_format_has_no_keys_unless_a_key_converter_is_set() {
    let place = Place::new();
    let worker = place.worker().await;
    let original = ("source-record-converter", "io.openmessaging.connect.runtime.converter.JsonConverter");
    let many = [("connector.class", "count"), ("keys", "5"), ("queue.partitions", "4"), original];
    create(&worker, "a", &many).await;
    let seen = arrived(&worker, "out", 10).await;
    assert!(seen.iter().all(|(_, key, _)| key.is_none()), "{seen:?}");
    assert!(seen.iter().any(|(partition, ..)| *partition != seen[0].0), "all in one partition: {seen:?}");
    let keyed = [&many[..], &[("key.converter", "json"), ("queue", "out-k")]].concat();
    create(&worker, "b", &keyed).await;
    assert!(arrived(&worker, "out-k", 10).await.iter().all(|(_, key, _)| key.is_some()));
    worker.shutdown().await;
}

/// Invariant 2: positions of a sink move only behind a flush.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_gets_the_same_records_again() {
    let place = Place::new();
    let worker = place.worker().await;
    let sink = [
        ("connector.class", "collect"),
        ("topics", "out"),
        ("into", "sink-test"),
        ("put.fails", "2"),
        ("flush.fails", "1"),
        ("offset.flush.interval.ms", "100"),
    ];
    create(&worker, "sink", &sink).await;
    create(&worker, "a", &[("connector.class", "count"), ("count", "40")]).await;
    let collected = plugins::collection("sink-test");
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    until("all durable", async || (collected.durable.lock().expect("a lock").len() >= 40).then_some(()))
        .await;
    assert_eq!(*collected.durable.lock().expect("a lock"), expected);
    worker.shutdown().await;

    let worker = place.worker().await;
    task_is(&worker, "sink", RunState::Running).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        *collected.durable.lock().expect("a lock"),
        expected,
        "nothing comes twice after a clean stop"
    );
    worker.shutdown().await;
}

/// Invariant 6.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_never_shown() {
    let place = Place::new();
    let worker = place.worker().await;
    let secret = [
        ("connector.class", "count"),
        ("password", "hunter2"),
        ("oms-driver-url", "oms:local://me:hunter3@nowhere:1/b"),
    ];
    let refused = worker
        .validate("count", &config(&[&secret[..2], &[("fail.how", "validate"), ("name", "a")]].concat()))
        .await;
    let shown = format!("{refused:?}");
    assert!(!shown.contains("hunter2") && shown.contains("count.wrong"), "{shown}");
    create(&worker, "a", &secret).await;
    task_is(&worker, "a", RunState::Failed).await;
    let shown = format!(
        "{:?} {:?} {:?}",
        worker.connector_info("a"),
        worker.connector_tasks("a"),
        worker.connector_status("a")
    );
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("nowhere"), "{shown}");
    let fatal =
        [("connector.class", "count"), ("password", "hunter2"), ("fail.how", "fatal"), ("fail.at", "1")];
    create(&worker, "b", &fatal).await;
    task_is(&worker, "b", RunState::Failed).await;
    assert!(trace(&worker, "b").contains("broken, says ********"), "{}", trace(&worker, "b"));
    // Sent back as it was shown, the stored secret stays.
    let info = worker.connector_info("b").expect("known");
    worker.put_connector("b", info.config, PutMode::CreateOrReplace, None).await.expect("changed");
    assert_eq!(worker.state().connectors["b"].config["password"], "hunter2");
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_configurations_are_refused_with_the_key_and_the_remedy() {
    let place = Place::new();
    let worker = place.worker().await;
    for (pairs, kind, text) in [
        (&[("connector.class", "cuont")][..], ApiErrorKind::Invalid, "did you mean count?"),
        (&[][..], ApiErrorKind::Invalid, "contains no connector type"),
        (&[("connector.class", "count"), ("coumt", "1")], ApiErrorKind::Invalid, "did you mean count?"),
        (&[("connector.class", "count"), ("count", "x")], ApiErrorKind::Invalid, "Not a number of type LONG"),
        (
            &[("connector.class", "count"), ("name", "other")],
            ApiErrorKind::Invalid,
            "doesn't match connector name",
        ),
        (
            &[("connector.class", "count"), ("value.converter", "jsom")],
            ApiErrorKind::Invalid,
            "did you mean json?",
        ),
        (
            &[("connector.class", "count"), ("password", "${env:OMS_NOT_SET}")],
            ApiErrorKind::Invalid,
            "OMS_NOT_SET is not set",
        ),
        (
            &[("connector.class", "count"), ("oms-driver-url", "oms:kafka://a")],
            ApiErrorKind::Invalid,
            "is missing at the end",
        ),
        (
            &[("connector.class", "count"), ("oms-driver-url", "oms:lokal:///tmp/x")],
            ApiErrorKind::Invalid,
            "did you mean local? known drivers: local",
        ),
    ] {
        let error = worker.put_connector("a", config(pairs), PutMode::Create, None).await.expect_err(text);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(text), "{}", error.message);
    }
    assert!(worker.connector_names().is_empty());
    create(&worker, "a", &[("connector.class", "count")]).await;
    let twice =
        worker.put_connector("a", config(&[("connector.class", "count")]), PutMode::Create, None).await;
    assert_eq!(twice.expect_err("a conflict").kind, ApiErrorKind::Conflict);
    assert_eq!(worker.delete_connector("b").await.expect_err("unknown").kind, ApiErrorKind::NotFound);
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_max_is_the_limit_and_each_task_has_its_own_positions() {
    let place = Place::new();
    let worker = place.worker().await;
    create(&worker, "a", &[("connector.class", "count"), ("count", "30"), ("tasks.max", "2")]).await;
    assert_eq!(arrived(&worker, "out", 60).await.len(), 60);
    assert_eq!(task_state(&worker, "a", 1), Some(RunState::Running));
    let one = RestartScope { connector: false, tasks: false, task: Some(1), only_failed: false };
    worker.restart("a", one).await.expect("restarted");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(messages(&worker, "out").await.len(), 60, "a restarted task goes on behind its position");
    assert_eq!(task_state(&worker, "a", 0), Some(RunState::Running), "{}", trace(&worker, "a"));
    worker.shutdown().await;
}
