//! That errors are clear and leave nothing behind: K7, K8, K9.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmessaging_connector::registry::Factory;
use openmessaging_connector::{Config, Error, ErrorKind, PluginInfo};

use super::SinkFixture;
use super::run::Run;
use crate::ledger::Event;
use crate::memory::MemoryState;
use crate::source::{assert_clear, known};

/// K7: a record that cannot be written is an error of kind `Record` which names its queue, partition and offset;
/// nothing is passed over silently.
pub async fn k07_bad_records_are_named<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = Run::open(fixture, &state, &[0]).await;
    let good = |number| (Event::new(number as u32, number), number);
    if let Some(bad) = fixture.unwritable(4711) {
        let batch = vec![fixture.record(good(0).0, 0), bad, fixture.record(good(2).0, 4712)];
        let error = match run.put(0, batch).await {
            Err(error) => error,
            Ok(()) => run.task.flush().await.expect_err("an unwritable record is passed over silently"),
        };
        assert_eq!(error.kind, ErrorKind::Record, "{error}");
        let text = error.to_string();
        for name in ["conformance", "4711"] {
            assert!(text.contains(name), "{name} is not named: {text}");
        }
        // The runtime leaves the record out and goes on with the others.
        run.put(0, vec![fixture.record(good(0).0, 0)]).await.expect("put");
        run.put(0, vec![fixture.record(good(2).0, 4712)]).await.expect("put");
    } else {
        let batch = (0..3).map(|number| fixture.record(good(number).0, number)).collect();
        run.put(0, batch).await.expect("put");
    }
    run.stop(&[0]).await;
    let contents = fixture.contents().await.expect("whole contents");
    for number in [0, 2] {
        assert!(contents.contains(&good(number).0), "{number} was passed over: {contents:?}");
    }
}

/// K8: after `stop` nothing of the task is left open, also after a failed `start`.
pub async fn k08_stop_leaves_nothing_open<F: SinkFixture>(fixture: &mut F) {
    let state = Arc::new(MemoryState::default());
    let mut run = Run::open(fixture, &state, &[0]).await;
    run.events(fixture, &Event::series(0, 5, 5)).await.expect("put");
    run.stop(&[0]).await;
    assert_nothing_open(fixture, "after a run").await;
    let started = Run::start(&fixture.plugin(), &fixture.unstartable(), &state).await;
    assert!(started.is_err(), "the fixture's unstartable configuration starts");
    assert_nothing_open(fixture, "after a failed start").await;
}

async fn assert_nothing_open<F: SinkFixture>(fixture: &mut F, when: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let open = fixture.left_open().await;
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left open {when}: {open:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// K9: a wrong configuration or an unreachable system is one error with a stable code which names the key or the
/// system and the remedy, and holds no secret.
pub async fn k09_errors_are_clear<F: SinkFixture>(fixture: &mut F) {
    let cases = fixture.wrong().await;
    assert!(cases.len() >= 2, "the fixture names {} wrong cases", cases.len());
    for case in cases {
        let errors = found(fixture, &fixture.plugin(), &case.config).await;
        assert_clear(&case, &errors);
    }
}

/// The errors of a configuration as the runtime meets them: the definition's, the connector's, the start's, and those
/// of a first record.
async fn found<F: SinkFixture>(fixture: &F, plugin: &PluginInfo, config: &Config) -> Vec<Error> {
    let mut errors = known(plugin, config);
    if errors.is_empty() {
        let Factory::Sink(make) = plugin.factory else { panic!("{} is no sink", plugin.class) };
        let mut connector = make();
        errors = connector.validate(config).await;
        connector.stop().await;
    }
    if errors.is_empty() {
        let state = Arc::new(MemoryState::default());
        match Run::start(plugin, config, &state).await {
            Err(error) => errors.push(error),
            Ok(mut run) => {
                let put = match run.task.open(&[super::run::partition(0)]).await {
                    Ok(()) => run.events(fixture, &[Event::new(0, 0)]).await,
                    Err(error) => Err(error),
                };
                let done = match put {
                    Ok(()) => run.task.flush().await,
                    Err(error) => Err(error),
                };
                errors.extend(done.err());
                run.task.stop().await;
            }
        }
    }
    errors
}
