//! One error type with the status codes of the OpenMessaging API, which answers "may I retry?" itself.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Status codes of OpenMessaging 1.0, those that a driver can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusCode {
    /// 1101: the server speaks a version that the driver does not.
    UnsupportedVersion,
    /// 1401: credentials missing or wrong.
    Unauthorized,
    /// 1403: the account may not do this.
    Forbidden,
    /// 1404: no such queue (or key).
    NotFound,
    /// 1405: no such partition.
    PartitionNotFound,
    /// 1406: it exists already.
    AlreadyExists,
    /// 1409: somebody else was first: a version or an epoch has moved on.
    Conflict,
    /// 1410: no answer in time. What was asked may have happened.
    Timeout,
    /// 1411: a message is larger than the server takes.
    MessageTooLarge,
    /// 1414: nothing at that offset: it is behind the end or was removed by retention.
    OffsetOutOfRange,
    /// 1415: the server has no room (disk, memory, quota) and refuses writes.
    Full,
    /// 1418: a parameter is wrong.
    BadParameter,
    /// 1500: the server failed.
    ServerError,
    /// 1501: this driver or broker cannot do this: ask [`Capabilities`](crate::Capabilities) first.
    Unsupported,
    /// 1502: cannot be reached, or the connection broke.
    Unavailable,
    /// 1503: an earlier send of this producer failed and was not recovered: nothing of this one was written.
    Aborted,
    /// 1504: stored bytes are not what was written.
    Corrupt,
    /// 10000: the URL cannot be read.
    BadUrl,
    /// 10001: no driver of that name.
    UnknownDriver,
    /// 10002: the driver could not be started (a folder in use, a bad property).
    DriverFailed,
    /// 10003: closed by its owner.
    Closed,
}

impl StatusCode {
    pub fn number(self) -> u16 {
        match self {
            StatusCode::UnsupportedVersion => 1101,
            StatusCode::Unauthorized => 1401,
            StatusCode::Forbidden => 1403,
            StatusCode::NotFound => 1404,
            StatusCode::PartitionNotFound => 1405,
            StatusCode::AlreadyExists => 1406,
            StatusCode::Conflict => 1409,
            StatusCode::Timeout => 1410,
            StatusCode::MessageTooLarge => 1411,
            StatusCode::OffsetOutOfRange => 1414,
            StatusCode::Full => 1415,
            StatusCode::BadParameter => 1418,
            StatusCode::ServerError => 1500,
            StatusCode::Unsupported => 1501,
            StatusCode::Unavailable => 1502,
            StatusCode::Aborted => 1503,
            StatusCode::Corrupt => 1504,
            StatusCode::BadUrl => 10000,
            StatusCode::UnknownDriver => 10001,
            StatusCode::DriverFailed => 10002,
            StatusCode::Closed => 10003,
        }
    }

    /// Whether the same call may succeed later with nothing changed by a person.
    pub fn is_retriable(self) -> bool {
        matches!(
            self,
            StatusCode::Timeout
                | StatusCode::Full
                | StatusCode::ServerError
                | StatusCode::Unavailable
                | StatusCode::Aborted
        )
    }
}

/// An error of a driver. Its text names the server or queue and never holds a secret.
#[derive(Debug)]
pub struct Error {
    pub status: StatusCode,
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Set where the driver knows better than the status code does.
    pub retriable: Option<bool>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), remedy: None, retriable: None, source: None }
    }

    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// May the same call be made again?
    pub fn is_retriable(&self) -> bool {
        self.retriable.unwrap_or_else(|| self.status.is_retriable())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[OMS-{}] {}", self.status.number(), self.message)?;
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
