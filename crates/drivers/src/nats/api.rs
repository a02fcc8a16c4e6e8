//! JetStream's API: JSON in messages to `$JS.API.>`. (Source: the NATS documentation, "JetStream wire API reference".)

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openmessaging::{Error, Result, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::error::{self, ApiError};
use super::link::{Link, Reply, Unanswered};
use crate::common::deadline::late;

/// How long to wait before a request is repeated that a broken connection took.
const PAUSE: Duration = Duration::from_millis(20);

/// How long to wait for an answer before it is asked again, where asking costs little.
const ATTEMPT: Duration = Duration::from_secs(2);
const SMALL_BYTES: usize = 64 * 1024;

/// What a call comes to: JetStream's own errors apart, since callers look at them.
pub(super) type Answer<T> = Result<std::result::Result<T, ApiError>>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamConfig {
    pub name: String,
    pub description: String,
    pub subjects: Vec<String>,
    pub retention: String,
    pub discard: String,
    pub storage: String,
    pub max_msgs: i64,
    pub max_bytes: i64,
    /// Nanoseconds.
    pub max_age: i64,
    pub max_msg_size: i64,
    pub num_replicas: u64,
    pub duplicate_window: i64,
    pub no_ack: bool,
    pub sealed: bool,
    pub mirror: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub first_seq: u64,
    pub last_seq: u64,
}

impl StreamState {
    /// The sequence of the oldest message; the next one's where there is none.
    pub fn begin(&self) -> u64 {
        if self.messages == 0 { self.end() } else { self.first_seq }
    }

    /// The sequence of the next message.
    pub fn end(&self) -> u64 {
        self.last_seq + 1
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamInfo {
    pub config: StreamConfig,
    /// When it was made; another one of the same name has another.
    pub created: String,
    pub state: StreamState,
    pub cluster: Option<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Names {
    total: usize,
    streams: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerInfo {
    pub name: String,
    pub delivered: Delivered,
    pub num_pending: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delivered {
    pub stream_seq: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountInfo {
    pub storage: i64,
    pub memory: i64,
    pub streams: i64,
    pub limits: AccountLimits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountLimits {
    pub max_storage: i64,
    pub max_streams: i64,
}

/// A stored message.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub sequence: u64,
    pub headers: Vec<u8>,
    pub data: Vec<u8>,
}

/// The answer to a message that was sent to a stream.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Published {
    pub seq: u64,
}

pub(super) struct JetStream {
    pub link: Arc<Link>,
}

impl JetStream {
    pub fn server(&self) -> &str {
        &self.link.config().server
    }

    pub fn deadline(&self) -> Instant {
        Instant::now() + self.link.config().timeout
    }

    /// Asks; again when the connection took the answer with it. So everything that is asked must bear to be asked twice.
    pub async fn send(
        &self,
        subject: &str,
        headers: &[u8],
        payload: &[u8],
        deadline: Instant,
        what: &str,
    ) -> Result<Reply> {
        let limit = deadline.saturating_duration_since(Instant::now());
        loop {
            // What a cluster is asked while it elects a leader may never be answered.
            let patience = if payload.len() > SMALL_BYTES { limit } else { ATTEMPT };
            let until = deadline.min(Instant::now() + patience);
            match self.link.request(subject, headers, payload, until).await {
                Ok(reply) => return Ok(reply),
                Err(Unanswered::Failed(error)) if error.status != StatusCode::Unavailable => {
                    return Err(error);
                }
                Err(Unanswered::Failed(error)) if Instant::now() >= deadline => return Err(error),
                Err(Unanswered::Late) if Instant::now() >= deadline => {
                    return Err(late(limit, self.server(), what));
                }
                Err(Unanswered::Failed(_) | Unanswered::Late) => {}
                Err(Unanswered::Lost(error)) if Instant::now() + PAUSE >= deadline => return Err(error),
                Err(Unanswered::Lost(_)) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    pub async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &Value,
        deadline: Instant,
        what: &str,
    ) -> Answer<T> {
        let subject = format!("{}.{call}", self.link.config().api);
        let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let reply = self.send(&subject, b"", &payload, deadline, what).await?;
        if reply.is_nobody() {
            return Err(no_jetstream(self.server(), what));
        }
        self.read(&reply.payload, what)
    }

    fn read<T: DeserializeOwned>(&self, payload: &[u8], what: &str) -> Answer<T> {
        #[derive(Deserialize)]
        struct Failed {
            error: Option<ApiError>,
        }
        let strange = |error: serde_json::Error| {
            Error::new(
                StatusCode::ServerError,
                format!("the answer of {} cannot be read ({error}): {what}", self.server()),
            )
            .with_remedy("look into the server's log for the reason")
        };
        if let Some(error) = serde_json::from_slice::<Failed>(payload).map_err(strange)?.error {
            return Ok(Err(error));
        }
        serde_json::from_slice(payload).map(Ok).map_err(strange)
    }

    /// `None`: there is no such stream.
    pub async fn info(&self, stream: &str, deadline: Instant) -> Result<Option<StreamInfo>> {
        let what = format!("looking at stream {stream}");
        match self.call(&format!("STREAM.INFO.{stream}"), &Value::Null, deadline, &what).await? {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.err_code == error::STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(error.into_error(self.server(), &what)),
        }
    }

    /// The names of all streams.
    pub async fn names(&self, deadline: Instant) -> Result<Vec<String>> {
        let what = "listing the streams";
        let mut all = Vec::new();
        loop {
            let body = json!({ "offset": all.len() });
            let names: Names = self
                .call("STREAM.NAMES", &body, deadline, what)
                .await?
                .map_err(|error| error.into_error(self.server(), what))?;
            let page = names.streams.unwrap_or_default();
            let last = page.is_empty();
            all.extend(page);
            if last || all.len() >= names.total {
                return Ok(all);
            }
        }
    }

    pub async fn create(&self, config: &Value, deadline: Instant) -> Answer<StreamInfo> {
        let name = config["name"].as_str().unwrap_or_default();
        self.call(&format!("STREAM.CREATE.{name}"), config, deadline, &format!("creating stream {name}"))
            .await
    }

    /// Says whether it was there.
    pub async fn delete(&self, stream: &str, deadline: Instant) -> Result<bool> {
        let what = format!("deleting stream {stream}");
        match self.call::<Value>(&format!("STREAM.DELETE.{stream}"), &Value::Null, deadline, &what).await? {
            Ok(_) => Ok(true),
            Err(error) if error.err_code == error::STREAM_NOT_FOUND => Ok(false),
            Err(error) => Err(error.into_error(self.server(), &what)),
        }
    }

    /// Removes the messages of these subjects; that there is no such stream is no error.
    pub async fn purge(&self, stream: &str, filter: &str, deadline: Instant) -> Result<()> {
        let what = format!("purging {filter} of stream {stream}");
        let body = json!({ "filter": filter });
        match self.call::<Value>(&format!("STREAM.PURGE.{stream}"), &body, deadline, &what).await? {
            Err(error) if error.err_code != error::STREAM_NOT_FOUND => {
                Err(error.into_error(self.server(), &what))
            }
            _ => Ok(()),
        }
    }

    /// The newest message of a subject, from the stream's leader: it has seen every write that was answered.
    pub async fn last(&self, stream: &str, subject: &str, deadline: Instant) -> Answer<Option<Stored>> {
        #[derive(Deserialize)]
        struct Got {
            message: Message,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Message {
            seq: u64,
            hdrs: String,
            data: String,
        }
        let what = format!("reading {subject} of stream {stream}");
        let body = json!({ "last_by_subj": subject });
        let got = self.call::<Got>(&format!("STREAM.MSG.GET.{stream}"), &body, deadline, &what).await?;
        let Message { seq, hdrs, data } = match got {
            Ok(got) => got.message,
            Err(error) if error.err_code == error::NO_MESSAGE => return Ok(Ok(None)),
            Err(error) => return Ok(Err(error)),
        };
        let decode = |text: String| {
            STANDARD.decode(text).map_err(|error| {
                Error::new(
                    StatusCode::Corrupt,
                    format!("{} answers what is not Base64 ({error}): {what}", self.server()),
                )
                .with_remedy("look into the server's log for the reason")
            })
        };
        Ok(Ok(Some(Stored { sequence: seq, headers: decode(hdrs)?, data: decode(data)? })))
    }

    /// Makes a consumer that is gone when nobody asks it for so long; `start` is the part of its configuration that says
    /// where it starts.
    pub async fn consumer(&self, stream: &str, start: Value, deadline: Instant) -> Answer<ConsumerInfo> {
        let mut config = json!({
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": Duration::from_secs(60).as_nanos() as u64,
            "mem_storage": true,
            "num_replicas": 1,
            "max_waiting": 512,
        });
        if let (Some(config), Value::Object(start)) = (config.as_object_mut(), start) {
            config.extend(start);
        }
        let body = json!({ "stream_name": stream, "config": config });
        let what = format!("making a consumer of stream {stream}");
        self.call(&format!("CONSUMER.CREATE.{stream}"), &body, deadline, &what).await
    }

    /// Does not wait: one that stays is gone by itself.
    pub fn forget_consumer(&self, stream: &str, name: &str) {
        let subject = format!("{}.CONSUMER.DELETE.{stream}.{name}", self.link.config().api);
        self.link.publish(&subject, b"");
    }

    /// The first sequence stored at or after a time (milliseconds).
    pub async fn sequence_at(&self, stream: &str, time: i64, deadline: Instant) -> Answer<u64> {
        let start = json!({ "deliver_policy": "by_start_time", "opt_start_time": rfc3339(time) });
        let made = self.consumer(stream, start, deadline).await?;
        Ok(made.map(|info| {
            self.forget_consumer(stream, &info.name);
            info.delivered.stream_seq + 1
        }))
    }

    pub async fn account(&self, deadline: Instant) -> Answer<AccountInfo> {
        self.call("INFO", &Value::Null, deadline, "looking at the account").await
    }

    /// Sends a message to a stream and waits for its sequence.
    pub async fn publish(
        &self,
        subject: &str,
        headers: &[u8],
        payload: &[u8],
        deadline: Instant,
        what: &str,
    ) -> Answer<Option<Published>> {
        let reply = self.send(subject, headers, payload, deadline, what).await?;
        if reply.is_nobody() {
            return Ok(Ok(None));
        }
        Ok(self.read::<Published>(&reply.payload, what)?.map(Some))
    }
}

fn no_jetstream(server: &str, what: &str) -> Error {
    Error::new(StatusCode::Unsupported, format!("{server} has no JetStream (in this domain): {what}"))
        .with_remedy("start the server with JetStream (nats-server -js, or a jetstream block), or look at the property domain")
}

/// A time of milliseconds since the epoch, as the API takes it. Times before the epoch are the epoch, those behind the year
/// 9999 its end.
fn rfc3339(millis: i64) -> String {
    const LAST: i64 = 253_402_300_799_999;
    let millis = millis.clamp(0, LAST);
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Days to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_763_800_000_123, "2025-11-22T08:26:40.123Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (-5, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }

    #[test]
    fn an_empty_stream_begins_at_its_end() {
        let state = |messages, first_seq, last_seq| StreamState {
            messages,
            first_seq,
            last_seq,
            ..StreamState::default()
        };
        assert_eq!((state(0, 0, 0).begin(), state(0, 0, 0).end()), (1, 1));
        assert_eq!((state(0, 101, 100).begin(), state(0, 101, 100).end()), (101, 101));
        assert_eq!((state(3, 8, 12).begin(), state(3, 8, 12).end()), (8, 13));
    }
}
