//! `cargo xtask test`: the servers up, every test, and the servers down again where they were not up before.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::services::{Session, State, apt, environment};
use crate::{Result, run, workspace};

#[derive(Args)]
pub struct Options {
    /// Test this crate of the workspace alone.
    #[arg(long, value_name = "CRATE")]
    only: Option<String>,
    /// Passed on to `cargo test`: `-- NAME`, `-- --test FILE`, `-- NAME -- --nocapture`.
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// Programs that tests run beside servers, each with its Debian package.
const TOOLS: [(&str, &str); 4] =
    [("mount", "mount"), ("sqlite3", "sqlite3"), ("strace", "strace"), ("unshare", "util-linux")];

fn install_tools() -> Result<()> {
    let missing = TOOLS.iter().filter(|(program, _)| run::find_program(program).is_none());
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() { Ok(()) } else { apt::install(&packages) }
}

pub fn run(options: Options) -> Result<ExitCode> {
    install_tools()?;
    let session = Session::open();
    let in_use = session.mark_in_use()?;
    let before = session.alive()?;
    let status = session.up(&[]).and_then(|_| cargo_test(&options, &session));
    let after = session.alive()?;
    let started: Vec<String> = after.into_keys().filter(|name| !before.contains_key(name)).collect();
    let ended = end(&session, in_use, &started);
    let status = status?;
    ended?;
    // A test run that a signal ended has no code of its own.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Ends the servers that this run started, unless another run is using them now.
fn end(session: &Session, in_use: File, started: &[String]) -> Result<()> {
    if started.is_empty() {
        return Ok(());
    }
    let _ = in_use.unlock();
    if in_use.try_lock().is_err() {
        println!("the servers stay up for another test run; `cargo xtask services down` ends them");
        return Ok(());
    }
    session.down(started)
}

/// Runs the tests to their end, passes on what they print, and prints a summary.
fn cargo_test(options: &Options, session: &Session) -> Result<ExitStatus> {
    let begin = Instant::now();
    let state = session.alive()?;
    let mut child =
        command(options, session, &state).spawn().map_err(|error| format!("cannot run cargo: {error}"))?;
    let signals = take_signals()?;
    let lines = child.stdout.take().map(pass_on);
    let status = wait(&mut child, &signals)?;
    // The channel ends with the output. A process that a test left behind may hold that open: then do not wait for it.
    let totals = lines.and_then(|lines| lines.recv_timeout(Duration::from_secs(5)).ok());
    println!("\n{}", summary(totals.as_ref(), status, begin.elapsed(), &state));
    Ok(status)
}

/// The programs that tests start (`omsconnect` among them) are built by `cargo test` itself.
fn command(options: &Options, session: &Session, state: &State) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--locked", "--no-fail-fast"]).current_dir(workspace::root());
    match &options.only {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    command.args(&options.arguments).envs(environment(state));
    command.env("OMS_SERVICES_STATE", session.state_file()).stdout(Stdio::piped());
    command
}

/// From here on, the signals that should end this process are read instead, so that it can still end the servers. After
/// the tests were started, which would inherit that they are blocked; before any thread is, which must inherit it.
fn take_signals() -> Result<SignalFd> {
    let problem = |error: nix::Error| format!("cannot watch for signals: {error}");
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().map_err(problem)?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(problem)
}

/// Waits for the tests, and passes signals on to them.
fn wait(child: &mut Child, signals: &SignalFd) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("cannot wait for cargo: {error}"))? {
            return Ok(status);
        }
        if let Ok(Some(signal)) = signals.read_signal() {
            let signal = Signal::try_from(signal.ssi_signo as i32).unwrap_or(Signal::SIGTERM);
            eprintln!("{signal}: ending the tests");
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Prints what the tests print, and sends the totals when it ends.
fn pass_on(output: impl Read + Send + 'static) -> mpsc::Receiver<Totals> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut totals = Totals::default();
        for line in BufReader::new(output).split(b'\n').map_while(|line| line.ok()) {
            totals.add(&String::from_utf8_lossy(&line));
            let mut terminal = std::io::stdout().lock();
            // Whoever reads us may have gone away; the tests go on.
            let _ = terminal.write_all(&[&line[..], b"\n"].concat());
        }
        let _ = sender.send(totals);
    });
    receiver
}

#[derive(Debug, Default, PartialEq)]
struct Totals {
    programs: u32,
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Totals {
    /// Takes in `test result: ok. 4 passed; 0 failed; 0 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        self.programs += 1;
        let words: Vec<&str> = result.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let count = pair[0].parse::<u32>().unwrap_or(0);
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

fn summary(totals: Option<&Totals>, status: ExitStatus, time: Duration, state: &State) -> String {
    let counts = match totals {
        Some(Totals { programs, passed, failed, skipped }) => {
            format!("{passed} passed, {failed} failed, {skipped} skipped in {programs} test programs")
        }
        None => "a test left a process behind that holds its output open".to_string(),
    };
    let servers: Vec<String> =
        state.iter().map(|(name, entry)| format!("{name} {}", entry.version)).collect();
    let result = if status.success() { "ok" } else { "FAILED" };
    let servers =
        if servers.is_empty() { "those named in the environment".into() } else { servers.join(", ") };
    format!("tests {result}: {counts}, {} s; servers: {servers}", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_added_up() {
        let mut totals = Totals::default();
        totals.add(
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 5.08s",
        );
        totals.add(
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
        );
        totals.add("test a ... ok");
        assert_eq!(totals, Totals { programs: 2, passed: 6, failed: 3, skipped: 1 });
    }
}
