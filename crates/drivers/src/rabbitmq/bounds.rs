//! Where a stream begins and ends. AMQP has no question for that (the message count of `queue.declare` is some seconds
//! old), but what a consumer gets first tells it:
//!
//! - The first message of a consumer at `first` is the oldest.
//! - A consumer at `last` gets the newest chunk. The broker sends what it has of it in one go; so once the first of these
//!   messages is there, the answer to another call on the same channel comes behind the last of them.
//! - A stream without messages gives nothing, however long one waits: some answers and a moment are waited for.
//!
//! Each consumer has a channel of its own. Where there are two of one stream, RabbitMQ (seen with 3.10.8) may send the
//! second one's messages before it says that there is such a consumer, and the client does not know whose they are: what
//! makes the first one go on makes both go on, and it may wait before the answer in the channel's line.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, ShortString};
use lapin::{Channel, Consumer};
use openmessaging::{Error, Result, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::link::{Link, table};
use super::{error, layout, message};

/// A stream that gave nothing for so long has nothing.
const SILENCE: Duration = Duration::from_millis(250);

/// So many calls must be answered meanwhile: a server that is slow is waited for.
const ANSWERS: u32 = 3;

/// So long the newest message may take, until it is asked for anew; then twice as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a consumer of a stream starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Last,
    Offset(u64),
    /// Seconds since the epoch: AMQP has no finer time.
    Time(u64),
}

impl Place {
    pub fn argument(self) -> AMQPValue {
        match self {
            Self::First => AMQPValue::LongString("first".into()),
            Self::Last => AMQPValue::LongString("last".into()),
            Self::Offset(offset) => AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX)),
            Self::Time(seconds) => AMQPValue::Timestamp(seconds),
        }
    }
}

/// Begin and end of a stream.
pub(super) async fn of(link: &Link, stream: &ShortString, deadline: Instant) -> Result<(u64, u64)> {
    let mut patience = PATIENCE;
    let attempt = || {
        let limit = deadline.min(Instant::now() + patience);
        patience *= 2;
        once(link, stream, limit, deadline)
    };
    link.retry(deadline, attempt).await
}

/// `limit`: until then the newest message has to come.
async fn once(link: &Link, stream: &ShortString, limit: Instant, deadline: Instant) -> Result<(u64, u64)> {
    let (front, back) = (link.channel(deadline).await?, link.channel(deadline).await?);
    let bounds = look(link, stream, &front, &back, limit, deadline).await;
    layout::close(front);
    layout::close(back);
    bounds
}

async fn look(
    link: &Link,
    stream: &ShortString,
    front: &Channel,
    back: &Channel,
    limit: Instant,
    deadline: Instant,
) -> Result<(u64, u64)> {
    let mut first = consume(link, front, stream, Place::First, 1, "first", deadline).await?;
    let mut last = consume(link, back, stream, Place::Last, u16::MAX, "last", deadline).await?;
    let Some(oldest) = next_or_silence(link, front, stream, &mut first, deadline).await? else {
        return Ok((0, 0));
    };
    let newest = timeout_at(limit, next(link, stream, &mut last, deadline)).await;
    let newest = newest.map_err(|_| silent(link, stream))??;
    let begin = offset(stream, &oldest)?;
    let mut end = offset(stream, &newest)?;
    let answer = back.basic_qos(1, BasicQosOptions::default());
    link.call("looking for the end of a stream", deadline, answer).await?;
    while let Some(Some(Ok(more))) = last.next().now_or_never() {
        end = offset(stream, &more)?;
    }
    Ok((begin, end + 1))
}

/// There are messages, and the newest does not come.
fn silent(link: &Link, stream: &ShortString) -> Error {
    let message = format!("{} does not say where stream {stream} ends", link.config.server());
    Error::new(StatusCode::Unavailable, message).with_remedy("look whether the stream has a leader")
}

/// The first message stored at or after that time, milliseconds; `None`: there is none.
pub(super) async fn at_time(
    link: &Link,
    stream: &ShortString,
    time: i64,
    deadline: Instant,
) -> Result<Option<u64>> {
    link.retry(deadline, || at_time_once(link, stream, time, deadline)).await
}

async fn at_time_once(
    link: &Link,
    stream: &ShortString,
    time: i64,
    deadline: Instant,
) -> Result<Option<u64>> {
    let channel = link.channel(deadline).await?;
    let place = Place::Time((time.max(0) / 1000) as u64);
    let mut consumer = consume(link, &channel, stream, place, 200, "time", deadline).await?;
    let mut unacknowledged = 0;
    let found = loop {
        let Some(delivery) = next_or_silence(link, &channel, stream, &mut consumer, deadline).await? else {
            break None;
        };
        // The broker finds the second; within it what the sender says counts.
        if message::sent(&delivery.properties).is_none_or(|sent| sent >= time) {
            break Some(offset(stream, &delivery)?);
        }
        unacknowledged += 1;
        if unacknowledged >= 100 {
            unacknowledged = 0;
            let options = lapin::options::BasicAckOptions { multiple: true };
            link.call("reading a stream", deadline, delivery.acker.ack(options)).await?;
        }
    };
    layout::close(channel);
    Ok(found)
}

/// Begins to consume a stream there.
pub(super) async fn consume(
    link: &Link,
    channel: &Channel,
    stream: &ShortString,
    place: Place,
    prefetch: u16,
    tag: &'static str,
    deadline: Instant,
) -> Result<Consumer> {
    let what = format!("reading stream {stream}");
    link.call(&what, deadline, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let arguments = table([("x-stream-offset", place.argument())]);
    let consumed =
        channel.basic_consume(stream.clone(), tag.into(), BasicConsumeOptions::default(), arguments);
    link.call(&what, deadline, consumed).await
}

pub(super) fn offset(stream: &ShortString, delivery: &Delivery) -> Result<u64> {
    message::offset(&delivery.properties).ok_or_else(|| error::not_a_stream(stream.as_str()))
}

async fn next(
    link: &Link,
    stream: &ShortString,
    consumer: &mut Consumer,
    deadline: Instant,
) -> Result<Delivery> {
    let what = format!("reading stream {stream}");
    let next = timeout_at(deadline, consumer.next()).await.map_err(|_| link.late(&what))?;
    match next {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(error)) => Err(link.failed(&what, &error)),
        None => Err(gone(link, stream)),
    }
}

/// The broker took the consumer away.
pub(super) fn gone(link: &Link, stream: &ShortString) -> Error {
    let message = format!("{} ended reading queue {stream}", link.config.server());
    Error::new(StatusCode::Unavailable, message)
        .with_remedy("look whether the queue is still there, and has a leader")
}

async fn next_or_silence(
    link: &Link,
    channel: &Channel,
    stream: &ShortString,
    consumer: &mut Consumer,
    deadline: Instant,
) -> Result<Option<Delivery>> {
    for _ in 0..ANSWERS {
        match tokio::time::timeout(SILENCE / ANSWERS, next(link, stream, consumer, deadline)).await {
            Ok(delivery) => return delivery.map(Some),
            Err(_) => {
                let call = channel.basic_qos(200, BasicQosOptions::default());
                link.call(&format!("reading stream {stream}"), deadline, call).await?;
            }
        }
    }
    Ok(match consumer.next().now_or_never() {
        Some(Some(Ok(delivery))) => Some(delivery),
        _ => None,
    })
}
