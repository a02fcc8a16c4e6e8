//! What a DDL statement does to tables, read from its text. Pure: nothing is looked up.
//!
//! Grammar: the reference manuals of MySQL 9 ("Data Definition Statements") and MariaDB ("Data Definition").

use sqlparser::tokenizer::Token;

use super::lexer::Tokens;
use super::types::{self, SqlType, canonical_charset, charset_of};

/// A table as a statement names it: the database is the session's where the statement gives none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub database: Option<String>,
    pub table: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnDef {
    pub name: String,
    pub ty: SqlType,
    pub nullable: bool,
    pub primary: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Last,
    First,
    After(String),
}

/// One step of an ALTER TABLE.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Add(ColumnDef, Place),
    Drop(String),
    /// The column of the first name becomes the second; `None` leaves it where it is.
    Change(String, ColumnDef, Option<Place>),
    RenameColumn(String, String),
    PrimaryKey(Vec<String>),
    DropPrimaryKey,
    /// New default for columns to come.
    DefaultCharset(String),
    /// Every text column is converted.
    ConvertTo(String),
    RenameTable(Name),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ddl {
    CreateTable {
        name: Name,
        columns: Vec<ColumnDef>,
        key: Vec<String>,
        charset: Option<String>,
        if_not_exists: bool,
    },
    CreateLike {
        name: Name,
        like: Name,
        if_not_exists: bool,
    },
    AlterTable {
        name: Name,
        steps: Vec<Step>,
    },
    DropTables(Vec<Name>),
    RenameTables(Vec<(Name, Name)>),
    Truncate(Name),
    /// Created or altered: the default of tables to come.
    DatabaseCharset {
        database: Option<String>,
        charset: String,
    },
    DropDatabase(String),
    /// Nothing that changes what rows look like.
    Other,
    /// It changes this table (or, without a name, some table) in a way that could not be read.
    Unreadable(Option<Name>),
}

/// Reads one statement. `backslash` is false under `NO_BACKSLASH_ESCAPES`.
pub(super) fn parse(sql: &str, mariadb: bool, backslash: bool) -> Ddl {
    let Some(mut tokens) = Tokens::of(sql, backslash) else { return unreadable(sql) };
    let parser = Parser { mariadb };
    if tokens.take("CREATE") {
        parser.create(&mut tokens)
    } else if tokens.take("ALTER") {
        parser.alter(&mut tokens)
    } else if tokens.take("DROP") {
        drop_statement(&mut tokens)
    } else if tokens.take_any(&["RENAME TABLE", "RENAME TABLES"]) {
        rename_tables(&mut tokens)
    } else if tokens.take("TRUNCATE") {
        tokens.take("TABLE");
        table_name(&mut tokens).map_or(Ddl::Unreadable(None), Ddl::Truncate)
    } else {
        Ddl::Other
    }
}

/// A statement without tokens: it matters only where it may be about a table.
fn unreadable(sql: &str) -> Ddl {
    let start: String = sql.chars().take(200).collect::<String>().to_ascii_uppercase();
    let verbs = ["CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"];
    if verbs.iter().any(|verb| start.contains(verb)) && start.contains("TABLE") {
        return Ddl::Unreadable(None);
    }
    Ddl::Other
}

fn table_name(tokens: &mut Tokens) -> Option<Name> {
    let first = tokens.name()?;
    if tokens.symbol(&Token::Period) {
        return Some(Name { database: Some(first), table: tokens.name()? });
    }
    Some(Name { database: None, table: first })
}

fn drop_statement(tokens: &mut Tokens) -> Ddl {
    if tokens.take_any(&["DATABASE", "SCHEMA"]) {
        tokens.take("IF EXISTS");
        return tokens.name().map_or(Ddl::Unreadable(None), Ddl::DropDatabase);
    }
    if tokens.take("INDEX") {
        tokens.take("IF EXISTS");
        // DROP INDEX `PRIMARY` ON t
        let primary = tokens.name().is_some_and(|name| name.eq_ignore_ascii_case("PRIMARY"));
        return match (primary && tokens.take("ON")).then(|| table_name(tokens)).flatten() {
            Some(name) => Ddl::AlterTable { name, steps: vec![Step::DropPrimaryKey] },
            None => Ddl::Other,
        };
    }
    if !tokens.take_any(&["TABLE", "TABLES"]) {
        return Ddl::Other;
    }
    tokens.take("IF EXISTS");
    let mut names = Vec::new();
    loop {
        let Some(name) = table_name(tokens) else { return Ddl::Unreadable(None) };
        names.push(name);
        if !tokens.symbol(&Token::Comma) {
            return Ddl::DropTables(names);
        }
    }
}

