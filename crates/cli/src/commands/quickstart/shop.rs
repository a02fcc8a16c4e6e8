//! The database that changes: a small shop in an SQLite file.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmessaging::AccessPointUrl;
use rusqlite::Connection;

use crate::failure::{Failure, Result};

/// Its tables, which are also the names of the queues.
pub const TABLES: [&str; 2] = ["orders", "customers"];

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT);
    CREATE TABLE IF NOT EXISTS orders (
        id INTEGER PRIMARY KEY,
        customer_id INTEGER NOT NULL REFERENCES customers (id),
        product TEXT NOT NULL,
        price NUMERIC NOT NULL,
        status TEXT NOT NULL
    );
    INSERT OR IGNORE INTO customers VALUES (1, 'Ada', 'ada@example.com'), (2, 'Grace', 'grace@example.com');
    INSERT OR IGNORE INTO orders VALUES
        (1, 1, 'Keyboard', 49.90, 'NEW'), (2, 1, 'Mouse', 19.50, 'NEW'), (3, 2, 'Lamp', 34.00, 'NEW');
";

/// What is done to the orders, over and over.
const CHANGES: [&str; 4] = [
    "UPDATE orders SET status = 'PAID' WHERE id = 1",
    "INSERT INTO orders (customer_id, product, price, status) VALUES (2, 'Cable', 7.25, 'NEW')",
    "UPDATE customers SET email = 'ada@new.example.com' WHERE id = 1",
    "DELETE FROM orders WHERE id = (SELECT max(id) FROM orders)",
];

/// The open shop.
pub struct Shop {
    path: PathBuf,
    connection: Connection,
    changes: Cell<usize>,
}

impl Shop {
    /// Opens the shop, and makes it where it is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.execute_batch(SCHEMA)?;
            // So that the first change changes something, also in a shop that was kept.
            connection.execute("UPDATE orders SET status = 'NEW' WHERE id = 1", ())?;
            Ok(connection)
        };
        let connection = open().map_err(|error| broken(path, &error))?;
        Ok(Self { path: path.to_owned(), connection, changes: Cell::new(0) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Changes the next row, and gives the SQL that did it.
    pub fn change(&self) -> Result<&'static str> {
        let number = self.changes.get();
        self.changes.set(number + 1);
        let sql = CHANGES[number % CHANGES.len()];
        self.connection.execute(sql, ()).map_err(|error| broken(&self.path, &error))?;
        Ok(sql)
    }

    /// The configuration of the source connector, with the keys that the original's README shows.
    pub fn connector(&self, driver: &AccessPointUrl) -> serde_json::Value {
        serde_json::json!({
            "connector-class": "sqlite",
            "oms-driver-url": driver.to_string(),
            "file": self.path.display().to_string(),
            "source-record-converter": "PlainJsonConverter",
        })
    }
}

fn broken(path: &Path, error: &rusqlite::Error) -> Failure {
    Failure::new("quickstart.database", format!("the database {}: {error}", path.display()))
        .with_remedy("choose another folder with --dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_changes_a_row_and_a_kept_shop_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.db");
        for _ in 0..2 {
            let shop = Shop::open(&path).expect("the shop");
            for _ in 0..CHANGES.len() {
                shop.change().expect("a change");
                assert_eq!(shop.connection.changes(), 1);
            }
        }
    }
}
