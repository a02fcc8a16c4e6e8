//! Counts what was written at one end against what arrived at the other.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// One change of a test: the `number` grows with every change of the same `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    pub key: u32,
    pub number: u64,
}

impl Event {
    pub fn new(key: u32, number: u64) -> Self {
        Self { key, number }
    }

    /// `count` events from `first` on, spread over `keys` keys; numbers are dense over all of them.
    pub fn series(first: u64, count: u64, keys: u32) -> Vec<Event> {
        (first..first + count)
            .map(|number| Event::new((number % u64::from(keys.max(1))) as u32, number))
            .collect()
    }
}

/// `key-number`, which [`FromStr`] reads back.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.key, self.number)
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no event");
        let (key, number) = text.split_once('-').ok_or_else(wrong)?;
        Ok(Self { key: key.parse().map_err(|_| wrong())?, number: number.parse().map_err(|_| wrong())? })
    }
}

/// What was written, what arrived.
#[derive(Debug, Default, Clone)]
pub struct Ledger {
    written: Vec<Event>,
    arrived: Vec<Event>,
}

/// What a [`Ledger`] comes to. `Default` is the perfect one of nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub written: usize,
    pub arrived: usize,
    /// Written and never arrived.
    pub lost: Vec<Event>,
    /// Arrivals of what had arrived before.
    pub duplicates: usize,
    /// First arrivals behind a later change of the same key.
    pub inversions: Vec<Event>,
    /// Arrived and never written.
    pub strangers: Vec<Event>,
}

impl Ledger {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn written(&mut self, events: impl IntoIterator<Item = Event>) {
        self.written.extend(events);
    }

    pub fn arrived(&mut self, events: impl IntoIterator<Item = Event>) {
        self.arrived.extend(events);
    }

    pub fn report(&self) -> Report {
        let mut seen: HashMap<Event, usize> = self.written.iter().map(|event| (*event, 0)).collect();
        let mut newest: HashMap<u32, u64> = HashMap::new();
        let mut report = Report { written: seen.len(), arrived: self.arrived.len(), ..Report::default() };
        for event in &self.arrived {
            let Some(times) = seen.get_mut(event) else {
                report.strangers.push(*event);
                continue;
            };
            *times += 1;
            if *times > 1 {
                report.duplicates += 1;
                continue;
            }
            let newest = newest.entry(event.key).or_insert(event.number);
            if event.number < *newest {
                report.inversions.push(*event);
            }
            *newest = event.number.max(*newest);
        }
        report.lost = self.written.iter().filter(|event| seen.get(*event) == Some(&0)).copied().collect();
        report
    }
}

impl Report {
    /// Nothing lost, nothing invented, order kept by key; repeats allowed.
    #[track_caller]
    pub fn assert_at_least_once(&self) {
        assert!(
            self.lost.is_empty() && self.inversions.is_empty() && self.strangers.is_empty(),
            "at least once, in order by key: {self}"
        );
    }

    /// As [`assert_at_least_once`](Self::assert_at_least_once), and nothing twice.
    #[track_caller]
    pub fn assert_exactly_once(&self) {
        self.assert_at_least_once();
        assert_eq!(self.duplicates, 0, "exactly once: {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first =
            |events: &[Event]| events.iter().take(5).map(Event::to_string).collect::<Vec<_>>().join(" ");
        write!(f, "written {}, arrived {}, duplicates {}", self.written, self.arrived, self.duplicates)?;
        write!(f, ", lost {} ({})", self.lost.len(), first(&self.lost))?;
        write!(f, ", out of order {} ({})", self.inversions.len(), first(&self.inversions))?;
        write!(f, ", never written {} ({})", self.strangers.len(), first(&self.strangers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_kind_of_wrong() {
        let mut ledger = Ledger::new();
        ledger.written(Event::series(0, 6, 2));
        let events = ["0-0", "0-4", "0-2", "0-2", "1-1", "7-7"].map(|text| text.parse().expect("an event"));
        ledger.arrived(events);
        let report = ledger.report();
        assert_eq!(report.lost, [Event::new(1, 3), Event::new(1, 5)]);
        assert_eq!(report.duplicates, 1);
        assert_eq!(report.inversions, [Event::new(0, 2)]);
        assert_eq!(report.strangers, [Event::new(7, 7)]);
    }
}
