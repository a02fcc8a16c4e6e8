//! Results, and the table that they are printed as (Markdown, for `docs/benchmarks.md`).

use std::time::Duration;

use super::measure::Usage;

/// One run of one workload.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub work: String,
    /// How many rows, lines or records arrived, counted where they arrived.
    pub records: u64,
    pub time: Duration,
    /// Of the process that did the work; none where that is not ours to measure.
    pub usage: Option<Usage>,
}

pub fn print(outcomes: &[Outcome]) -> String {
    let heading = ["Work", "Records", "Time", "Rate", "CPU per million", "Memory (peak)"].map(str::to_string);
    let rows: Vec<[String; 6]> = std::iter::once(heading).chain(outcomes.iter().map(cells)).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; 6]| {
        let padded = row.iter().enumerate().map(|(at, cell)| match at {
            0 => format!("{cell:<width$}", width = widths[at]),
            _ => format!("{cell:>width$}", width = widths[at]),
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule: [String; 6] = std::array::from_fn(|at| match at {
        0 => "-".repeat(widths[at]),
        _ => "-".repeat(widths[at] - 1) + ":",
    });
    let (heading, body) = (line(&rows[0]), rows[1..].iter().map(line).collect::<String>());
    heading + &line(&rule) + &body
}

fn cells(outcome: &Outcome) -> [String; 6] {
    let Outcome { work, records, time, usage } = outcome;
    let seconds = time.as_secs_f64().max(1e-9);
    let cpu = usage.map(|usage| format!("{:.2} s", usage.cpu.as_secs_f64() * 1e6 / (*records).max(1) as f64));
    let peak = usage.map(|usage| format!("{} MB", usage.peak / 1_000_000));
    let rate = (*records as f64 / seconds) as u64;
    [
        work.clone(),
        grouped(*records),
        format!("{seconds:.1} s"),
        format!("{}/s", grouped(rate)),
        cpu.unwrap_or_default(),
        peak.unwrap_or_default(),
    ]
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let usage = Usage { cpu: Duration::from_secs(1), peak: 52_400_000 };
        let outcome = |work: &str, usage| Outcome {
            work: work.into(),
            records: 2_000_000,
            time: Duration::from_secs(4),
            usage,
        };
        let text = print(&[outcome("drain", Some(usage)), outcome("a limit", None)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "| drain   | 2,000,000 | 4.0 s | 500,000/s |          0.50 s |         52 MB |");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
