use super::*;
use crate::cluster::{ConnectorKind, TaskId};
use openmessaging_connector::Config;

fn fold(entries: Vec<Entry>) -> State {
    entries
        .into_iter()
        .enumerate()
        .fold(State::default(), |state, (offset, entry)| apply(state, entry, offset as u64))
}

fn heartbeat(worker: &str) -> Entry {
    Entry::Heartbeat { worker: worker.into(), url: String::new(), at: 0 }
}

fn put(name: &str, replaces: Option<u64>) -> Entry {
    let config = Config::from_iter([("k".to_owned(), "v".to_owned())]);
    Entry::PutConnector { name: name.into(), kind: ConnectorKind::Source, config, replaces, target: None }
}

fn task(name: &str, task: u32) -> Work {
    Work::Task(TaskId { connector: name.into(), task })
}

fn tasks(name: &str, version: u64, count: usize) -> Entry {
    Entry::TaskConfigs { name: name.into(), version, configs: vec![Config::new(); count] }
}

#[test]
fn work_is_placed_and_its_epoch_is_the_offset_that_put_it_there() {
    let state = fold(vec![heartbeat("a"), put("c", Some(0)), tasks("c", 1, 2)]);
    assert_eq!(state.work.len(), 3);
    assert_eq!(state.work[&Work::Connector("c".into())].epoch, 1);
    assert_eq!(state.work[&task("c", 1)].epoch, 2);
    assert_eq!(state.tasks("c").count(), 2);
}

#[test]
fn a_config_made_from_an_old_version_is_refused() {
    let state = fold(vec![heartbeat("a"), put("c", Some(0)), put("c", Some(0))]);
    assert_eq!(state.connectors["c"].version, 1);
    let state = fold(vec![heartbeat("a"), put("c", Some(0)), put("c", Some(1))]);
    assert_eq!(state.connectors["c"].version, 2);
}

#[test]
fn a_report_under_an_old_epoch_is_refused() {
    let report = |epoch, state| Entry::Report {
        work: Work::Connector("c".into()),
        epoch,
        worker: "a".into(),
        status: Status::of(state),
    };
    let base = vec![heartbeat("a"), put("c", None), report(1, RunState::Running), put("c", None)];
    let state = fold(base.clone());
    assert_eq!(state.work[&Work::Connector("c".into())].epoch, 3);
    let mut late = base;
    late.push(report(1, RunState::Failed));
    assert_eq!(fold(late).work[&Work::Connector("c".into())].status.state, RunState::Unassigned);
}

#[test]
fn stop_takes_tasks_away_and_resume_starts_the_connector_anew() {
    let set = |target| Entry::SetTarget { name: "c".into(), target };
    let state = fold(vec![heartbeat("a"), put("c", None), tasks("c", 1, 1), set(TargetState::Stopped)]);
    assert_eq!(state.tasks("c").count(), 0);
    let resumed = apply(state, set(TargetState::Started), 4);
    assert_eq!(resumed.work[&Work::Connector("c".into())].epoch, 4);
}

#[test]
fn a_restart_touches_what_it_names() {
    let scope = RestartScope { connector: false, tasks: true, task: None, only_failed: true };
    let failed =
        Entry::Report { work: task("c", 1), epoch: 2, worker: "a".into(), status: Status::failed("why") };
    let restart = Entry::Restart { name: "c".into(), scope };
    let state = fold(vec![heartbeat("a"), put("c", None), tasks("c", 1, 2), failed, restart]);
    assert_eq!(state.work[&task("c", 0)].epoch, 2);
    assert_eq!(state.work[&task("c", 1)].epoch, 4);
    assert_eq!(state.work[&task("c", 1)].status.state, RunState::Restarting);
}

#[test]
fn a_member_that_leaves_moves_only_its_own_work() {
    let mut entries = vec![heartbeat("a"), heartbeat("b"), heartbeat("c")];
    entries.extend((0..50).map(|n| put(&format!("connector-{n}"), None)));
    let before = fold(entries.clone());
    entries.push(Entry::WorkerLeft { worker: "b".into() });
    let after = fold(entries);
    for (work, placed) in &before.work {
        if placed.worker != "b" {
            assert_eq!(after.work[work], *placed, "{work}");
        }
    }
}

#[test]
fn the_fold_of_a_snapshot_is_the_fold_of_the_log() {
    let entries = vec![heartbeat("a"), put("c", None), tasks("c", 1, 3)];
    let state = fold(entries);
    let text = Entry::Snapshot { up_to: 2, state: Box::new(state.clone()) }.encode();
    let Ok(Entry::Snapshot { state: read, .. }) = Entry::decode(&text) else { panic!("a snapshot") };
    assert_eq!(*read, state);
}
