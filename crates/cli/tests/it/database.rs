//! A database server of the tests, spoken to in SQL.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use testkit::services::Server;

pub async fn connect(server: &Server) -> Conn {
    let opts = OptsBuilder::default()
        .ip_or_hostname(server.host.clone())
        .tcp_port(server.port)
        .user(Some(server.user.clone()))
        .pass(Some(server.password.clone()));
    Conn::new(opts).await.expect("the server")
}

/// Runs these statements, on a connection of their own.
pub fn sql(server: &Server, statements: &[String]) {
    testkit::block_on(async {
        let mut conn = connect(server).await;
        for statement in statements {
            conn.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        conn.disconnect().await.expect("disconnected");
    });
}
