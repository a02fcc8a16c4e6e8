//! Each setting that loses messages is found, on a real server.

use openmessaging::Severity;

use crate::fixture::Private;

#[test]
fn a_well_kept_server_has_nothing_to_change_and_each_bad_setting_is_found() {
    testkit::block_on(async {
        let server = Private::new();
        let tool = server.tool();
        let well = server.diagnosis().await;
        assert_eq!(well.worst(), Severity::Ok, "{:#?}", well.findings);
        assert!(well.broker.starts_with("Redis ") || well.broker.starts_with("Valkey "), "{}", well.broker);
        for (name, bad, good, code, severity) in [
            ("appendonly", "no", "yes", "redis.appendonly", Severity::Error),
            ("appendfsync", "everysec", "always", "redis.appendfsync", Severity::Warning),
            ("appendfsync", "no", "always", "redis.appendfsync", Severity::Error),
            ("maxmemory-policy", "volatile-lru", "noeviction", "redis.maxmemory-policy", Severity::Warning),
            ("no-appendfsync-on-rewrite", "yes", "no", "redis.no-appendfsync-on-rewrite", Severity::Warning),
            ("proto-max-bulk-len", "1mb", "512mb", "redis.proto-max-bulk-len", Severity::Warning),
        ] {
            tool.run(&["CONFIG", "SET", name, bad]);
            let found = server.diagnosis().await;
            tool.run(&["CONFIG", "SET", name, good]);
            let bad: Vec<_> = found.findings.iter().filter(|found| found.severity != Severity::Ok).collect();
            assert_eq!(
                bad.iter().map(|found| (found.code, found.severity)).collect::<Vec<_>>(),
                [(code, severity)]
            );
            assert!(bad[0].remedy.as_ref().is_some_and(|remedy| remedy.contains(name)), "{:?}", bad[0]);
        }
        tool.run(&["CONFIG", "SET", "maxmemory", "200mb"]);
        tool.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        assert_eq!(server.diagnosis().await.worst(), Severity::Error);
    });
}
