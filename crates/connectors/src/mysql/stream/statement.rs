//! What a Query event means for a reader of rows. Pure.

/// A statement, as far as the stream is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    Begin,
    /// The transaction ends: COMMIT, ROLLBACK, XA COMMIT, XA ROLLBACK.
    End,
    /// Inside a transaction and without effect here: savepoints, XA START, XA END.
    Inside,
    /// Changes rows, and was logged as a statement: its rows cannot be known.
    Rows,
    /// Anything else: perhaps DDL.
    Other,
}

impl Statement {
    pub(super) fn of(sql: &str) -> Self {
        let sql = without_comments(sql);
        let mut words =
            sql.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        let mut next = || words.next().unwrap_or_default().to_ascii_uppercase();
        match next().as_str() {
            "BEGIN" => Statement::Begin,
            "START" if next() == "TRANSACTION" => Statement::Begin,
            "COMMIT" => Statement::End,
            // ROLLBACK TO SAVEPOINT goes on.
            "ROLLBACK" if sql.trim_end().len() == "ROLLBACK".len() || next() == "WORK" => Statement::End,
            "ROLLBACK" | "SAVEPOINT" | "RELEASE" => Statement::Inside,
            "XA" => match next().as_str() {
                "COMMIT" | "ROLLBACK" => Statement::End,
                _ => Statement::Inside,
            },
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" => Statement::Rows,
            _ => Statement::Other,
        }
    }
}

/// CREATE TABLE ... SELECT of MySQL 8.0.21 and later: the rows follow in the same transaction.
pub(super) fn opens_transaction(sql: &str) -> bool {
    let end = sql.trim_end();
    let tail = "START TRANSACTION";
    end.len() > tail.len()
        && end.is_char_boundary(end.len() - tail.len())
        && end[end.len() - tail.len()..].eq_ignore_ascii_case(tail)
}

/// The text behind leading blanks and comments; what a `/*! */` comment holds counts.
fn without_comments(sql: &str) -> &str {
    let mut sql = sql.trim_start();
    loop {
        let rest = match sql.strip_prefix("/*") {
            Some(executable) if executable.starts_with('!') => {
                return executable[1..].trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
            }
            Some(comment) => comment.split_once("*/").map(|(_, rest)| rest),
            None if sql.starts_with('#') || sql.starts_with("-- ") => {
                sql.split_once('\n').map(|(_, rest)| rest)
            }
            None => return sql,
        };
        sql = rest.unwrap_or_default().trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        let cases = [
            ("BEGIN", Statement::Begin),
            ("COMMIT", Statement::End),
            ("ROLLBACK", Statement::End),
            ("ROLLBACK TO `sp`", Statement::Inside),
            ("SAVEPOINT sp", Statement::Inside),
            ("XA START X'61',X'',1", Statement::Inside),
            ("XA COMMIT X'61'", Statement::End),
            ("/* app */ insert into t values (1)", Statement::Rows),
            ("create table t (a int)", Statement::Other),
            ("/*!40000 ALTER TABLE t DISABLE KEYS */", Statement::Other),
            ("# Dummy event replacing event type 160", Statement::Other),
            ("", Statement::Other),
        ];
        for (sql, expected) in cases {
            assert_eq!(Statement::of(sql), expected, "{sql}");
        }
        assert!(opens_transaction("CREATE TABLE `t` (`a` int) START TRANSACTION"));
        assert!(!opens_transaction("CREATE TABLE é (a int)"));
    }
}
