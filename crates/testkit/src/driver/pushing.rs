//! Push consumers: D30.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use openmessaging::{BatchListener, ConsumedBatch, Error, PushConsumer, QueuePartition, Result, StatusCode};

use super::DriverFixture;
use super::kit::{numbered, open, unique};

/// Collects texts, and fails at its second batch once.
struct Listener {
    seen: Arc<Mutex<Vec<String>>>,
    calls: usize,
}

#[async_trait]
impl BatchListener for Listener {
    async fn on_batch(&mut self, batch: ConsumedBatch) -> Result<()> {
        self.calls += 1;
        if self.calls == 2 {
            return Err(Error::new(StatusCode::ServerError, "the listener fails on request"));
        }
        let text = |body: Option<&[u8]>| String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
        self.seen.lock().expect("a lock").extend(batch.messages.iter().map(|message| text(message.body)));
        Ok(())
    }
}

/// D30: batches in order, again after an error, committed once they were taken.
pub async fn d30_listeners_get_batches_in_order<F: DriverFixture>(fixture: &mut F) {
    let point = open(fixture).await;
    let queue = point.queue("d30", 1).await;
    point.send_texts(&queue, numbered(30)).await;
    let place = QueuePartition::new(queue.clone(), 0);
    let mut consumer = point.consumer(&unique("group")).await;
    consumer.assign(&[(place.clone(), point.oldest())]).await.expect("assigned");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let commit = point.can.broker_positions;
    // One message a batch.
    let mut push = PushConsumer::new(consumer, Listener { seen: seen.clone(), calls: 0 }, 1, commit);
    let (mut failures, deadline) = (0, tokio::time::Instant::now() + fixture.patience());
    while seen.lock().expect("a lock").len() < 30 {
        assert!(tokio::time::Instant::now() < deadline, "the listener saw {seen:?}");
        match push.step(Duration::from_millis(200)).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.status, StatusCode::ServerError, "{error}");
                failures += 1;
            }
        }
    }
    assert_eq!(failures, 1);
    assert_eq!(*seen.lock().expect("a lock"), numbered(30));
    assert!(!push.step(Duration::from_millis(50)).await.expect("nothing more"));
    if commit && point.can.offsets {
        let end = push.consumer().position(&place);
        assert_eq!(push.consumer().committed(&place).await.expect("asked"), end);
    }
    push.consumer().close().await.expect("closed");
    point.delete(&queue).await;
    point.close().await;
}
