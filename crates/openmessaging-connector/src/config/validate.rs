//! Holding a configuration against its definition.

use super::def::{ConfigDef, Key, KeyType, Validator};
use super::parsed::Parsed;
use super::{Config, MASK};
use crate::error::Error;

/// A key's value as validation sees it, in the form of Kafka Connect's `configs[].value`.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyValue {
    pub name: String,
    /// Normalised (trimmed numbers, lower-case booleans, joined lists); `None` where it is missing or unreadable;
    /// masked where it is secret.
    pub value: Option<String>,
    pub recommended_values: Vec<String>,
    pub errors: Vec<String>,
    pub visible: bool,
}

impl ConfigDef {
    /// Every defined key with its value and what is wrong with it.
    pub fn validate(&self, config: &Config) -> Vec<KeyValue> {
        self.keys().iter().map(|key| key.check(config)).collect()
    }

    /// The keys of `config` that mean nothing here, each with the nearest that does.
    pub fn unknown_keys(&self, config: &Config) -> Vec<Error> {
        let unknown = config.keys().filter(|name| !self.knows(name));
        unknown
            .map(|name| {
                let error = Error::config("config.unknown_key", name, "this key is not known");
                match nearest(name, self.keys().iter().map(|key| key.name)) {
                    Some(near) => error.with_remedy(format!("did you mean {near}?")),
                    None => error.with_remedy("remove it, or check its spelling with `omsconnect plugins`"),
                }
            })
            .collect()
    }

    /// The values by this definition, defaults filled in.
    ///
    /// # Errors
    /// Every value that is missing or cannot be read, as `config.invalid`. Unknown keys are no error here.
    pub fn parse(&self, config: &Config) -> Result<Parsed, Vec<Error>> {
        let mut errors = Vec::new();
        for value in self.validate(config) {
            let wrong =
                value.errors.into_iter().map(|text| Error::config("config.invalid", &value.name, text));
            errors.extend(wrong);
        }
        if errors.is_empty() { Ok(Parsed::new(self, config)) } else { Err(errors) }
    }

    /// A copy of `config` that can be shown: the values of password keys are masked unless they are references to a
    /// secret provider (`${env:NAME}`), which tell nothing.
    pub fn mask(&self, config: &Config) -> Config {
        let show = |name: &String, value: &String| {
            let secret = self.find(name).is_some_and(Key::is_secret);
            if secret && !value.is_empty() && !is_reference(value) { MASK.to_owned() } else { value.clone() }
        };
        config.iter().map(|(name, value)| (name.clone(), show(name, value))).collect()
    }
}

fn is_reference(value: &str) -> bool {
    value.starts_with("${") && value.ends_with('}') && value.matches("${").count() == 1
}

