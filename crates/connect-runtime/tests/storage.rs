//! What is stored: fenced by epoch (invariant 4), readable in every version ever written (invariant 7).

use std::sync::Arc;

use connect_runtime::cluster::{Entry, EntryError, State, TaskId, apply};
use connect_runtime::storage::{Fenced, KeyedTaskState, SourcePositions};
use openmessaging::KeyValueStore;
use openmessaging_connector::{Position, SourcePartition, TaskState};

async fn store(folder: &tempfile::TempDir) -> Arc<dyn KeyValueStore> {
    let url = format!("oms:local://{}/broker", folder.path().display()).parse().expect("a URL");
    let access_point = drivers::registry().connect(&url, &Default::default()).await.expect("opened");
    access_point.key_value_store("test").await.expect("a store")
}

fn task(task: u32) -> TaskId {
    TaskId { connector: "c".into(), task }
}

#[tokio::test]
async fn an_older_owner_can_write_no_position_once_a_newer_one_has_claimed_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder).await;
    let (a, b) = (SourcePartition::of("server", "a"), SourcePartition::of("server", "b"));
    let (old, found) = SourcePositions::claim(store.clone(), &task(0), 5).await.expect("claimed");
    assert!(found.is_empty());
    let at = |step| Position::at(&"{\"file\":\"x\"}".into(), step);
    old.commit(&[(a.clone(), at(1))]).await.expect("committed");

    let (new, found) = SourcePositions::claim(store.clone(), &task(0), 9).await.expect("claimed");
    assert_eq!(found[&a], at(1));
    let refused = old.commit(&[(a.clone(), at(2))]).await;
    assert!(matches!(refused, Err(Fenced::Newer { epoch: 5, newer: 9, .. })), "{refused:?}");
    new.commit(&[(a.clone(), at(3)), (b.clone(), at(1))]).await.expect("committed");
    assert!(matches!(SourcePositions::claim(store.clone(), &task(0), 5).await, Err(Fenced::Newer { .. })));

    // Another task of the connector, under an epoch of its own, sees the positions and disturbs nobody.
    let (_, found) = SourcePositions::claim(store, &task(1), 12).await.expect("claimed");
    assert_eq!((found[&a].step, found[&b].step), (3, 1));
    new.commit(&[(a.clone(), at(4))]).await.expect("committed");
}

#[tokio::test]
async fn task_state_is_kept_and_fenced() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder).await;
    let old = KeyedTaskState::claim(store.clone(), &task(0), 1).await.expect("claimed");
    old.put("history/1", &[0, 255]).await.expect("put");
    old.put("history/2", b"").await.expect("put");
    let new = KeyedTaskState::claim(store, &task(0), 2).await.expect("claimed");
    assert_eq!(new.get("history/1").await.expect("read"), Some(vec![0, 255]));
    assert_eq!(new.names("history/").await.expect("listed"), ["history/1", "history/2"]);
    assert_eq!(old.put("history/1", b"x").await.expect_err("fenced").code, "task.fenced");
    new.delete("history/2").await.expect("deleted");
    assert_eq!(new.get("history/2").await.expect("read"), None);
}

/// Written by the first release; one entry a line.
const V1: &str = include_str!("data/control/v1.ndjson");

#[test]
fn control_entries_of_the_first_version_are_read() {
    let entries =
        V1.lines().map(|line| Entry::decode(line.as_bytes()).unwrap_or_else(|e| panic!("{e}: {line}")));
    let state =
        entries.enumerate().fold(State::default(), |state, (at, entry)| apply(state, entry, at as u64));
    let text = serde_json::to_string_pretty(&state).expect("JSON");
    assert_eq!(text.trim(), include_str!("data/control/v1.state.json").trim());
}

#[test]
fn an_entry_of_a_newer_release_is_refused_by_its_version() {
    assert_eq!(Entry::decode(br#"{"v":2,"type":"what"}"#), Err(EntryError::Newer(2)));
    assert!(matches!(Entry::decode(b"{}"), Err(EntryError::Unreadable(_))));
}
