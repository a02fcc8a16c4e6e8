//! The servers of the tests are really there, and private ones can be stopped, killed and started again.

use testkit::services::{self, Kind, PrivateServer};

#[test]
fn the_shared_mariadb_says_its_version() {
    let version = services::mariadb().version().unwrap_or_else(|problem| panic!("{problem}"));
    assert!(version.contains("MariaDB"), "{version}");
}

#[test]
fn the_shared_mysql_says_its_version() {
    let version = services::mysql().version().unwrap_or_else(|problem| panic!("{problem}"));
    assert!(!version.contains("MariaDB") && version.contains('.'), "{version}");
}

#[test]
fn a_private_mariadb_survives_stop_and_kill() {
    survives_stop_and_kill(Kind::MariaDb, "--binlog-row-metadata=FULL");
}

#[test]
fn a_private_mysql_survives_stop_and_kill() {
    survives_stop_and_kill(Kind::MySql, "--gtid-mode=OFF_PERMISSIVE");
}

fn survives_stop_and_kill(kind: Kind, option: &str) {
    let mut private = PrivateServer::start(kind, &[option]);
    let version = private.server().version().unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(Ok(version), services::shared(kind).version());
    assert_ne!(private.server().port, services::shared(kind).port);

    private.stop();
    assert!(private.server().version().is_err(), "a stopped server answers");
    private.start_again();
    private.kill();
    assert!(private.server().version().is_err(), "a killed server answers");
    private.start_again_with(&[]);
    assert!(private.server().version().is_ok());

    let folder = private.data_dir();
    drop(private);
    assert!(!folder.exists(), "{} is left behind", folder.display());
}
