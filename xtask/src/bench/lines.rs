//! A file of lines into the embedded queue.

use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::random::Random;
use super::source::{self, Source, Targets};
use super::{Context, Outcome, Workload};
use crate::Result;
use crate::services::files;

pub struct Lines;

const LINES: u64 = 5_000_000;
/// Without its end.
const LENGTH: usize = 97;

impl Workload for Lines {
    fn name(&self) -> &'static str {
        "file"
    }

    fn about(&self) -> &'static str {
        "a file of 5,000,000 lines of 97 bytes -> the embedded queue"
    }

    fn run(&self, context: &Context) -> Result<Outcome> {
        // Beside the worker's own folder, which is emptied at its start.
        let folder = context.folder.join("file-lines");
        files::make_folder(&folder)?;
        let file = folder.join("lines.log");
        write(&file).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        let config = json!({
            "connector.class": "FileStreamSource",
            "file": file.display().to_string(),
            "topic": "lines",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        });
        let source =
            Source { name: self.name(), config: &config, queue: "lines", records: LINES, broker: None };
        let targets = Targets { rate: Some(1_000_000.0), cpu: None, peak: Some(100e6) };
        let outcome = source::measure(context, &source, &targets, "file of 97-byte lines");
        files::remove_folder(&folder)?;
        outcome
    }
}

/// On disk before the clock starts, so that writing it back is not measured.
fn write(file: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(file)?);
    let mut random = Random::new(1);
    let mut text = String::with_capacity(LENGTH + 1);
    for number in 0..LINES {
        line(&mut text, number, &mut random);
        out.write_all(text.as_bytes())?;
    }
    out.into_inner()?.sync_all()
}

/// As a server logs its requests.
fn line(text: &mut String, number: u64, random: &mut Random) {
    use std::fmt::Write;
    text.clear();
    let (customer, took) = (random.below(200_000), random.below(5_000));
    let path = random.one_of(&["cart", "order", "search", "login", "picture"]);
    let request = random.next();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{number:010} INFO shop.web customer={customer} path=/{path} took={took}us id={request:016x} "
    );
    while text.len() < LENGTH {
        text.push((b'a' + random.below(26) as u8) as char);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_the_same_length() {
        let mut random = Random::new(1);
        let mut text = String::new();
        for number in [0, 4_999_999] {
            for _ in 0..1_000 {
                line(&mut text, number, &mut random);
                assert_eq!((text.len(), text.lines().count()), (LENGTH + 1, 1), "{text}");
            }
        }
    }
}
