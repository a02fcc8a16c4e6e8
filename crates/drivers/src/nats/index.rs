//! What a bucket holds, in the order of its keys, which the server does not have: read from it when something is listed, as
//! far as it has changed since, and kept in a file without a name. So a page costs what changed and what it holds, in little
//! memory, also in a store of a million keys.

use std::collections::VecDeque;
use std::sync::Arc;

use openmessaging::{Error, Page, Result, StatusCode};

use super::access_point::Handle;
use super::entries::{Entries, Event, From, closed};
use super::names::bucket_stream;
use crate::common::deadline::within;
use crate::store::scratch::Scratch;
use crate::store::table::StoreTable;

pub(super) struct Index {
    scratch: Scratch,
    table: Arc<StoreTable>,
    /// When the bucket was made that this is of.
    created: String,
    /// Everything up to this sequence is in.
    seen: u64,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(Error::new(StatusCode::ServerError, "work on the index of a store panicked")
            .with_remedy("look into the log"))
    })
}

impl Index {
    pub fn new() -> Result<Self> {
        let table = Arc::new(StoreTable::new("entries".to_owned()));
        Ok(Self { scratch: Scratch::new()?, table, created: String::new(), seen: 0 })
    }

    /// Reads what the bucket has that is newer, as of now: as long as that takes, but nothing may come for no longer than
    /// the timeout of calls. What was read counts also where this fails.
    pub async fn catch_up(&mut self, handle: &Handle, bucket: &str) -> Result<()> {
        let info = handle.js.info(&bucket_stream(bucket), handle.deadline()).await?;
        let (created, last) = info.map_or((String::new(), 0), |info| (info.created, info.state.last_seq));
        if created != self.created || last < self.seen {
            let (scratch, table) = (self.scratch.clone(), self.table.clone());
            blocking(move || scratch.write(|writing| table.clear(writing))).await?;
            (self.created, self.seen) = (created, 0);
        }
        if last <= self.seen {
            return Ok(());
        }
        let (server, what) = (&handle.config.server, format!("listing bucket {bucket}"));
        // Not only the newest entry of each key, which a server takes long to find among many: buckets keep little else.
        let entries = Entries::read(handle, bucket, From::Sequence(self.seen + 1))?;
        loop {
            let events = tokio::select! {
                () = handle.closed.cancelled() => return Err(closed(handle)),
                events = within(handle.config.timeout, server, &what, async { Ok(entries.next().await) }) => events?,
            };
            let (scratch, table) = (self.scratch.clone(), self.table.clone());
            let (seen, done) = blocking(move || take(&scratch, &table, events)).await?;
            self.seen = self.seen.max(seen);
            if done || self.seen >= last {
                // What has no message any more was seen too.
                self.seen = self.seen.max(last);
                return Ok(());
            }
        }
    }

    pub async fn list(&self, prefix: String, after: Option<String>, limit: usize) -> Result<Page> {
        let (scratch, table) = (self.scratch.clone(), self.table.clone());
        blocking(move || scratch.read(|reading| table.list(reading, &prefix, after.as_deref(), limit))).await
    }
}

/// Takes entries in. Gives the sequence of the last, and whether nothing was behind it.
fn take(scratch: &Scratch, table: &StoreTable, events: VecDeque<Event>) -> Result<(u64, bool)> {
    let (mut seen, mut done, mut failure) = (0, false, None);
    scratch.write(|writing| {
        for event in events {
            match event {
                Event::Begins(pending) => done = pending == 0,
                Event::Failed(error) => failure = Some(error),
                Event::Entry { key, sequence, value, pending } => {
                    if let Some(value) = value.filter(|_| !key.is_empty()) {
                        table.insert(writing, &key, &value, sequence)?;
                    } else if !key.is_empty() {
                        table.remove(writing, &key)?;
                    }
                    (seen, done) = (sequence, pending == 0);
                }
            }
        }
        Ok(())
    })?;
    failure.map_or(Ok((seen, done)), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_are_taken_in_and_listed_in_order() {
        let index = Index::new().expect("made");
        let entry = |key: &str, sequence, value: Option<&[u8]>, pending| Event::Entry {
            key: key.to_owned(),
            sequence,
            value: value.map(<[u8]>::to_vec),
            pending,
        };
        let events = [
            Event::Begins(3),
            entry("b", 1, Some(b"1"), 2),
            entry("a", 3, Some(b"3"), 1),
            entry("b", 5, None, 0),
        ];
        assert_eq!(take(&index.scratch, &index.table, events.into()).expect("taken"), (5, true));
        let page = index.list(String::new(), None, 10).await.expect("listed");
        assert_eq!(page.entries.iter().map(|e| (e.key.as_str(), e.version)).collect::<Vec<_>>(), [("a", 3)]);
        assert_eq!(take(&index.scratch, &index.table, [Event::Begins(0)].into()).expect("taken"), (0, true));
    }
}
