//! What the user sees.

use std::io::IsTerminal;
use std::path::Path;

use crate::failure::Result;
use crate::message::Shown;
use crate::output;
use crate::settings::WorkerSettings;

pub fn head(url: &str, settings: &WorkerSettings, database: &Path) -> Result<()> {
    let text = format!(
        "\n{}\n\n   worker    {url}\n   queues    {}\n   database  {}\n",
        bold("OpenMessaging Connect: a worker, an embedded message queue, and a shop's database"),
        settings.driver_url.redacted(),
        database.display(),
    );
    output::line(text)
}

pub fn creation(url: &str, connector: &str, config: &serde_json::Value) -> Result<()> {
    output::line(bold("1. A source connector is created, with one request:"))?;
    output::line(format!("   GET {url}/connectors/{connector}?config={config}"))
}

pub fn change(sql: &str) -> Result<()> {
    output::line(bold("2. A row changes:"))?;
    output::line(format!("   {sql}\n"))
}

pub fn arrival(message: &Shown) -> Result<()> {
    output::line(bold(&format!(
        "3. The message, in the queue that has the table's name, {}:",
        message.queue
    )))?;
    output::line(indented(message))
}

pub fn next_steps(url: &str, connector: &str, database: &Path) -> Result<()> {
    let me = program();
    let database = database.display();
    output::line(bold("Try, in another terminal:"))?;
    output::line(format!("   curl {url}/connectors/{connector}/status"))?;
    output::line(format!("   {me} tap orders --from begin --worker {url}"))?;
    output::line(format!("   {me} queues list --worker {url}"))?;
    output::line(format!("   sqlite3 {database} \"UPDATE orders SET status = 'SENT' WHERE id = 2\"\n"))?;
    output::line(bold("Enter changes another row; messages are shown as they come; Ctrl-C ends.\n"))
}

pub fn another(sql: &str) -> Result<()> {
    output::line(format!("   {sql}\n"))
}

pub fn later(message: &Shown) -> Result<()> {
    output::line(indented(message))
}

fn indented(message: &Shown) -> String {
    message.pretty().lines().map(|line| format!("   {line}\n")).collect()
}

fn bold(text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// How this program was called, so that the commands shown can be typed: a path inside the current folder is shown from
/// there.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "omsconnect".to_owned());
    let here = std::env::current_dir().unwrap_or_default();
    let shown = Path::new(&called).strip_prefix(&here).map(|path| path.display().to_string());
    shown.unwrap_or(called)
}
