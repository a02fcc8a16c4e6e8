//! Results, and the tables that they are printed as (Markdown, for `docs/benchmarks.md`).

use serde::Serialize;

use super::figure::{CPU, Figure, Metric, PEAK, RATE};

/// One run of one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub workload: &'static str,
    pub work: String,
    pub figures: Vec<Figure>,
}

impl Outcome {
    fn figure(&self, metric: Metric) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.metric == metric)
    }

    /// The names of the figures that miss their targets.
    fn missed(&self) -> Vec<&'static str> {
        let missed = self.figures.iter().filter(|figure| figure.reached() == Some(false));
        missed.map(|figure| figure.metric.name).collect()
    }

    fn has_targets(&self) -> bool {
        self.figures.iter().any(|figure| figure.target.is_some())
    }
}

/// The metrics that have columns of their own.
const COLUMNS: [Metric; 3] = [RATE, CPU, PEAK];

/// A row for every run.
pub fn print(outcomes: &[Outcome]) -> String {
    let heading = ["Work", "Rate", "CPU per million", "Memory (peak)", "Also", "Target", "Reached"];
    markdown(&heading.map(str::to_string), &outcomes.iter().map(cells).collect::<Vec<_>>())
}

fn cells(outcome: &Outcome) -> [String; 7] {
    let column = |metric| outcome.figure(metric).map(Figure::shown).unwrap_or_default();
    let also = outcome.figures.iter().filter(|figure| !COLUMNS.contains(&figure.metric));
    let also: Vec<String> = also.map(|figure| format!("{} {}", figure.metric.name, figure.shown())).collect();
    let targets: Vec<String> = outcome.figures.iter().filter_map(target).collect();
    let missed = outcome.missed();
    let reached = match missed.is_empty() {
        _ if !outcome.has_targets() => String::new(),
        true => "yes".into(),
        false => format!("no: {}", missed.join(", ")),
    };
    [
        outcome.work.clone(),
        column(RATE),
        column(CPU),
        column(PEAK),
        also.join(", "),
        targets.join(", "),
        reached,
    ]
}

/// Named where no column says what it is.
fn target(figure: &Figure) -> Option<String> {
    let target = figure.target_shown()?;
    Some(match COLUMNS.contains(&figure.metric) {
        true => target,
        false => format!("{} {target}", figure.metric.name),
    })
}

/// How far the runs of one workload lie apart: what is smaller than this is no difference.
pub fn print_spread(outcomes: &[Outcome]) -> String {
    let mut rows: Vec<[String; 6]> = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (workload, figure) in
        outcomes.iter().flat_map(|outcome| outcome.figures.iter().map(move |f| (outcome, f)))
    {
        if seen.contains(&(workload.workload, figure.metric.name)) {
            continue;
        }
        seen.push((workload.workload, figure.metric.name));
        let same = outcomes.iter().filter(|outcome| outcome.workload == workload.workload);
        let values: Vec<f64> =
            same.filter_map(|outcome| Some(outcome.figure(figure.metric)?.value)).collect();
        let show = |value: f64| figure.metric.unit.show(value);
        let Spread { lowest, median, highest } = spread(values);
        let apart = format!("{:.0} %", 100.0 * (highest - lowest) / median.max(f64::MIN_POSITIVE));
        let metric = figure.metric.name.to_string();
        rows.push([workload.work.clone(), metric, show(lowest), show(median), show(highest), apart]);
    }
    let heading = ["Work", "Figure", "Lowest", "Median", "Highest", "Apart"];
    markdown(&heading.map(str::to_string), &rows)
}

struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let (half, last) = (values.len() / 2, values.len().saturating_sub(1));
    let median =
        if values.len().is_multiple_of(2) { (at(half.saturating_sub(1)) + at(half)) / 2.0 } else { at(half) };
    Spread { lowest: at(0), median, highest: at(last) }
}

fn markdown<const N: usize>(heading: &[String; N], body: &[[String; N]]) -> String {
    let all = || std::iter::once(heading).chain(body);
    let widths: [usize; N] =
        std::array::from_fn(|at| all().map(|row| row[at].chars().count()).max().unwrap_or(0).max(3));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = std::array::from_fn(|at| "-".repeat(widths[at]));
    line(heading) + &line(&rule) + &body.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::super::figure::{Target, Unit};
    use super::*;

    fn outcome(workload: &'static str, rate: f64) -> Outcome {
        let other = Metric { name: "p99", unit: Unit::Milliseconds };
        let figures = vec![
            Figure::new(RATE, rate, Some(Target::at_least(250_000.0))),
            Figure::new(CPU, 0.5, None),
            Figure::new(other, 2.0, Some(Target::below(10.0))),
        ];
        Outcome { workload, work: workload.into(), figures }
    }

    #[test]
    fn a_row_says_what_was_reached() {
        let text = print(&[outcome("drain", 500_000.0), outcome("late", 1_000.0)]);
        let lines: Vec<&str> = text.lines().collect();
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>();
        assert_eq!(
            cells(lines[2]),
            ["", "drain", "500,000/s", "0.50 s", "", "p99 2 ms", ">= 250,000/s, p99 < 10 ms", "yes", ""]
        );
        assert_eq!(cells(lines[3])[7], "no: rate");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
    }

    #[test]
    fn what_has_no_target_is_not_judged() {
        let limit = Outcome { figures: vec![Figure::new(RATE, 1.0, None)], ..outcome("limit", 0.0) };
        assert!(print(&[limit]).trim_end().ends_with("|        |         |"));
    }

    #[test]
    fn runs_are_compared() {
        let text = print_spread(&[outcome("drain", 90.0), outcome("idle", 1.0), outcome("drain", 110.0)]);
        let line = text.lines().nth(2).expect("a row");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells[1..7], ["drain", "rate", "90/s", "100/s", "110/s", "20 %"]);
        assert_eq!(text.lines().count(), 2 + 3 + 3);
        let Spread { lowest, median, highest } = spread(vec![3.0, 1.0, 2.0]);
        assert_eq!([lowest, median, highest], [1.0, 2.0, 3.0]);
    }
}
