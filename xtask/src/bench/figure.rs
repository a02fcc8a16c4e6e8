//! One measured value: what it is, in which unit, and what it should be.

use serde::Serialize;

use super::text::grouped;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Metric {
    pub name: &'static str,
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    PerSecond,
    Seconds,
    Milliseconds,
    Bytes,
    Percent,
}

pub const RATE: Metric = Metric { name: "rate", unit: Unit::PerSecond };
/// CPU time of the process, user and system, for a million records.
pub const CPU: Metric = Metric { name: "CPU per million", unit: Unit::Seconds };
pub const PEAK: Metric = Metric { name: "peak memory", unit: Unit::Bytes };

/// What it should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    #[serde(flatten)]
    pub metric: Metric,
    pub value: f64,
    pub target: Option<Target>,
}

impl Figure {
    pub fn new(metric: Metric, value: f64, target: Option<Target>) -> Figure {
        Figure { metric, value, target }
    }

    /// Nothing where there is no target.
    pub fn reached(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(limit) => self.value >= limit,
            Target::AtMost(limit) => self.value <= limit,
            Target::Below(limit) => self.value < limit,
        })
    }

    pub fn shown(&self) -> String {
        self.metric.unit.show(self.value)
    }

    /// `>= 250,000/s`
    pub fn target_shown(&self) -> Option<String> {
        self.target.map(|target| match target {
            Target::AtLeast(limit) => format!(">= {}", self.metric.unit.show(limit)),
            Target::AtMost(limit) => format!("<= {}", self.metric.unit.show(limit)),
            Target::Below(limit) => format!("< {}", self.metric.unit.show(limit)),
        })
    }
}

impl Target {
    pub fn at_least(limit: f64) -> Target {
        Target::AtLeast(limit)
    }

    pub fn at_most(limit: f64) -> Target {
        Target::AtMost(limit)
    }

    pub fn below(limit: f64) -> Target {
        Target::Below(limit)
    }
}

impl Unit {
    /// As many digits as mean something.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::PerSecond => format!("{}/s", grouped(value as u64)),
            Unit::Seconds if value < 10.0 && value.fract() != 0.0 => format!("{value:.2} s"),
            Unit::Seconds => format!("{value:.0} s"),
            Unit::Milliseconds if value < 10.0 && value.fract() != 0.0 => format!("{value:.1} ms"),
            Unit::Milliseconds => format!("{value:.0} ms"),
            Unit::Bytes => format!("{:.0} MB", value / 1e6),
            Unit::Percent => format!("{value:.1} %"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_with_their_units() {
        assert_eq!(Unit::PerSecond.show(1_234_567.8), "1,234,567/s");
        assert_eq!(Unit::Seconds.show(0.456), "0.46 s");
        assert_eq!(Unit::Seconds.show(3.0), "3 s");
        assert_eq!(Unit::Seconds.show(36.4), "36 s");
        assert_eq!(Unit::Milliseconds.show(2.34), "2.3 ms");
        assert_eq!(Unit::Milliseconds.show(100.0), "100 ms");
        assert_eq!(Unit::Bytes.show(52_400_000.0), "52 MB");
        assert_eq!(Unit::Percent.show(0.25), "0.2 %");
    }

    #[test]
    fn targets_are_reached_or_not() {
        let rate = |value| Figure::new(RATE, value, Some(Target::at_least(250_000.0)));
        assert_eq!(rate(250_000.0).reached(), Some(true));
        assert_eq!(rate(249_999.0).reached(), Some(false));
        assert_eq!(rate(1.0).target_shown().as_deref(), Some(">= 250,000/s"));
        assert_eq!(Figure::new(CPU, 3.0, Some(Target::at_most(3.0))).reached(), Some(true));
        assert_eq!(Figure::new(PEAK, 100e6, Some(Target::below(100e6))).reached(), Some(false));
        assert_eq!(Figure::new(PEAK, 1.0, None).reached(), None);
    }
}
