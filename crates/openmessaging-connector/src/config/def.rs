//! The definition of a plugin's keys.

use std::fmt;

/// What a key's text is read as. The names are those of Kafka Connect's REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    /// Separated by commas; blanks around a member do not count.
    List,
    /// The name of a plugin.
    Class,
    /// A string that is never shown.
    Password,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyType::Boolean => "BOOLEAN",
            KeyType::String => "STRING",
            KeyType::Int => "INT",
            KeyType::Long => "LONG",
            KeyType::Double => "DOUBLE",
            KeyType::List => "LIST",
            KeyType::Class => "CLASS",
            KeyType::Password => "PASSWORD",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    High,
    Medium,
    Low,
}

impl fmt::Display for Importance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Importance::High => "HIGH",
            Importance::Medium => "MEDIUM",
            Importance::Low => "LOW",
        })
    }
}

/// How wide a form field for the key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    None,
    Short,
    Medium,
    Long,
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Width::None => "NONE",
            Width::Short => "SHORT",
            Width::Medium => "MEDIUM",
            Width::Long => "LONG",
        })
    }
}

/// What a value must be beyond its type.
#[derive(Debug, Clone, Copy)]
pub enum Validator {
    /// Not empty after trimming.
    NonEmpty,
    /// A number in this range, both ends included.
    Range { min: i64, max: i64 },
    /// One of these, matched without regard to case.
    OneOf(&'static [&'static str]),
    /// Anything else: the error is a sentence that says what is wrong.
    Check(fn(&str) -> Result<(), String>),
}

/// One key.
#[derive(Debug, Clone)]
pub struct Key {
    pub name: &'static str,
    /// Older or rivals' names of the same key, used where `name` is not given.
    pub aliases: &'static [&'static str],
    pub ty: KeyType,
    /// `None` with `required` unset: the key may be left out and has no value then.
    pub default: Option<&'static str>,
    pub required: bool,
    pub validator: Option<Validator>,
    pub importance: Importance,
    pub group: &'static str,
    pub width: Width,
    pub display_name: &'static str,
    pub dependents: &'static [&'static str],
    pub documentation: &'static str,
}

impl Key {
    pub fn new(name: &'static str, ty: KeyType, documentation: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            ty,
            default: None,
            required: false,
            validator: None,
            importance: Importance::Medium,
            group: "",
            width: Width::Medium,
            display_name: name,
            dependents: &[],
            documentation,
        }
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self.importance = Importance::High;
        self
    }

    pub fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    pub fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }

    pub fn validator(mut self, validator: Validator) -> Self {
        self.validator = Some(validator);
        self
    }

    pub fn one_of(self, values: &'static [&'static str]) -> Self {
        self.validator(Validator::OneOf(values))
    }

    pub fn range(self, min: i64, max: i64) -> Self {
        self.validator(Validator::Range { min, max })
    }

    pub fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    pub fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    pub fn display_name(mut self, name: &'static str) -> Self {
        self.display_name = name;
        self
    }

    pub fn dependents(mut self, names: &'static [&'static str]) -> Self {
        self.dependents = names;
        self
    }

    pub fn is_secret(&self) -> bool {
        self.ty == KeyType::Password
    }

    /// Whether `name` is this key's name or one of its other names.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// All keys of a plugin, in the order they are documented.
#[derive(Debug, Clone, Default)]
pub struct ConfigDef {
    keys: Vec<Key>,
    prefixes: Vec<&'static str>,
}

impl ConfigDef {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Keys that start with `prefix` are the plugin's too, whatever follows.
    pub fn prefix(mut self, prefix: &'static str) -> Self {
        self.prefixes.push(prefix);
        self
    }

    /// This definition's keys and then the other's.
    pub fn extend(mut self, other: ConfigDef) -> Self {
        self.keys.extend(other.keys);
        self.prefixes.extend(other.prefixes);
        self
    }

    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of that name or alias.
    pub fn find(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.answers_to(name))
    }

    /// Whether a key of that name has a meaning here.
    pub fn knows(&self, name: &str) -> bool {
        self.find(name).is_some() || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}
