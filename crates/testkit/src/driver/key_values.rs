//! Key/value operations: D23 to D27, D29.

use std::collections::HashSet;
use std::sync::Arc;

use openmessaging::{KeyValueStore, StatusCode};

use super::DriverFixture;
use super::kit::{Point, numbered, open, refused, texts, unique};

async fn store(point: &Point, name: &str) -> Arc<dyn KeyValueStore> {
    point.point.key_value_store(name).await.expect("a store")
}

/// D23: the last value, durable; any key, any value.
pub async fn d23_puts_are_durable<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let name = unique("d23");
    let values = store(&point, &name).await;
    assert_eq!(values.get("absent").await.expect("asked"), None);
    let long = "k".repeat(1000);
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = vec![9; 1024 * 1024];
    let cases: Vec<(&str, &[u8])> = vec![
        ("plain", b"value"),
        ("empty", b""),
        ("bytes", &every_byte),
        ("\u{e9}\u{4e2d} / * ? . $ {}\n", b"odd key"),
        (&long, b"long key"),
        ("large", &large),
    ];
    for (key, value) in &cases {
        values.put(key, b"older").await.expect("put");
        let version = values.put(key, value).await.expect("put");
        let got = values.get(key).await.expect("asked").expect("there");
        assert!(got.key == *key && got.value == *value && got.version == version, "{key}");
    }
    refused(values.put("", b"x").await, StatusCode::BadParameter, "an empty key");
    refused(values.put(&"k".repeat(1001), b"x").await, StatusCode::BadParameter, "a key that is too long");
    refused(
        values.put("k", &vec![0; 1024 * 1024 + 1]).await,
        StatusCode::MessageTooLarge,
        "a value that is too large",
    );
    for bad in ["", "a/b", "a b"] {
        let refusal = point.point.key_value_store(bad).await.map(|_| ());
        refused(refusal, StatusCode::BadParameter, "a bad name of a store");
    }
    fixture.crash().await;
    let again = open(fixture).await;
    let values = store(&again, &name).await;
    for (key, value) in &cases {
        let got = values.get(key).await.expect("asked").unwrap_or_else(|| panic!("{key:?} is lost"));
        assert!(got.value == *value, "{key:?} has another value");
    }
    let _ = point.point.close().await;
    again.close().await;
}

/// D24: reads see what was answered before.
pub async fn d24_reads_see_earlier_writes<F: DriverFixture>(fixture: &mut F) {
    let (one, two) = (open(fixture).await, open(fixture).await);
    let name = unique("d24");
    let (here, there) = (store(&one, &name).await, store(&two, &name).await);
    for round in 0..50_u32 {
        let value = round.to_string().into_bytes();
        here.put("k", &value).await.expect("put");
        assert_eq!(there.get("k").await.expect("asked").expect("there").value, value);
        there.put("back", &value).await.expect("put");
        assert_eq!(here.get("back").await.expect("asked").expect("there").value, value);
        let listed = here.list("", None, 10).await.expect("listed").entries;
        assert!(listed.len() == 2 && listed.iter().all(|entry| entry.value == value), "{round}");
    }
    assert!(there.delete("k").await.expect("deleted"));
    assert_eq!(here.get("k").await.expect("asked"), None);
    two.close().await;
    // The other one goes on.
    here.put("k", b"after").await.expect("put");
    one.close().await;
}

/// D25: of writers with the same expectation one wins.
pub async fn d25_one_writer_wins<F: DriverFixture>(fixture: &mut F) {
    let (one, two) = (open(fixture).await, open(fixture).await);
    let name = unique("d25");
    let stores = [store(&one, &name).await, store(&two, &name).await];
    let values = &stores[0];
    refused(
        values.put_if_version("k", b"x", Some(1)).await,
        StatusCode::Conflict,
        "a version of an absent key",
    );
    let first = values.put_if_version("k", b"1", None).await.expect("absent");
    refused(values.put_if_version("k", b"x", None).await, StatusCode::Conflict, "absent, where it is not");
    let second = values.put_if_version("k", b"2", Some(first)).await.expect("the version is right");
    refused(values.put_if_version("k", b"x", Some(first)).await, StatusCode::Conflict, "an old version");
    assert_eq!(
        values.get("k").await.expect("asked").expect("there").value,
        b"2",
        "a conflict changes nothing"
    );
    let third = values.put("k", b"3").await.expect("put");
    refused(values.put_if_version("k", b"x", Some(second)).await, StatusCode::Conflict, "an old version");
    values.delete("k").await.expect("deleted");
    refused(values.put_if_version("k", b"x", Some(third)).await, StatusCode::Conflict, "a deleted key");
    let mut expected = Some(values.put_if_version("k", b"4", None).await.expect("absent again"));
    for round in 0..20_u8 {
        let racers = (0..8_u8).map(|racer| {
            let store = stores[racer as usize % 2].clone();
            async move { store.put_if_version("k", &[round, racer], expected).await }
        });
        let results = futures::future::join_all(racers).await;
        let winners: Vec<_> = results
            .iter()
            .enumerate()
            .filter_map(|(racer, result)| Some((racer as u8, *result.as_ref().ok()?)))
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: {results:?}");
        for result in &results {
            assert!(
                result.as_ref().err().is_none_or(|error| error.status == StatusCode::Conflict),
                "{result:?}"
            );
        }
        let now = values.get("k").await.expect("asked").expect("there");
        assert_eq!((now.value, now.version), (vec![round, winners[0].0], winners[0].1));
        expected = Some(winners[0].1);
    }
    two.close().await;
    one.close().await;
}

