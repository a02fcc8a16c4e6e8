//! Watching for messages, and for the Enter key.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::broker::{Broker, Messages, Wanted, is_missing};
use crate::client::Worker;
use crate::failure::Result;
use crate::message::Shown;

/// How often a queue that is not there yet is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Messages of all these queues from now on, also of those that do not exist yet.
///
/// # Errors
/// The worker cannot be asked. Later errors come in the channel.
pub async fn queues(worker: &Worker, names: &[&str]) -> Result<mpsc::Receiver<Result<Shown>>> {
    let (send, receive) = mpsc::channel(16);
    for name in names {
        let broker = Broker::Worker(worker.clone());
        let opened = open(&broker, name, false).await?;
        tokio::spawn(watch(broker, (*name).to_owned(), opened, send.clone()));
    }
    Ok(receive)
}

async fn watch(broker: Broker, name: String, opened: Option<Messages>, send: mpsc::Sender<Result<Shown>>) {
    if let Err(failure) = forward(&broker, &name, opened, &send).await {
        let _ = send.send(Err(failure)).await;
    }
}

async fn forward(
    broker: &Broker,
    name: &str,
    mut opened: Option<Messages>,
    send: &mpsc::Sender<Result<Shown>>,
) -> Result<()> {
    let mut messages = loop {
        match opened.take() {
            Some(messages) => break messages,
            None => tokio::time::sleep(LOOK).await,
        }
        // It was made since: nothing in it is old.
        opened = open(broker, name, true).await?;
    };
    while let Some(lines) = messages.next().await? {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if send.send(Shown::read(line)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// `None` where there is no such queue.
async fn open(broker: &Broker, name: &str, from_begin: bool) -> Result<Option<Messages>> {
    let wanted = Wanted { from_begin, partition: None, limit: None, timeout: None };
    match broker.tap(name, wanted).await {
        Ok(messages) => Ok(Some(messages)),
        Err(failure) if is_missing(&failure) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Each time Enter is pressed; ends with standard input. A thread of its own, which nothing waits for in the end.
pub fn enter() -> mpsc::Receiver<()> {
    let (send, receive) = mpsc::channel(1);
    let wait = move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || send.blocking_send(()).is_err() {
                return;
            }
        }
    };
    // Without the thread Enter does nothing, and all else works.
    let _ = std::thread::Builder::new().name("oms-stdin".to_owned()).spawn(wait);
    receive
}
