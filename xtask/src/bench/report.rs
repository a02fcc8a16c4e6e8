//! What is printed at the end, and written for other programs.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::context::Context;
use super::table::{self, Outcome};
use super::{binary, machine};
use crate::services::files;
use crate::{Result, run};

#[derive(Serialize)]
pub struct Report {
    machine: String,
    /// Of the end of the runs, in UTC.
    date: String,
    versions: Vec<String>,
    outcomes: Vec<Outcome>,
}

impl Report {
    pub fn new(context: &Context, outcomes: Vec<Outcome>) -> Report {
        let said = |program: &str, argument: &str| run::output(Command::new(program).arg(argument)).ok();
        let omsconnect = match context.is_given_binary() {
            true => "a given omsconnect".to_string(),
            false => format!("omsconnect {}", binary::revision()),
        };
        let mut versions = vec![omsconnect];
        versions.extend(said("rustc", "--version").map(|text| text.trim().to_string()));
        versions.extend(context.used_database().map(|database| format!("MariaDB {}", database.version())));
        let date = run::output(Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M"])).unwrap_or_default();
        Report { machine: machine::describe(), date: date.trim().into(), versions, outcomes }
    }

    pub fn text(&self) -> String {
        let Report { machine, date, versions, outcomes } = self;
        let mut text = format!("{machine}; {date}; {}\n\n{}", versions.join(", "), table::print(outcomes));
        let mut seen = Vec::new();
        let repeated = outcomes.iter().any(|outcome| {
            let again = seen.contains(&outcome.workload);
            seen.push(outcome.workload);
            again
        });
        if repeated {
            text += &format!("\nHow far runs of the same lie apart:\n\n{}", table::print_spread(outcomes));
        }
        text
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        files::write(file, &(text + "\n"))
    }
}

/// A line for one run, while others are still to come.
pub fn one(outcome: &Outcome) -> String {
    let figures = outcome.figures.iter().map(|figure| format!("{} {}", figure.metric.name, figure.shown()));
    format!("  {}: {}", outcome.work, figures.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::figure::{Figure, RATE, Target};
    use super::*;

    fn report(runs: usize) -> Report {
        let figures = vec![Figure::new(RATE, 5.0, Some(Target::at_least(4.0)))];
        let outcome = Outcome { workload: "drain", work: "binlog drain".into(), figures };
        Report {
            machine: "M".into(),
            date: "D".into(),
            versions: vec!["V".into()],
            outcomes: vec![outcome; runs],
        }
    }

    #[test]
    fn the_machine_stands_on_top_and_the_spread_below_where_there_is_one() {
        assert!(report(1).text().starts_with("M; D; V\n\n| Work"));
        assert!(!report(1).text().contains("apart"));
        assert!(report(2).text().contains("apart"));
        assert_eq!(one(&report(1).outcomes[0]), "  binlog drain: rate 5/s");
    }

    #[test]
    fn json_has_names_units_values_and_targets() {
        let json = serde_json::to_value(report(1)).expect("JSON");
        let figure = &json["outcomes"][0]["figures"][0];
        assert_eq!(figure["name"], "rate");
        assert_eq!(figure["unit"], "per_second");
        assert_eq!(figure["value"], 5.0);
        assert_eq!(figure["target"]["at_least"], 4.0);
    }
}
