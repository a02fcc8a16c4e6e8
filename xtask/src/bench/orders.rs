//! The table of the baselines: twelve varied columns, about 280 bytes of binlog a row. Pure: makes SQL and runs none.

use std::fmt::Write;

use super::random::Random;

pub const DATABASE: &str = "bench";

/// What makes a table of this shape. `PRIMARY KEY` alone: a binlog or a snapshot reads no other index.
pub fn create(table: &str) -> String {
    format!(
        "CREATE DATABASE IF NOT EXISTS {DATABASE};\n\
         CREATE TABLE {DATABASE}.{table} (\n\
         id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,\n\
         customer INT UNSIGNED NOT NULL,\n\
         status ENUM('new','paid','packed','sent','returned') NOT NULL,\n\
         total DECIMAL(12,2) NOT NULL,\n\
         weight DOUBLE NULL,\n\
         gift TINYINT(1) NOT NULL,\n\
         code CHAR(8) NOT NULL,\n\
         note VARCHAR(255) NULL,\n\
         attrs JSON NOT NULL,\n\
         day DATE NOT NULL,\n\
         created DATETIME(6) NOT NULL,\n\
         updated TIMESTAMP(3) NOT NULL\n\
         ) CHARACTER SET utf8mb4;\n"
    )
}

/// Settings that the statements below need: no hour that a time zone leaves out, one transaction a statement, and no
/// copy of the statement's text in the binlog, which would be as large as the rows.
pub const SETTINGS: &str =
    "SET SESSION time_zone = '+00:00', autocommit = 1, binlog_annotate_row_events = OFF;\n";

const COLUMNS: &str = "customer, status, total, weight, gift, code, note, attrs, day, created, updated";

/// One transaction: the rows from number `first` on, as one statement.
pub fn insert(table: &str, first: u64, rows: u64, random: &mut Random) -> String {
    let mut sql = String::with_capacity(rows as usize * 400 + 200);
    let _ = write!(sql, "INSERT INTO {DATABASE}.{table} ({COLUMNS}) VALUES");
    for number in first..first + rows {
        sql.push_str(if number == first { "\n" } else { ",\n" });
        row(&mut sql, number, random);
    }
    sql.push_str(";\n");
    sql
}

/// One transaction of that many rows into another table, made from those that are there, again and again if need be.
pub fn multiply(from: &str, into: &str, rows: u64, there: u64) -> String {
    let copies = rows.div_ceil(there.max(1));
    let numbers: Vec<String> = (0..copies).map(|copy| format!("SELECT {copy} AS copy")).collect();
    format!(
        "INSERT INTO {DATABASE}.{into} ({COLUMNS}) SELECT {COLUMNS} FROM {DATABASE}.{from} \
         JOIN ({}) AS copies LIMIT {rows};\n",
        numbers.join(" UNION ALL ")
    )
}

fn row(sql: &mut String, number: u64, random: &mut Random) {
    let customer = random.below(200_000) + 1;
    let status = random.one_of(&["new", "paid", "packed", "sent", "returned"]);
    let (total, cents) = (random.below(1_000_000), random.below(100));
    let gift = random.below(2);
    let code = random.next() & 0xffff_ffff;
    let _ = write!(sql, "({customer},'{status}',{total}.{cents:02},");
    match random.below(20) {
        0 => sql.push_str("NULL"),
        _ => drop(write!(sql, "{}.{:03}", random.below(90), random.below(1_000))),
    }
    let _ = write!(sql, ",{gift},'{code:08X}',");
    note(sql, random);
    attributes(sql, random);
    // An order every seven seconds and some microseconds from the beginning of 2020 on.
    let seconds = number * 7;
    let (micros, millis) = (random.below(1_000_000), random.below(1_000));
    let (day, time) = (date(seconds / 86_400), clock(seconds % 86_400));
    let _ = write!(sql, ",'{day}','{day} {time}.{micros:06}','{day} {time}.{millis:03}')");
}

/// About 120 characters of words, now and then with a letter that takes two bytes, a quote, or nothing at all.
fn note(sql: &mut String, random: &mut Random) {
    const WORDS: [&str; 24] = [
        "please",
        "leave",
        "the",
        "parcel",
        "at",
        "door",
        "of",
        "neighbour",
        "call",
        "before",
        "delivery",
        "fragile",
        "glass",
        "handle",
        "with",
        "care",
        "second",
        "floor",
        "left",
        "bell",
        "broken",
        "ring",
        "twice",
        "thank",
    ];
    if random.below(50) == 0 {
        return sql.push_str("NULL");
    }
    let length = 100 + random.below(40) as usize;
    let begin = sql.len() + 1;
    sql.push('\'');
    while sql.len() < begin + length {
        let word = match random.below(100) {
            0 => "café",
            1 => "don\\'t",
            _ => random.one_of(&WORDS),
        };
        sql.push_str(word);
        sql.push(' ');
    }
    sql.pop();
    sql.push('\'');
}

/// About 100 characters of JSON.
fn attributes(sql: &mut String, random: &mut Random) {
    let colour = random.one_of(&["red", "green", "blue", "black", "white"]);
    let size = random.one_of(&["S", "M", "L", "XL"]);
    let (quantity, reference) = (random.below(50) + 1, random.next());
    let express = random.one_of(&["true", "false"]);
    let tag = random.one_of(&["sale", "gift", "bulk", "new"]);
    let _ = write!(
        sql,
        ",'{{\"colour\":\"{colour}\",\"size\":\"{size}\",\"qty\":{quantity},\"express\":{express},\
         \"tags\":[\"web\",\"{tag}\"],\"ref\":\"{reference:016x}\"}}'"
    );
}

/// A day after the first of January 2020, as SQL writes it.
fn date(mut days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 2020;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours() {
        let days = [
            (0, "2020-01-01"),
            (59, "2020-02-29"),
            (60, "2020-03-01"),
            (366, "2021-01-01"),
            (424, "2021-02-28"),
        ];
        for (day, text) in days {
            assert_eq!(date(day), text);
        }
        assert_eq!(date(425), "2021-03-01");
        assert_eq!(clock(86_399), "23:59:59");
    }

    #[test]
    fn a_transaction_is_one_statement_and_the_same_every_time() {
        let sql = insert("orders", 0, 100, &mut Random::new(1));
        assert_eq!(sql.matches("\n(").count(), 100);
        assert_eq!(sql.matches(";\n").count(), 1);
        assert_eq!(sql, insert("orders", 0, 100, &mut Random::new(1)));
        assert!(sql.contains("'2020-01-01 00:00:07."), "{sql}");
    }

    #[test]
    fn a_large_transaction_takes_as_many_copies_as_it_needs() {
        let sql = multiply("orders", "large", 5_000, 2_000);
        assert_eq!(sql.matches("AS copy").count(), 3);
        assert!(sql.ends_with("LIMIT 5000;\n"), "{sql}");
    }
}
