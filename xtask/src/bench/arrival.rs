//! Waiting until everything has arrived, counted at the queue.

use std::time::{Duration, Instant};

use super::rest::Rest;
use crate::Result;

/// A source that brings nothing for so long has stopped, whatever it says.
const STALLED: Duration = Duration::from_secs(60);

/// How often the queue is asked. Each question costs the worker about a tenth of a millisecond.
const PAUSE: Duration = Duration::from_millis(20);

/// Returns at the moment when the queue has that many messages.
///
/// # Errors
/// The connector fails, nothing arrives for a minute, or more arrives than there is: then the figures would be of
/// something else.
pub fn wait_for(records: u64, queue: &str, rest: &Rest, connector: &str) -> Result<()> {
    let mut watch = Watch::new(Instant::now());
    loop {
        let count = rest.count(queue)?;
        match watch.see(count, records, Instant::now()) {
            Seen::All => return Ok(()),
            Seen::Stalled => {
                return Err(format!("{queue} has {count} messages of {records}, and none came for a minute"));
            }
            Seen::TooMany => return Err(too_many(queue, count, records)),
            Seen::Some => {}
        }
        if watch.is_time_to_ask(Instant::now())
            && let Some(trace) = rest.failure(connector)?
        {
            return Err(format!("connector {connector} failed after {count} of {records} records: {trace}"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Looks again a moment later: a record that arrives twice would come then.
pub fn check_no_more(records: u64, queue: &str, rest: &Rest) -> Result<()> {
    std::thread::sleep(Duration::from_millis(500));
    match rest.count(queue)? {
        count if count == records => Ok(()),
        count => Err(too_many(queue, count, records)),
    }
}

fn too_many(queue: &str, count: u64, records: u64) -> String {
    format!("{queue} has {count} messages, and there are only {records} records to send")
}

#[derive(Debug, PartialEq)]
enum Seen {
    Some,
    All,
    TooMany,
    Stalled,
}

/// What the counts so far say.
struct Watch {
    last: u64,
    moved: Instant,
    asked: Instant,
}

impl Watch {
    fn new(now: Instant) -> Watch {
        Watch { last: 0, moved: now, asked: now }
    }

    fn see(&mut self, count: u64, wanted: u64, now: Instant) -> Seen {
        if count != self.last {
            (self.last, self.moved) = (count, now);
        }
        match count.cmp(&wanted) {
            std::cmp::Ordering::Equal => Seen::All,
            std::cmp::Ordering::Greater => Seen::TooMany,
            std::cmp::Ordering::Less if now.duration_since(self.moved) > STALLED => Seen::Stalled,
            std::cmp::Ordering::Less => Seen::Some,
        }
    }

    /// The connector's state is asked for every second.
    fn is_time_to_ask(&mut self, now: Instant) -> bool {
        let due = now.duration_since(self.asked) >= Duration::from_secs(1);
        if due {
            self.asked = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_judged() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut watch = Watch::new(begin);
        assert_eq!(watch.see(0, 10, at(59)), Seen::Some);
        assert_eq!(watch.see(3, 10, at(60)), Seen::Some);
        assert_eq!(watch.see(3, 10, at(119)), Seen::Some);
        assert_eq!(watch.see(3, 10, at(121)), Seen::Stalled);
        assert_eq!(watch.see(10, 10, at(121)), Seen::All);
        assert_eq!(watch.see(11, 10, at(121)), Seen::TooMany);
    }

    #[test]
    fn the_connector_is_asked_every_second() {
        let begin = Instant::now();
        let mut watch = Watch::new(begin);
        let asked =
            [100, 1_000, 1_500, 2_000].map(|at| watch.is_time_to_ask(begin + Duration::from_millis(at)));
        assert_eq!(asked, [false, true, false, true]);
    }
}
