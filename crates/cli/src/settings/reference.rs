//! `docs/reference/worker-config.md`, from the table.

use std::fmt::Write;

use super::key::{Default, Key};
use super::table::{KEYS, PREFIXES};

const HEAD: &str = "\
# Settings of a worker

<!-- Made from the table in crates/cli/src/settings/table.rs by `cargo run -- reference worker-config`. -->

`omsconnect worker -c FILE` reads a Java properties file, as the original runtime did. Every key can also be given as a
flag and as an environment variable. For each key alone, the first of these counts:

1. the flag (`--http-port 8082`, or `--set httpPort=8082`),
2. the environment variable (`OMSCONNECT_HTTP_PORT=8082`),
3. the file (`httpPort=8082`; the last one, where a key is there twice),
4. the default.

The file is UTF-8. A key that is not known is an error (`config.unknown_key`) that names the nearest known one; an
environment variable that starts with `OMSCONNECT_` and is not known is a warning in the log. Values may refer to
secrets: `${env:NAME}` is an environment variable and `${file:PATH:KEY}` a line `KEY=VALUE` of another file. The file's
own name can be given as `OMSCONNECT_CONFIG_FILE`.
";

pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    let mut group = "";
    for key in KEYS {
        if key.group != group {
            group = key.group;
            let _ = write!(
                out,
                "\n## {group}\n\n| Key | Flag | Environment | Default | What it is |\n|---|---|---|---|---|\n"
            );
        }
        out.push_str(&row(key));
    }
    out.push_str("\n## Families of keys\n\n");
    out.push_str(
        "As environment variables in upper case with `_` for `.`, as flags with `--set KEY=VALUE`.\n\n",
    );
    out.push_str("| Keys | What they are |\n|---|---|\n");
    for prefix in PREFIXES {
        let _ = writeln!(out, "| `{}*` | {} |", prefix.name, prefix.doc);
    }
    out
}

fn row(key: &Key) -> String {
    let aliases: String = key.aliases.iter().map(|alias| format!(" (also `{alias}`)")).collect();
    let default = match key.default {
        Default::None => String::new(),
        Default::Is(text) | Default::MadeFrom(text) => format!("`{text}`"),
    };
    format!(
        "| `{}`{aliases} | `--{}` | `{}` | {default} | {} |\n",
        key.name,
        key.flag(),
        key.variable(),
        key.doc.replace('|', "\\|"),
    )
}
