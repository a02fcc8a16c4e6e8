//! What a connection does while it is up, and what is done until it is again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use openmessaging::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Inner;
use super::Outgoing;
use crate::lock;
use crate::nats::dial::{Dialled, dial};
use crate::nats::error::unavailable;
use crate::nats::wire::{self, Frame, Op, Parsed};

/// A server that says nothing for so long is asked; after twice that the connection is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// How long one attempt to connect again may take.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How long to wait between attempts, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

const READ_BYTES: usize = 256 * 1024;

/// A buffer that grew larger for a large message is given back.
const KEEP_BYTES: usize = 1024 * 1024;

/// Until the link is closed.
pub(super) async fn run(inner: Arc<Inner>, first: Dialled) {
    let mut next = Some(first);
    while let Some(dialled) = next {
        let why = tokio::select! {
            () = inner.closed.cancelled() => break,
            why = serve(&inner, dialled) => why,
        };
        inner.end(why);
        next = tokio::select! {
            () = inner.closed.cancelled() => None,
            dialled = connect_again(&inner) => Some(dialled),
        };
        if let Some(dialled) = &next {
            inner.begin(&dialled.info);
        }
    }
    inner.up.send_replace(0);
    *lock(&inner.outgoing) = Outgoing::default();
    let mut state = lock(&inner.state);
    state.subscriptions.clear();
    state.pending.clear();
    drop(state);
    inner.health.gone(inner.id);
}

async fn connect_again(inner: &Inner) -> Dialled {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        match dial(&inner.config, &inner.endpoints(), ATTEMPT).await {
            Ok(dialled) => return dialled,
            Err(error) => {
                inner.health.failed(inner.id, &error);
                lock(&inner.state).why = Some(error);
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Works until the connection ends, and says why.
async fn serve(inner: &Inner, dialled: Dialled) -> Error {
    // What was meant for the connection before is not for this one.
    let _ = inner.reset.notified().now_or_never();
    let (reader, writer) = tokio::io::split(dialled.stream);
    inner.heard.store(true, Ordering::Relaxed);
    tokio::select! {
        why = read(inner, reader, dialled.buffer) => why,
        why = write(inner, writer) => why,
        why = listen(inner) => why,
        () = inner.reset.notified() => unavailable(&inner.config.server, &"the connection was given up after a timeout"),
    }
}

/// Ends when the server says nothing.
async fn listen(inner: &Inner) -> Error {
    loop {
        tokio::time::sleep(SILENCE).await;
        if inner.heard.swap(false, Ordering::Relaxed) {
            continue;
        }
        inner.ping();
        tokio::time::sleep(SILENCE).await;
        if !inner.heard.swap(false, Ordering::Relaxed) {
            let why = format!("it said nothing for {} s", (SILENCE * 2).as_secs());
            return unavailable(&inner.config.server, &why);
        }
    }
}

async fn write(inner: &Inner, mut stream: impl AsyncWrite + Unpin) -> Error {
    let mut bytes = Vec::new();
    loop {
        std::mem::swap(&mut bytes, &mut lock(&inner.outgoing).bytes);
        if bytes.is_empty() {
            inner.written.notified().await;
            continue;
        }
        let written = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if let Err(error) = written.await {
            return unavailable(&inner.config.server, &error);
        }
        bytes.clear();
        bytes.shrink_to(KEEP_BYTES);
    }
}

async fn read(inner: &Inner, mut stream: impl AsyncRead + Unpin, mut buffer: Vec<u8>) -> Error {
    let server = &inner.config.server;
    let mut frames: Vec<Frame> = Vec::new();
    loop {
        let (mut at, mut needs) = (0, READ_BYTES);
        loop {
            match wire::parse(&buffer, at) {
                Ok(Parsed::Needs(bytes)) => {
                    needs = needs.max(bytes);
                    break;
                }
                Ok(Parsed::Op(Op::Message(frame), next)) => {
                    if frames.first().is_some_and(|first| first.subscription != frame.subscription) {
                        inner.deliver(&buffer, &frames);
                        frames.clear();
                    }
                    frames.push(frame);
                    at = next;
                }
                Ok(Parsed::Op(op, next)) => {
                    at = next;
                    if let Some(error) = inner.told(&buffer, op) {
                        return error;
                    }
                }
                Err(error) => return unavailable(server, &error),
            }
        }
        inner.deliver(&buffer, &frames);
        frames.clear();
        buffer.drain(..at);
        if buffer.capacity() > KEEP_BYTES && needs <= READ_BYTES {
            buffer.shrink_to(READ_BYTES);
        }
        buffer.reserve(needs.saturating_sub(buffer.len()));
        match stream.read_buf(&mut buffer).await {
            Ok(0) => return unavailable(server, &"it ended the connection"),
            Ok(_) => inner.heard.store(true, Ordering::Relaxed),
            Err(error) => return unavailable(server, &error),
        }
    }
}