fn rename_tables(tokens: &mut Tokens) -> Ddl {
    tokens.take("IF EXISTS");
    let mut pairs = Vec::new();
    loop {
        let Some(from) = table_name(tokens) else { return Ddl::Unreadable(None) };
        wait_option(tokens);
        if !tokens.take("TO") {
            return Ddl::Unreadable(None);
        }
        let Some(to) = table_name(tokens) else { return Ddl::Unreadable(None) };
        pairs.push((from, to));
        if !tokens.symbol(&Token::Comma) {
            return Ddl::RenameTables(pairs);
        }
    }
}

/// MariaDB's `WAIT n` and `NOWAIT`.
fn wait_option(tokens: &mut Tokens) {
    if tokens.take("WAIT") {
        tokens.skip();
    } else {
        tokens.take("NOWAIT");
    }
}

/// `[DEFAULT] CHARACTER SET [=] x` and `[DEFAULT] COLLATE [=] y`: the character set.
fn charset_option(tokens: &mut Tokens) -> Option<Option<String>> {
    // A DEFAULT of something else is left for the caller.
    let follows = tokens.keyword_at(1);
    if follows.is_some_and(|word| ["CHARACTER", "CHAR", "CHARSET", "COLLATE"].contains(&word.as_str())) {
        tokens.take("DEFAULT");
    }
    let collation = tokens.take("COLLATE");
    if !collation && !tokens.take_any(&["CHARACTER SET", "CHAR SET", "CHARSET"]) {
        return None;
    }
    tokens.symbol(&Token::Eq);
    let name = tokens.name().or_else(|| tokens.string())?;
    Some(if collation {
        charset_of(&name)
    } else {
        Some(canonical_charset(&name)).filter(|name| name != "default")
    })
}

struct Parser {
    mariadb: bool,
}

impl Parser {
    fn create(&self, tokens: &mut Tokens) -> Ddl {
        tokens.take("OR REPLACE");
        if tokens.take_any(&["DATABASE", "SCHEMA"]) {
            tokens.take("IF NOT EXISTS");
            let database = tokens.name();
            return database_charset(tokens, database);
        }
        if !tokens.take("TABLE") {
            return Ddl::Other;
        }
        let if_not_exists = tokens.take("IF NOT EXISTS");
        let Some(name) = table_name(tokens) else { return Ddl::Unreadable(None) };
        if tokens.take("LIKE") {
            return match table_name(tokens) {
                Some(like) => Ddl::CreateLike { name, like, if_not_exists },
                None => Ddl::Unreadable(Some(name)),
            };
        }
        if !tokens.symbol(&Token::LParen) {
            return Ddl::Unreadable(Some(name));
        }
        if tokens.take("LIKE") {
            return match table_name(tokens) {
                Some(like) => Ddl::CreateLike { name, like, if_not_exists },
                None => Ddl::Unreadable(Some(name)),
            };
        }
        let mut columns = Vec::new();
        let mut key = Vec::new();
        if self.definitions(tokens, &mut columns, &mut key).is_none() {
            return Ddl::Unreadable(Some(name));
        }
        key.extend(columns.iter().filter(|column| column.primary).map(|column| column.name.clone()));
        let mut charset = None;
        while !tokens.at_end() && !tokens.take("PARTITION BY") {
            match charset_option(tokens) {
                Some(named) => charset = named.or(charset),
                None => tokens.skip(),
            }
        }
        Ddl::CreateTable { name, columns, key, charset, if_not_exists }
    }

    /// What stands in the parentheses of a CREATE TABLE or an ADD, the opening one being taken already.
    fn definitions(
        &self,
        tokens: &mut Tokens,
        columns: &mut Vec<ColumnDef>,
        key: &mut Vec<String>,
    ) -> Option<()> {
        loop {
            if let Some(primary) = constraint(tokens)? {
                key.extend(primary);
            } else {
                columns.push(self.column(tokens)?.0);
            }
            tokens.skip_item();
            if tokens.symbol(&Token::RParen) {
                return Some(());
            }
            if !tokens.symbol(&Token::Comma) {
                return None;
            }
        }
    }

