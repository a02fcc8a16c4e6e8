//! Watching a store: D28.

use std::collections::HashMap;

use futures::StreamExt;
use openmessaging::{Change, Changes};

use super::DriverFixture;
use super::kit::{Point, open, unique};

async fn next(point: &Point, changes: &mut Changes) -> Change {
    point.within("a change", changes.next()).await.expect("the watch goes on").expect("a change")
}

/// Key and value of a put, or the key of a deletion.
fn told(change: Change) -> (String, Option<Vec<u8>>) {
    match change {
        Change::Put(put) => (put.key, Some(put.value)),
        Change::Deleted { key, .. } => (key, None),
        Change::Current => ("current".to_owned(), None),
    }
}

/// D28: what is there, then each change in order; slow watchers miss no newest value.
pub async fn d28_watches_see_every_change<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let values = point.point.key_value_store(&unique("d28")).await.expect("a store");
    for key in ["p/a", "p/b", "other"] {
        values.put(key, b"old").await.expect("put");
    }
    let mut changes = values.watch("p/").await.expect("watched");
    let mut there = Vec::new();
    loop {
        match next(&point, &mut changes).await {
            Change::Current => break,
            change => there.push(told(change)),
        }
    }
    there.sort();
    let old = |key: &str| (key.to_owned(), Some(b"old".to_vec()));
    assert_eq!(there, [old("p/a"), old("p/b")]);

    let mut expected = Vec::new();
    for round in 0..30_u8 {
        for key in ["p/a", "q", "p/c"] {
            values.put(key, &[round]).await.expect("put");
            if key != "q" {
                expected.push((key.to_owned(), Some(vec![round])));
            }
        }
        if round % 3 == 0 {
            values.delete("p/a").await.expect("deleted");
            expected.push(("p/a".to_owned(), None));
        }
    }
    let mut last = 0;
    for expected in expected {
        let change = next(&point, &mut changes).await;
        let version = match &change {
            Change::Put(put) => put.version,
            Change::Deleted { version, .. } => *version,
            Change::Current => panic!("current comes once"),
        };
        assert!(version > last, "{version} after {last}");
        last = version;
        assert_eq!(told(change), expected);
    }
    slow(&point).await;

    let store = point.point.key_value_store(&unique("d28")).await.expect("a store");
    let mut open_ended = store.watch("").await.expect("watched");
    assert_eq!(next(&point, &mut open_ended).await, Change::Current);
    let patience = point.patience;
    let (ended, ()) = tokio::join!(tokio::time::timeout(patience, open_ended.next()), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        point.close().await;
    });
    assert!(ended.expect("the watch ends when the store closes").is_none_or(|last| last.is_err()));
}

/// A watcher that does not read for a while: the others are not held up, and in the end it knows the newest.
async fn slow(point: &Point) {
    let values = point.point.key_value_store(&unique("d28")).await.expect("a store");
    let mut changes = values.watch("").await.expect("watched");
    assert_eq!(next(point, &mut changes).await, Change::Current);
    values.put("gone", b"x").await.expect("put");
    assert_eq!(told(next(point, &mut changes).await).0, "gone");
    let mut newest: HashMap<String, Option<Vec<u8>>> = HashMap::new();
    for round in 0..60_u32 {
        let puts = (0..100_u32).map(|number| {
            let (values, key) = (values.clone(), format!("k{number}"));
            async move { values.put(&key, &round.to_le_bytes()).await }
        });
        for put in futures::future::join_all(puts).await {
            put.expect("put");
        }
    }
    for number in 0..100 {
        newest.insert(format!("k{number}"), Some(59_u32.to_le_bytes().to_vec()));
    }
    values.delete("gone").await.expect("deleted");
    values.delete("k7").await.expect("deleted");
    values.put("end", b"end").await.expect("put");
    newest.insert("gone".to_owned(), None);
    newest.insert("k7".to_owned(), None);
    let mut known = HashMap::new();
    loop {
        let (key, value) = told(next(point, &mut changes).await);
        if key == "end" {
            break;
        }
        known.insert(key, value);
    }
    assert_eq!(known, newest);
}
