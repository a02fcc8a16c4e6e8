//! One error type: what went wrong, under which stable code, whether trying again may help, and what to do.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the runtime may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A configuration value is wrong: nothing is tried again until it changes.
    Config,
    /// The system may come back (unreachable, restarting, overloaded): the same call may be made again.
    Retriable,
    /// This record cannot be handled; the records after it may.
    Record,
    /// Trying again will not help until somebody changes something.
    Fatal,
}

/// An error of a connector or converter. Its text never holds a secret.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// Stable and documented: `mysql.access_denied`.
    pub code: &'static str,
    /// What is wrong, naming the server, file or value.
    pub message: String,
    /// The configuration key at fault.
    pub key: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), key: None, remedy: None, source: None }
    }

    pub fn config(code: &'static str, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::new(ErrorKind::Config, code, message) }
    }

    pub fn retriable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retriable, code, message)
    }

    pub fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fatal, code, message)
    }

    pub fn record(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Record, code, message)
    }

    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn is_retriable(&self) -> bool {
        self.kind == ErrorKind::Retriable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] ", self.code)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}