    /// A column's definition, and its place where that is given.
    fn column(&self, tokens: &mut Tokens) -> Option<(ColumnDef, Option<Place>)> {
        let name = tokens.name()?;
        self.column_named(name, tokens)
    }

    fn column_named(&self, name: String, tokens: &mut Tokens) -> Option<(ColumnDef, Option<Place>)> {
        let ty = types::parse(tokens, self.mariadb)?;
        let mut column = ColumnDef { nullable: !ty.not_null, name, ty, primary: false };
        let mut place = None;
        while !tokens.ends_item() {
            if tokens.take("NOT NULL") {
                column.nullable = false;
            } else if tokens.take("UNIQUE") {
                // UNIQUE KEY is no primary key.
                tokens.take("KEY");
            } else if tokens.take_any(&["PRIMARY KEY", "PRIMARY", "KEY"]) {
                column.primary = true;
                column.nullable = false;
            } else if tokens.take_any(&["DEFAULT", "COMMENT", "ON UPDATE"]) {
                if !tokens.ends_item() {
                    tokens.skip();
                }
            } else if tokens.take("COLLATE") {
                tokens.symbol(&Token::Eq);
                let collation = tokens.name().or_else(|| tokens.string())?;
                column.ty.charset = charset_of(&collation).or(column.ty.charset);
            } else if tokens.take("FIRST") {
                place = Some(Place::First);
            } else if tokens.take("AFTER") {
                place = Some(Place::After(tokens.name()?));
            } else {
                tokens.skip();
            }
        }
        Some((column, place))
    }

    fn alter(&self, tokens: &mut Tokens) -> Ddl {
        while tokens.take_any(&["ONLINE", "OFFLINE", "IGNORE"]) {}
        if tokens.take_any(&["DATABASE", "SCHEMA"]) {
            // The name may be left out: then an option follows at once.
            let named = !tokens
                .keyword()
                .is_some_and(|word| ["DEFAULT", "CHARACTER", "CHARSET", "COLLATE"].contains(&word.as_str()));
            let database = if named { tokens.name() } else { None };
            return database_charset(tokens, database);
        }
        if !tokens.take("TABLE") {
            return Ddl::Other;
        }
        tokens.take("IF EXISTS");
        let Some(name) = table_name(tokens) else { return Ddl::Unreadable(None) };
        wait_option(tokens);
        let mut steps = Vec::new();
        while !tokens.at_end() {
            if self.step(tokens, &mut steps).is_none() {
                return Ddl::Unreadable(Some(name));
            }
            tokens.skip_item();
            if !tokens.symbol(&Token::Comma) && !tokens.at_end() {
                return Ddl::Unreadable(Some(name));
            }
        }
        Ddl::AlterTable { name, steps }
    }

    /// One step; what does not matter is stepped over by the caller.
    fn step(&self, tokens: &mut Tokens, steps: &mut Vec<Step>) -> Option<()> {
        if tokens.take_any(&["ORDER BY", "PARTITION BY"]) {
            tokens.skip_all();
        } else if tokens.take("ADD") {
            self.add(tokens, steps)?;
        } else if tokens.take("DROP") {
            steps.extend(drop_step(tokens)?);
        } else if tokens.take("MODIFY") {
            tokens.take("COLUMN");
            tokens.take("IF EXISTS");
            let (column, place) = self.column(tokens)?;
            steps.push(Step::Change(column.name.clone(), column, place));
        } else if tokens.take("CHANGE") {
            tokens.take("COLUMN");
            tokens.take("IF EXISTS");
            let old = tokens.name()?;
            let (column, place) = self.column(tokens)?;
            steps.push(Step::Change(old, column, place));
        } else if tokens.take("RENAME") {
            steps.extend(rename_step(tokens)?);
        } else if tokens.take("CONVERT TO") {
            // CONVERT TO CHARACTER SET DEFAULT goes by the database, which the catalog knows.
            steps.push(Step::ConvertTo(charset_option(tokens)??));
        } else {
            while !tokens.ends_item() {
                match charset_option(tokens) {
                    Some(charset) => steps.extend(charset.map(Step::DefaultCharset)),
                    None => tokens.skip(),
                }
            }
        }
        Some(())
    }

