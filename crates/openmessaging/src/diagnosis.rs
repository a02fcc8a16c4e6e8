//! What a driver finds when it looks at its broker: `omsconnect doctor`.

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It was looked at, and is as it should be.
    Ok,
    /// It works, and may lose messages or be slow under conditions that the finding names.
    Warning,
    /// It does not work, or messages will be lost.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Stays the same: `<driver>.<what>`, such as `kafka.min-insync-replicas`.
    pub code: &'static str,
    /// What it is about: a server, a queue, a setting.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to change; `None` exactly where there is nothing to change.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(code: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, code, subject: subject.into(), message: message.into(), remedy: None }
    }

    pub fn warning(
        code: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::problem(Severity::Warning, code, subject, message, remedy)
    }

    pub fn error(
        code: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::problem(Severity::Error, code, subject, message, remedy)
    }

    fn problem(
        severity: Severity,
        code: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (subject, message, remedy) = (subject.into(), message.into(), Some(remedy.into()));
        Self { severity, code, subject, message, remedy }
    }
}

/// What a broker is, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The broker and its version, as it tells them: `Apache Kafka 4.1.0`.
    pub broker: String,
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    pub fn worst(&self) -> Severity {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
    }
}