impl Key {
    /// What the user gave for this key, under its name or another.
    pub(super) fn given<'c>(&self, config: &'c Config) -> Option<&'c str> {
        let mut names = std::iter::once(&self.name).chain(self.aliases);
        names.find_map(|name| config.get(*name)).map(String::as_str)
    }

    fn check(&self, config: &Config) -> KeyValue {
        let mut errors = Vec::new();
        let given = self.given(config);
        let value = match given.or(self.default) {
            None if self.required => {
                errors.push(format!(
                    "Missing required configuration \"{}\" which has no default value.",
                    self.name
                ));
                None
            }
            None => None,
            Some(text) => match self.normalise(text) {
                Ok(value) => {
                    errors.extend(self.holds(&value).err());
                    Some(value)
                }
                Err(error) => {
                    errors.push(error);
                    None
                }
            },
        };
        let masked =
            |value: String| if self.is_secret() && given.is_some() { MASK.to_owned() } else { value };
        let recommended = match self.validator {
            Some(Validator::OneOf(values)) => values.iter().map(|value| (*value).to_owned()).collect(),
            _ => Vec::new(),
        };
        KeyValue {
            name: self.name.to_owned(),
            value: value.map(masked),
            recommended_values: recommended,
            errors,
            visible: true,
        }
    }

    /// The text in the form its type gives it.
    pub(super) fn normalise(&self, text: &str) -> Result<String, String> {
        let trimmed = text.trim();
        let wrong = |what: &str| {
            let shown = if self.is_secret() { MASK } else { text };
            Err(format!("Invalid value {shown} for configuration {}: {what}", self.name))
        };
        match self.ty {
            KeyType::String | KeyType::Password => Ok(text.to_owned()),
            KeyType::Class => Ok(trimmed.to_owned()),
            KeyType::Boolean => match trimmed.to_ascii_lowercase().as_str() {
                value @ ("true" | "false") => Ok(value.to_owned()),
                _ => wrong("Expected value to be either true or false"),
            },
            KeyType::Int => match trimmed.parse::<i32>() {
                Ok(value) => Ok(value.to_string()),
                Err(_) => wrong("Not a number of type INT"),
            },
            KeyType::Long => match trimmed.parse::<i64>() {
                Ok(value) => Ok(value.to_string()),
                Err(_) => wrong("Not a number of type LONG"),
            },
            KeyType::Double => match trimmed.parse::<f64>() {
                Ok(_) => Ok(trimmed.to_owned()),
                Err(_) => wrong("Not a number of type DOUBLE"),
            },
            KeyType::List if trimmed.is_empty() => Ok(String::new()),
            KeyType::List => Ok(trimmed.split(',').map(str::trim).collect::<Vec<_>>().join(",")),
        }
    }

    fn holds(&self, value: &str) -> Result<(), String> {
        let shown = if self.is_secret() { MASK } else { value };
        let wrong =
            |what: String| Err(format!("Invalid value {shown} for configuration {}: {what}", self.name));
        match self.validator {
            None => Ok(()),
            Some(Validator::NonEmpty) if value.trim().is_empty() => {
                wrong("String must be non-empty".to_owned())
            }
            Some(Validator::NonEmpty) => Ok(()),
            Some(Validator::Range { min, max }) => match value.parse::<f64>() {
                Ok(number) if number < min as f64 => wrong(format!("Value must be at least {min}")),
                Ok(number) if number > max as f64 => wrong(format!("Value must be no more than {max}")),
                _ => Ok(()),
            },
            Some(Validator::OneOf(values)) => {
                if values.iter().any(|one| one.eq_ignore_ascii_case(value)) {
                    return Ok(());
                }
                wrong(format!("String must be one of: {}", values.join(", ")))
            }
            Some(Validator::Check(check)) => check(value).or_else(wrong),
        }
    }
}

/// The known name that `name` was probably meant to be.
pub fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_ascii_lowercase();
    known
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_ascii_lowercase()), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= 1 + known.len().min(name.len()) / 4)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::super::{Importance, Key, KeyType};
    use super::*;

    fn def() -> ConfigDef {
        ConfigDef::new()
            .key(Key::new("file", KeyType::String, "").required())
            .key(Key::new("batch.size", KeyType::Int, "").default("10").range(1, 100).aliases(&["batchSize"]))
            .key(Key::new("mode", KeyType::String, "").default("a").one_of(&["a", "b"]))
            .key(Key::new("password", KeyType::Password, "").importance(Importance::High))
            .prefix("extra.")
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn errors_name_the_key_and_the_problem() {
        let errors = def().parse(&config(&[("batch.size", "x"), ("mode", "c")])).err().unwrap_or_default();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "[config.invalid] file: Missing required configuration \"file\" which has no default value.",
                "[config.invalid] batch.size: Invalid value x for configuration batch.size: Not a number of type INT",
                "[config.invalid] mode: Invalid value c for configuration mode: String must be one of: a, b",
            ]
        );
    }

    #[test]
    fn aliases_and_defaults_are_found() {
        let parsed = def().parse(&config(&[("file", "f"), ("batchSize", " 7 ")])).expect("valid");
        assert_eq!(parsed.int("batch.size"), 7);
        assert_eq!(parsed.str("mode"), "a");
        assert_eq!(parsed.get("password"), None);
    }

    #[test]
    fn unknown_keys_come_with_the_nearest_known() {
        let errors = def().unknown_keys(&config(&[("fiel", "f"), ("extra.x", "1"), ("zzzzzzzz", "")]));
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("did you mean file?"), "{texts:?}");
    }

    #[test]
    fn secrets_are_masked_and_references_are_not() {
        let shown = def().mask(&config(&[("password", "hunter2"), ("file", "f")]));
        assert_eq!(shown["password"], MASK);
        let shown = def().mask(&config(&[("password", "${env:PW}")]));
        assert_eq!(shown["password"], "${env:PW}");
    }
}
