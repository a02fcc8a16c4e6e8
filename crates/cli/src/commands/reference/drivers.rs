//! The page of the drivers: what each can do, what its broker calls things, and its properties.

use std::fmt::Write;

use openmessaging::{Capabilities, Delivery, Driver, Terms};

use crate::plugins;

/// A row of a table of drivers: its title, and what it says of one.
type Row<T> = (&'static str, fn(&T) -> String);

const CAPABILITIES: [Row<Capabilities>; 12] = [
    ("a send repeated after a lost answer is stored", |can| match can.delivery {
        Delivery::AtLeastOnce => "again".to_owned(),
        Delivery::Idempotent => "once".to_owned(),
    }),
    ("several partitions (`partitions`)", |can| yes(can.partitions)),
    ("offsets that can be sought (`offsets`)", |can| yes(can.offsets)),
    ("start at a time (`seek_by_timestamp`)", |can| yes(can.seek_by_timestamp)),
    ("positions of consumer groups (`broker_positions`)", |can| yes(can.broker_positions)),
    ("nothing is stored behind a failed send (`ordered_failures`)", |can| yes(can.ordered_failures)),
    ("null and empty bodies differ (`null_bodies`)", |can| yes(can.null_bodies)),
    ("header values of any bytes (`binary_headers`)", |can| yes(can.binary_headers)),
    ("retention by time and size for each queue (`retention`)", |can| yes(can.retention)),
    ("transactions over several batches (`transactions`)", |can| yes(can.transactions)),
    ("used by several processes at once (`shared`)", |can| yes(can.shared)),
    ("largest message by default (`max_message_bytes`)", |can| match can.max_message_bytes {
        Some(bytes) if bytes % (1024 * 1024) == 0 => format!("{} MiB", bytes / (1024 * 1024)),
        Some(bytes) => format!("{bytes} bytes"),
        None => "the broker's".to_owned(),
    }),
];

const TERMS: [Row<Terms>; 10] = [
    ("broker", |terms| terms.broker.to_owned()),
    ("tested with", |terms| terms.versions.to_owned()),
    ("port where the URL names none", |terms| match terms.default_port {
        0 => "none".to_owned(),
        port => port.to_string(),
    }),
    ("queue", |terms| terms.queue.to_owned()),
    ("partition", |terms| terms.partition.to_owned()),
    ("region", |terms| terms.region.to_owned()),
    ("namespace", |terms| terms.namespace.to_owned()),
    ("positions of groups", |terms| terms.positions.to_owned()),
    ("key/value stores", |terms| terms.stores.to_owned()),
    ("acknowledged means", |terms| terms.durable.to_owned()),
];

fn yes(can: bool) -> String {
    if can { "yes" } else { "no" }.to_owned()
}

pub fn page() -> String {
    let registry = plugins::drivers();
    let drivers: Vec<&dyn Driver> = registry.drivers().iter().map(|driver| &**driver).collect();
    let mut out = String::from(
        "# Drivers\n\n<!-- Made from each driver's capabilities, terms and settings by `cargo run -- reference drivers`. -->\n\n\
         A driver is chosen by the access point URL, `oms:<driver>://[user@]host[:port][,host[:port]...]/<region>[:<namespace>]`. \
         A region or namespace that is empty or `default` adds nothing: queues keep their plain names. A connector runs on \
         each of them with nothing changed but the URL.\n\n\
         ## What each can do\n\nWhat each driver promises is in [../specs/driver.md](../specs/driver.md); where a line below \
         says no, the runtime does without it.\n\n",
    );
    table(&mut out, &drivers, &CAPABILITIES, |driver| driver.capabilities());
    out.push_str("\n## What the words of this project are at each broker\n\n");
    table(&mut out, &drivers, &TERMS, |driver| driver.terms());
    out.push_str(
        "\n## Properties\n\nIn the worker's configuration they stand behind `driver.` (`driver.password=${env:PASSWORD}`), in a \
         connector's as well (`\"driver.tls\": \"true\"`, with its own `oms-driver-url`), on the command line behind \
         `--driver-property`. A connector that uses the same driver as the worker has the worker's properties where it does \
         not say. Secret ones are never shown; give them as references, `${env:NAME}` or `${file:PATH:KEY}`.\n",
    );
    for driver in drivers {
        let _ =
            write!(out, "\n### {}\n\n| Property | Default | What it is |\n|---|---|---|\n", driver.name());
        for setting in driver.settings() {
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let secret = if setting.secret { " Secret." } else { "" };
            let doc = format!("{}{secret}", setting.documentation).replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {default} | {doc} |", setting.name);
        }
    }
    out
}

fn table<T>(out: &mut String, drivers: &[&dyn Driver], rows: &[Row<T>], of: fn(&dyn Driver) -> T) {
    let names: Vec<&str> = drivers.iter().map(|driver| driver.name()).collect();
    let _ = writeln!(out, "| | {} |\n|---{}|", names.join(" | "), "|---".repeat(names.len()));
    let values: Vec<T> = drivers.iter().map(|driver| of(*driver)).collect();
    for (title, cell) in rows {
        let cells: Vec<String> = values.iter().map(|value| cell(value).replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {title} | {} |", cells.join(" | "));
    }
}
