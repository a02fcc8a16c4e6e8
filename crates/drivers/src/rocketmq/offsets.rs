//! Where a partition begins and ends, and where a time is in it.

use openmessaging::{Result, StartAt};
use tokio::time::Instant;

use super::client::expect;
use super::codes::*;
use super::frame::Request;
use super::routes::{Partition, Route, Routes};

pub(super) struct Offsets<'a> {
    pub routes: &'a Routes,
    pub route: &'a Route,
    pub partition: &'a Partition,
    pub deadline: Instant,
}

impl Offsets<'_> {
    async fn ask(&self, code: i32, what: &str, time: Option<i64>) -> Result<u64> {
        let Partition { broker, queue_id, .. } = self.partition;
        let mut request = Request::new(code).field("topic", &self.route.topic).field("queueId", queue_id);
        if let Some(time) = time {
            request = request.field("timestamp", time);
        }
        let client = &self.routes.client;
        let answer = client.broker_again(broker, &request, self.deadline).await?;
        let what = format!("asking for {what} of queue {}", self.route.queue);
        Ok(expect(broker, &what, answer)?.offset("offset").unwrap_or(0))
    }

    /// The offset of the oldest message that is kept.
    pub async fn begin(&self) -> Result<u64> {
        self.ask(GET_MIN_OFFSET, "the begin", None).await
    }

    /// Behind the newest message: the broker's index may be a moment behind what was acknowledged here.
    pub async fn end(&self) -> Result<u64> {
        let end = self.ask(GET_MAX_OFFSET, "the end", None).await?;
        Ok(end.max(self.partition.acknowledged()))
    }

    /// The first message stored at that time or later.
    async fn at_time(&self, time: i64) -> Result<u64> {
        self.ask(SEARCH_OFFSET_BY_TIMESTAMP, "a time", Some(time.max(0))).await
    }

    /// Where reading starts; `committed`: where the group's position is.
    pub async fn start(&self, from: StartAt, committed: Option<u64>) -> Result<u64> {
        let begin = self.begin().await?;
        Ok(match from {
            StartAt::Begin => begin,
            StartAt::End => self.end().await?.max(begin),
            StartAt::Offset(offset) => offset.max(begin),
            StartAt::Timestamp(time) => self.at_time(time).await?.max(begin),
            StartAt::Committed => committed.unwrap_or(begin).max(begin),
        })
    }
}
