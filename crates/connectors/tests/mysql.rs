//! The MySQL and MariaDB source against real servers of both kinds.

#![cfg(feature = "mysql")]

mod mysql {
    pub mod fixture;
    pub mod proxy;
    pub mod support;

    mod changes;
    mod ddl;
    mod restart;
    mod snapshot;
    mod wrong;
}

mod suite_mariadb {
    testkit::source_suite!(crate::mysql::fixture::Fixture::new(testkit::services::Kind::MariaDb).await);
}

mod suite_mysql {
    testkit::source_suite!(crate::mysql::fixture::Fixture::new(testkit::services::Kind::MySql).await);
}
