//! Bad input: each is one clear error that names the key or the server and says what to do. And the ways to connect.

use connectors::mysql::plugin;
use openmessaging_connector::registry::Factory;
use openmessaging_connector::{Config, Error};
use testkit::services::{Kind, PrivateServer};

use super::support::{BOTH, Db, Source};

async fn validate(config: &Config) -> Vec<Error> {
    let Factory::Source(make) = plugin().factory else { panic!("no source") };
    let errors = make().validate(config).await;
    for error in &errors {
        let text = format!("{error} {error:?}");
        assert!(error.remedy.is_some() && error.code.starts_with("mysql."), "{text}");
        assert!(!text.contains("secret-of-test") && !text.contains("omstest@"), "{text}");
    }
    errors
}

fn codes(errors: &[Error]) -> Vec<&'static str> {
    errors.iter().map(|error| error.code).collect()
}

#[test]
fn a_good_configuration_has_no_errors() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            for table in ["", "t", &format!("{}.t", db.name)] {
                let errors =
                    validate(&db.config(&[("whiteTable", table), ("snapshot.mode", "initial")])).await;
                assert!(errors.is_empty(), "{errors:?}");
            }
        }
    });
}

#[test]
fn every_missing_privilege_is_named_with_its_grant() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let table = format!("{}.t", db.name);
            let monitor = if db.mariadb() { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
            let cases = [
                (format!("SELECT, {monitor}"), "GRANT REPLICATION SLAVE"),
                ("SELECT, REPLICATION SLAVE".to_owned(), &*format!("GRANT {monitor}")),
                (format!("REPLICATION SLAVE, {monitor}"), "GRANT SELECT"),
            ];
            for (privileges, grant) in cases {
                let user = db.user(&privileges).await;
                let config = db.config(&[
                    ("mysqlUsername", &user),
                    ("mysqlPassword", "secret-of-test"),
                    ("whiteDataBase", ""),
                    ("whiteTable", &table),
                ]);
                let errors = validate(&config).await;
                let shown = format!("{errors:?}");
                assert!(
                    !errors.is_empty() && errors.iter().all(|error| error.code == "mysql.missing_privilege"),
                    "{privileges}: {shown}"
                );
                assert!(shown.contains(grant) && shown.contains(&user), "{privileges}: {shown}");
            }
        }
    });
}

#[test]
fn several_problems_are_reported_at_once() {
    testkit::block_on(async {
        for kind in BOTH {
            let server = PrivateServer::start(kind, &["--binlog-format=STATEMENT"]);
            let mut db = Db::on(server.server().clone()).await;
            db.run(&["CREATE TABLE orders (id INT PRIMARY KEY)"]).await;
            let config = db.config(&[
                ("whiteTable", "ordrs"),
                ("startType", "SPECIFIED"),
                ("binlogFilename", "nonsuch"),
            ]);
            let errors = validate(&config).await;
            assert_eq!(
                codes(&errors),
                ["mysql.binlog_format", "mysql.binlog_purged", "mysql.absent"],
                "{errors:?}"
            );
            assert!(errors[2].to_string().contains("did you mean orders?"));
            let error = Source::try_start(config).await.err().expect("no start");
            assert_eq!(error.code, "mysql.binlog_format");
        }
    });
}

#[test]
fn a_server_without_a_binlog() {
    testkit::block_on(async {
        for kind in BOTH {
            let server = PrivateServer::start(kind, &["--skip-log-bin"]);
            let db = Db::on(server.server().clone()).await;
            let errors = validate(&db.config(&[])).await;
            assert_eq!(codes(&errors), ["mysql.binlog_off"], "{errors:?}");
            assert!(errors[0].to_string().contains(&db.server.address()));
        }
    });
}

