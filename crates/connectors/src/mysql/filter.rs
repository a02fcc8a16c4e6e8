//! Which tables are read.

use regex::Regex;

/// The server's own databases, which are never read.
const SYSTEM: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];

/// Takes tables by lists of names and regular expressions.
#[derive(Debug, Clone, Default)]
pub struct TableFilter {
    databases: Vec<Pattern>,
    without_databases: Vec<Pattern>,
    tables: Vec<Pattern>,
    without_tables: Vec<Pattern>,
    fold_case: bool,
}

#[derive(Debug, Clone)]
enum Pattern {
    /// A database, or a table in any database.
    Name(String),
    Table(String, String),
    Regex(Regex),
}

impl TableFilter {
    /// The lists as the user wrote them; a member that is no valid regular expression matches nothing (validation by
    /// [`check_list`] comes first).
    pub fn new(
        databases: &[&str],
        without_databases: &[&str],
        tables: &[&str],
        without_tables: &[&str],
    ) -> Self {
        let read = |list: &[&str]| list.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
        Self {
            databases: read(databases),
            without_databases: read(without_databases),
            tables: read(tables),
            without_tables: read(without_tables),
            fold_case: false,
        }
    }

    /// For servers that fold the case of names (`lower_case_table_names` other than 0).
    pub fn folding_case(mut self, fold: bool) -> Self {
        self.fold_case = fold;
        self
    }

    pub fn takes_database(&self, database: &str) -> bool {
        let matches = |pattern: &Pattern| pattern.is_database(database, self.fold_case);
        !SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(database))
            && (self.databases.is_empty() || self.databases.iter().any(matches))
            && !self.without_databases.iter().any(matches)
    }

    pub fn takes(&self, database: &str, table: &str) -> bool {
        let matches = |pattern: &Pattern| pattern.is_table(database, table, self.fold_case);
        self.takes_database(database)
            && (self.tables.is_empty() || self.tables.iter().any(matches))
            && !self.without_tables.iter().any(matches)
    }

    /// Databases that the lists name outright, so that they should exist.
    pub fn named_databases(&self) -> Vec<&str> {
        self.databases.iter().filter_map(Pattern::name).collect()
    }

    /// Tables that the lists name outright, with their database where it is given.
    pub fn named_tables(&self) -> Vec<(Option<&str>, &str)> {
        let mut names = Vec::new();
        for pattern in &self.tables {
            match pattern {
                Pattern::Name(name) => names.push((None, name.as_str())),
                Pattern::Table(database, table) => names.push((Some(database.as_str()), table.as_str())),
                Pattern::Regex(_) => {}
            }
        }
        names
    }
}

impl Pattern {
    fn name(&self) -> Option<&str> {
        match self {
            Pattern::Name(name) => Some(name),
            _ => None,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let plain =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
        let bare = text.replace('`', "");
        match bare.split_once('.') {
            None if plain(&bare) => return Ok(Pattern::Name(bare)),
            Some((database, table)) if plain(database) && plain(table) => {
                return Ok(Pattern::Table(database.to_owned(), table.to_owned()));
            }
            _ => {}
        }
        // The error of the library is many lines long; its last names the problem.
        let problem =
            |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        Regex::new(&format!("^(?i:{text})$")).map(Pattern::Regex).map_err(problem)
    }

    fn is_database(&self, database: &str, fold: bool) -> bool {
        match self {
            Pattern::Name(name) => same(name, database, fold),
            Pattern::Table(..) => false,
            Pattern::Regex(regex) => regex.is_match(database),
        }
    }

    fn is_table(&self, database: &str, table: &str, fold: bool) -> bool {
        match self {
            Pattern::Name(name) => same(name, table, fold),
            Pattern::Table(in_database, name) => same(in_database, database, fold) && same(name, table, fold),
            Pattern::Regex(regex) => regex.is_match(&format!("{database}.{table}")),
        }
    }
}

fn same(a: &str, b: &str, fold: bool) -> bool {
    a == b || (fold && a.to_lowercase() == b.to_lowercase())
}

/// Checks a list as a configuration holds it.
pub fn check_list(text: &str) -> Result<(), String> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    for member in members {
        Pattern::parse(member)
            .map_err(|problem| format!("`{member}` is no name and no regular expression: {problem}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(databases: &[&str], tables: &[&str]) -> TableFilter {
        TableFilter::new(databases, &[], tables, &[])
    }

    #[test]
    fn empty_lists_take_every_user_table() {
        let all = filter(&[], &[]);
        assert!(all.takes("shop", "orders"));
        for system in SYSTEM {
            assert!(!all.takes(system, "user"));
        }
    }

    #[test]
    fn names_qualified_names_and_expressions() {
        let bare = filter(&["shop"], &["orders"]);
        assert!(
            bare.takes("shop", "orders") && !bare.takes("other", "orders") && !bare.takes("shop", "orders2")
        );
        let qualified = filter(&[], &["shop.orders", "`a`.`b`"]);
        assert!(
            qualified.takes("shop", "orders") && qualified.takes("a", "b") && !qualified.takes("a", "orders")
        );
        let regex = filter(&["sh.*"], &[r"shop\.(orders|lines)"]);
        assert!(
            regex.takes("shop", "lines") && !regex.takes("shop", "linesx") && !regex.takes("other", "lines")
        );
        // A plain name with a dot is a name: the dot is no wildcard.
        assert!(!filter(&[], &["shop.orders"]).takes("sho", "porders"));
    }

    #[test]
    fn exclusion_wins_and_case_folds_where_the_server_does() {
        let filter = TableFilter::new(&["Shop"], &[], &[], &["shop.audit"]).folding_case(true);
        assert!(filter.takes("shop", "orders") && !filter.takes("shop", "Audit"));
        assert!(!TableFilter::new(&["Shop"], &[], &[], &[]).takes("shop", "orders"));
    }

    #[test]
    fn a_bad_expression_is_named() {
        let error = check_list("orders, a(b").expect_err("unclosed");
        assert!(error.contains("`a(b`") && error.contains("unclosed"), "{error}");
        assert!(check_list("").is_ok());
    }
}
