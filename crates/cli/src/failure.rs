//! What a command can end with.

use std::fmt;
use std::process::ExitCode;

/// One thing that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable: `http.port_in_use`.
    pub code: String,
    /// Names the key, file or server. Never holds a secret.
    pub message: String,
    pub remedy: Option<String>,
}

/// Why a command did not do what it was asked: every problem found, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub problems: Vec<Problem>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
    /// Whoever reads our output has gone away: nobody is there to be told.
    Quiet,
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let problem = Problem { code: code.into(), message: message.into(), remedy: None };
        Self { problems: vec![problem], kind: Kind::Failed }
    }

    /// A failure that comes from how the command was called: exit code 2.
    pub fn usage(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::new(code, message) }
    }

    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        if let Some(problem) = self.problems.last_mut() {
            problem.remedy = Some(remedy.into());
        }
        self
    }

    /// All problems in one failure; `None` where there are none.
    pub fn all(failures: impl IntoIterator<Item = Failure>) -> Option<Self> {
        failures.into_iter().reduce(|mut all, next| {
            all.problems.extend(next.problems);
            all
        })
    }

    /// Standard output could not be written. A closed pipe is the ordinary end of `omsconnect ... | head`.
    pub fn output(error: &std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::BrokenPipe { Kind::Quiet } else { Kind::Failed };
        Self { kind, ..Self::new("output.failed", format!("cannot write to standard output: {error}")) }
    }

    /// Tells the user, on standard error, and gives the exit code: 1 failed, 2 wrongly called, 0 for a closed pipe.
    pub fn report(&self) -> ExitCode {
        match self.kind {
            Kind::Quiet => return ExitCode::SUCCESS,
            Kind::Failed | Kind::Usage => eprint!("{self}"),
        }
        ExitCode::from(if self.kind == Kind::Usage { 2 } else { 1 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "error[{}]: {}", problem.code, problem.message)?;
            if let Some(remedy) = &problem.remedy {
                writeln!(f, "  help: {remedy}")?;
            }
        }
        Ok(())
    }
}

impl From<openmessaging::Error> for Failure {
    fn from(error: openmessaging::Error) -> Self {
        let code = format!("OMS-{}", error.status.number());
        let problem = Problem { code, message: error.message, remedy: error.remedy };
        Self { problems: vec![problem], kind: Kind::Failed }
    }
}

impl From<openmessaging_connector::Error> for Failure {
    fn from(error: openmessaging_connector::Error) -> Self {
        let message = match &error.key {
            Some(key) => format!("{key}: {}", error.message),
            None => error.message,
        };
        let problem = Problem { code: error.code.to_owned(), message, remedy: error.remedy };
        Self { problems: vec![problem], kind: Kind::Failed }
    }
}

impl From<connect_runtime::ApiError> for Failure {
    fn from(error: connect_runtime::ApiError) -> Self {
        Self::new(error.code, error.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_with_its_remedy() {
        let first = Failure::new("a.b", "one").with_remedy("do this");
        let both = Failure::all([first, Failure::new("c.d", "two")]).expect("two problems");
        assert_eq!(both.to_string(), "error[a.b]: one\n  help: do this\nerror[c.d]: two\n");
        assert_eq!(Failure::all([]), None);
    }
}