/// D26: deleting says whether it was there; versions only grow.
pub async fn d26_deletes_and_versions<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let name = unique("d26");
    let values = store(&point, &name).await;
    assert!(!values.delete("k").await.expect("deleted"), "it was never there");
    let mut last = 0;
    for round in 0..10_u8 {
        for key in ["k", "l"] {
            let version = values.put(key, &[round]).await.expect("put");
            assert!(version > last, "{version} after {last}");
            last = version;
        }
        assert!(values.delete("k").await.expect("deleted"));
        assert!(!values.delete("k").await.expect("deleted"), "twice");
        assert_eq!(values.get("k").await.expect("asked"), None);
    }
    let _ = point.point.close().await;
    fixture.crash().await;
    let point = open(fixture).await;
    let values = store(&point, &name).await;
    assert_eq!(values.get("k").await.expect("asked"), None, "deleted for good");
    assert!(values.put("k", b"x").await.expect("put") > last, "also after a crash");
    point.close().await;
}

/// D27: byte order, prefix, pages.
pub async fn d27_lists_in_pages<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let values = store(&point, &unique("d27")).await;
    let empty = values.list("", None, 10).await.expect("listed");
    assert!(empty.entries.is_empty() && empty.next.is_none());
    let mut keys: Vec<String> = (0..40).map(|n| format!("a/{n:03}")).collect();
    keys.extend(["a", "b", "a/", "a0", "\u{e9}", "\u{10ffff}", "Z", "a/\u{e9}"].map(str::to_owned));
    let puts = keys.iter().rev().map(|key| values.put(key, key.as_bytes()));
    for put in futures::future::join_all(puts).await {
        put.expect("put");
    }
    keys.sort_unstable();
    for (prefix, limit) in
        [("", 7), ("", 1000), ("a/", 1), ("a/", 41), ("a/", 42), ("a/", 43), ("none", 5), ("\u{e9}", 3)]
    {
        let expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        let (mut listed, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = values.list(prefix, after.as_deref(), limit).await.expect("listed");
            assert!(page.entries.len() <= limit, "{} entries, {limit} asked for", page.entries.len());
            assert!(
                page.entries.iter().all(|entry| entry.value == entry.key.as_bytes() && entry.version > 0)
            );
            listed.extend(page.entries.into_iter().map(|entry| entry.key));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
            assert!(listed.len() <= keys.len(), "pages without end");
        }
        assert_eq!(listed, expected, "prefix {prefix:?}, {limit} a page");
    }
    // Large values do not all come at once, or at least all come.
    for number in 0..12 {
        values.put(&format!("large/{number:02}"), &vec![number; 1024 * 1024]).await.expect("put");
    }
    let (mut seen, mut after) = (HashSet::new(), None::<String>);
    loop {
        let page = values.list("large/", after.as_deref(), 1000).await.expect("listed");
        seen.extend(page.entries.iter().map(|entry| entry.value[0]));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 12);
    point.close().await;
}

/// D29: stores and queues do not meet.
pub async fn d29_stores_do_not_meet<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d29", 1).await;
    // A store of the queue's name, and one whose name begins with another's.
    let (a, b, c) = (unique("d29"), unique("d29"), queue.to_string());
    let mut stores = Vec::new();
    for name in [a.clone(), b, c, format!("{a}-b")] {
        stores.push(store(&point, &name).await);
    }
    point.send_texts(&queue, numbered(3)).await;
    for (number, values) in stores.iter().enumerate() {
        values.put("k", &[number as u8]).await.expect("put");
    }
    for (number, values) in stores.iter().enumerate() {
        assert_eq!(values.get("k").await.expect("asked").expect("there").value, [number as u8]);
        assert_eq!(values.list("", None, 10).await.expect("listed").entries.len(), 1);
    }
    stores[1].delete("k").await.expect("deleted");
    assert!(stores[0].get("k").await.expect("asked").is_some());
    let listed = point.point.resources().list_queues().await.expect("listed");
    assert_eq!(listed.iter().filter(|name| name.contains(&*a)).count(), 0, "{listed:?}");
    assert_eq!(texts(&point.read(&queue, 0, 3).await), numbered(3));
    point.delete(&queue).await;
    assert!(stores[2].get("k").await.expect("asked").is_some(), "the queue's end is not the store's");
    point.close().await;
}
