//! One key of the worker's settings, in each place it can be given.

/// What a value is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// `true` or `false`.
    Bool,
    /// 0 to 65535.
    Port,
    /// A whole number of milliseconds, in this range.
    Millis {
        min: u64,
        max: u64,
    },
    /// A whole number of bytes, optionally with `k`, `m` or `g` (powers of 1024).
    Bytes {
        min: u64,
    },
    /// A whole number in this range.
    Count {
        min: u64,
        max: u64,
    },
    /// Separated by commas.
    List,
    /// A folder; a leading `~` is the home folder.
    Folder,
    /// An access point URL. It may hold a password, so it is never repeated as it is.
    Url,
    /// A converter, by full class name, simple name or alias.
    Class,
}

/// The value of a key that is given nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    None,
    Is(&'static str),
    /// Made from other keys: how it is shown.
    MadeFrom(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in the properties file: the original's where it had one, then Kafka Connect's, then ours.
    pub name: &'static str,
    /// Other names of it in the file.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub default: Default,
    pub group: &'static str,
    /// What it is for; the first sentence is the short form.
    pub doc: &'static str,
}

impl Key {
    /// `--http-port`, without the dashes.
    pub fn flag(&self) -> String {
        words(self.name, '-')
    }

    /// `OMSCONNECT_HTTP_PORT`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", words(self.name, '_').to_ascii_uppercase())
    }

    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// What stands for the value in `--help`.
    pub fn placeholder(&self) -> &'static str {
        match self.kind {
            Kind::Text => "TEXT",
            Kind::Bool => "BOOL",
            Kind::Port => "PORT",
            Kind::Millis { .. } => "MS",
            Kind::Bytes { .. } => "BYTES",
            Kind::Count { .. } => "NUMBER",
            Kind::List => "LIST",
            Kind::Folder => "FOLDER",
            Kind::Url => "URL",
            Kind::Class => "CLASS",
        }
    }
}

/// What the names of our environment variables start with.
pub const PREFIX: &str = "OMSCONNECT_";

/// `httpPort` and `key.converter` as lower-case words with `separator` between them.
fn words(name: &str, separator: char) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        match character {
            '.' => out.push(separator),
            c if c.is_ascii_uppercase() => out.extend([separator, c.to_ascii_lowercase()]),
            c => out.push(c),
        }
    }
    out
}

/// Keys of any name behind a prefix.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    /// With its dot: `driver.`.
    pub name: &'static str,
    pub doc: &'static str,
}

#[cfg(test)]
mod tests {
    use super::super::table::KEYS;
    use super::*;

    #[test]
    fn a_key_has_a_flag_and_a_variable() {
        let key = |name| *KEYS.iter().find(|key| key.name == name).expect(name);
        assert_eq!(key("omsDriverUrl").flag(), "oms-driver-url");
        assert_eq!(key("omsDriverUrl").variable(), "OMSCONNECT_OMS_DRIVER_URL");
        assert_eq!(key("key.converter").flag(), "key-converter");
        assert_eq!(key("key.converter").variable(), "OMSCONNECT_KEY_CONVERTER");
    }

    #[test]
    fn no_two_keys_share_a_name() {
        let mut names: Vec<String> = KEYS.iter().map(Key::flag).collect();
        names.extend(KEYS.iter().flat_map(|key| key.aliases).map(|alias| words(alias, '-')));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