#[test]
fn tls_is_used_checked_and_refused() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
            let user = db.user("ALL").await;
            db.run(&[&format!("ALTER USER '{user}'@'%' REQUIRE SSL")]).await;
            let ca = db.server.ca.clone().expect("an authority").display().to_string();
            let as_user = [("mysqlUsername", user.as_str()), ("mysqlPassword", "secret-of-test")];
            let config = |more: &[(&str, &str)]| db.config(&[&as_user[..], more].concat());
            for good in [
                &[("database.ssl.mode", "preferred")][..],
                &[("database.ssl.mode", "REQUIRED")],
                &[("database.ssl.mode", "verify_ca"), ("database.ssl.ca", &ca)],
                &[("database.ssl.mode", "verify_identity"), ("database.ssl.ca", &ca)],
            ] {
                let errors = validate(&config(good)).await;
                assert!(errors.is_empty(), "{good:?}: {errors:?}");
            }
            let refused = validate(&config(&[("database.ssl.mode", "disabled")])).await;
            assert_eq!(codes(&refused), ["mysql.access_denied"], "{refused:?}");
            let untrusted = validate(&config(&[("database.ssl.mode", "verify_ca")])).await;
            assert_eq!(codes(&untrusted), ["mysql.tls_refused"], "{untrusted:?}");
            assert!(untrusted[0].to_string().contains("database.ssl.ca"));
            // Changes come over it, too.
            let mut source =
                Source::start(config(&[("database.ssl.mode", "verify_identity"), ("database.ssl.ca", &ca)]))
                    .await;
            db.run(&["INSERT INTO t VALUES (1)"]).await;
            source.records(1).await;
            source.stop().await;
        }
        let server = PrivateServer::start(Kind::MariaDb, &["--skip-ssl"]);
        let db = Db::on(server.server().clone()).await;
        let refused = validate(&db.config(&[("database.ssl.mode", "required")])).await;
        assert_eq!(codes(&refused), ["mysql.tls_refused"], "{refused:?}");
        assert!(validate(&db.config(&[("database.ssl.mode", "preferred")])).await.is_empty());
    });
}

#[test]
fn ways_to_authenticate() {
    testkit::block_on(async {
        for kind in BOTH {
            let mut db = Db::new(kind).await;
            let plugins: &[&str] = match kind {
                Kind::MariaDb => &["mysql_native_password"],
                Kind::MySql => &["caching_sha2_password", "sha256_password"],
            };
            for plugin in plugins {
                let user = super::support::unique("u");
                let by = match kind {
                    Kind::MariaDb => format!("IDENTIFIED VIA {plugin} USING PASSWORD('secret-of-test')"),
                    Kind::MySql => format!("IDENTIFIED WITH {plugin} BY 'secret-of-test'"),
                };
                db.run(&[
                    &format!("CREATE USER '{user}'@'%' {by}"),
                    &format!("GRANT ALL ON *.* TO '{user}'@'%'"),
                ])
                .await;
                db.users.push(user.clone());
                // Without TLS too, where the password goes encrypted by the server's key; twice, since the server caches.
                for mode in ["disabled", "disabled", "required"] {
                    if *plugin == "sha256_password" && mode == "disabled" {
                        continue;
                    }
                    let config = db.config(&[
                        ("mysqlUsername", &user),
                        ("mysqlPassword", "secret-of-test"),
                        ("database.ssl.mode", mode),
                    ]);
                    let errors = validate(&config).await;
                    if *plugin == "sha256_password" {
                        assert!(
                            codes(&errors).iter().all(|code| *code == "mysql.access_denied"),
                            "{errors:?}"
                        );
                    } else {
                        assert!(errors.is_empty(), "{plugin}, {mode}: {errors:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_server_that_is_none_and_one_that_hangs() {
    testkit::block_on(async {
        let db = Db::new(Kind::MariaDb).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port().to_string();
        let began = std::time::Instant::now();
        let errors = validate(&db.config(&[("mysqlPort", &port), ("connect.timeout.ms", "300")])).await;
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
        assert_eq!(codes(&errors), ["mysql.unreachable"], "{errors:?}");
        assert!(errors[0].to_string().contains(&format!("127.0.0.1:{port}")) && errors[0].is_retriable());
        let errors = validate(&db.config(&[("mysqlAddr", "no.such.host.invalid")])).await;
        assert_eq!(codes(&errors), ["mysql.unreachable"], "{errors:?}");
    });
}