    fn add(&self, tokens: &mut Tokens, steps: &mut Vec<Step>) -> Option<()> {
        if let Some(primary) = constraint(tokens)? {
            if !primary.is_empty() {
                steps.push(Step::PrimaryKey(primary));
            }
            return Some(());
        }
        if !tokens.take("COLUMN") && tokens.take_any(&["PARTITION", "SYSTEM VERSIONING", "PERIOD"]) {
            tokens.skip_item();
            return Some(());
        }
        tokens.take("IF NOT EXISTS");
        if tokens.symbol(&Token::LParen) {
            let (mut columns, mut key) = (Vec::new(), Vec::new());
            self.definitions(tokens, &mut columns, &mut key)?;
            steps.extend(columns.into_iter().map(|column| Step::Add(column, Place::Last)));
            if !key.is_empty() {
                steps.push(Step::PrimaryKey(key));
            }
        } else {
            let (column, place) = self.column(tokens)?;
            steps.push(Step::Add(column, place.unwrap_or(Place::Last)));
        }
        Some(())
    }
}

/// An index or constraint: the primary key's columns, none for another kind; `Some(None)` where a column stands here.
fn constraint(tokens: &mut Tokens) -> Option<Option<Vec<String>>> {
    if tokens.take("CONSTRAINT") {
        // The symbol may be left out.
        let begins = |word: &str| ["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].contains(&word);
        if !tokens.keyword().is_some_and(|word| begins(&word)) {
            tokens.name()?;
        }
    }
    if tokens.take("PRIMARY KEY") {
        while !tokens.symbol(&Token::LParen) {
            // An index name, USING BTREE.
            if tokens.ends_item() {
                return None;
            }
            tokens.skip();
        }
        let mut key = Vec::new();
        loop {
            key.push(tokens.name()?);
            tokens.skip_item();
            if tokens.symbol(&Token::RParen) {
                return Some(Some(key));
            }
            if !tokens.symbol(&Token::Comma) {
                return None;
            }
        }
    }
    let others = [
        "UNIQUE",
        "INDEX",
        "KEY",
        "FULLTEXT",
        "SPATIAL",
        "FOREIGN",
        "CHECK",
        "PERIOD FOR",
        "VECTOR INDEX",
        "VECTOR KEY",
    ];
    let other = tokens.take_any(&others);
    Some(other.then(Vec::new))
}

fn drop_step(tokens: &mut Tokens) -> Option<Option<Step>> {
    if tokens.take("PRIMARY KEY") {
        return Some(Some(Step::DropPrimaryKey));
    }
    if !tokens.take("COLUMN")
        && tokens.take_any(&[
            "INDEX",
            "KEY",
            "FOREIGN KEY",
            "CHECK",
            "CONSTRAINT",
            "PARTITION",
            "SYSTEM VERSIONING",
            "PERIOD",
        ])
    {
        return Some(None);
    }
    tokens.take("IF EXISTS");
    Some(Some(Step::Drop(tokens.name()?)))
}

fn rename_step(tokens: &mut Tokens) -> Option<Option<Step>> {
    if tokens.take("COLUMN") {
        tokens.take("IF EXISTS");
        let old = tokens.name()?;
        return if tokens.take("TO") { Some(Some(Step::RenameColumn(old, tokens.name()?))) } else { None };
    }
    if tokens.take_any(&["INDEX", "KEY"]) {
        return Some(None);
    }
    if !tokens.take_any(&["TO", "AS"]) {
        tokens.symbol(&Token::Eq);
    }
    Some(Some(Step::RenameTable(table_name(tokens)?)))
}

fn database_charset(tokens: &mut Tokens, database: Option<String>) -> Ddl {
    let mut charset = None;
    while !tokens.at_end() {
        match charset_option(tokens) {
            Some(named) => charset = named.or(charset),
            None => tokens.skip(),
        }
    }
    match charset {
        Some(charset) => Ddl::DatabaseCharset { database, charset },
        None => Ddl::Other,
    }
}

#[cfg(test)]
mod tests;
