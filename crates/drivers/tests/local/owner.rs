//! One process has the folder; in it all share one access point.

use std::time::{Duration, Instant};

use openmessaging::{QueueSpec, StatusCode};
use testkit::child;

use crate::fixture::connect;

#[test]
fn another_process_is_told_who_has_the_folder() {
    if let Some(folder) = child::role("owner") {
        testkit::block_on(async {
            let _point = connect(folder.as_ref(), &[]).await.expect("opened");
            std::future::pending::<()>().await;
        });
    }
    let root = tempfile::TempDir::new().expect("a folder");
    let folder = root.path().join("shared");
    let mut owner = child::spawn(
        "owner::another_process_is_told_who_has_the_folder",
        "owner",
        &folder.display().to_string(),
    );
    testkit::block_on(async {
        let started = Instant::now();
        while !folder.join("queues").exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "the owner does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = connect(&folder, &[]).await.map(|_| ()).expect_err("in use");
        let text = error.to_string();
        assert_eq!(error.status, StatusCode::DriverFailed, "{text}");
        let program = std::env::current_exe().expect("a path");
        let since = format!("since {}", &chrono_like_today());
        for part in [
            &format!("process {}", owner.id()),
            &program.display().to_string(),
            &folder.display().to_string(),
            &since,
            "--worker URL",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(!error.is_retriable());
        owner.kill();
        let point = connect(&folder, &[]).await.expect("free after a kill");
        point.close().await.expect("closed");
    });
}

/// Today's year, as the lock's text begins.
fn chrono_like_today() -> String {
    let days = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs()
        / 86_400;
    (1970 + days * 400 / 146_097).to_string()
}

#[test]
fn one_process_shares_one_access_point() {
    let root = tempfile::TempDir::new().expect("a folder");
    let folder = root.path().join("shared");
    testkit::block_on(async {
        let properties = [("segment.bytes", "65536")];
        let one = connect(&folder, &properties).await.expect("opened");
        let roundabout = folder.join("..").join("shared");
        let two = connect(&roundabout, &[]).await.expect("the same folder by another path");
        let three = connect(&folder, &properties).await.expect("the same properties");
        let other = connect(&folder, &[("segment.bytes", "4096")]).await.map(|_| ());
        let error = other.expect_err("other properties");
        assert_eq!(error.status, StatusCode::BadParameter, "{error}");

        one.resources().create_queue(&QueueSpec::new("q", 1)).await.expect("created");
        one.close().await.expect("closed");
        one.close().await.expect("closing twice is nothing");
        assert_eq!(one.resources().list_queues().await.expect_err("closed").status, StatusCode::Closed);
        assert_eq!(two.resources().list_queues().await.expect("listed"), ["q"]);
        drop(three);
        assert_eq!(two.resources().list_queues().await.expect("listed"), ["q"]);
        // Dropped without closing: the folder is let go all the same.
        drop(two);
        assert_eq!(child::open_below(&folder), Vec::<String>::new());
        let again =
            connect(&folder, &[("segment.bytes", "4096")]).await.expect("opened with other properties");
        again.close().await.expect("closed");
    });
}

/// The folder's path may hold blanks and other characters, written as in any URL.
#[test]
fn paths_are_decoded() {
    let root = tempfile::TempDir::new().expect("a folder");
    testkit::block_on(async {
        let folder = root.path().join("with%20blank%C3%A9");
        connect(&folder, &[]).await.expect("opened").close().await.expect("closed");
        assert!(root.path().join("with blank\u{e9}").join("LOCK").exists());
    });
}
