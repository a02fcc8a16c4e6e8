//! The commands: up, down, status, env.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::{Entry, Place, Service, State, all, files, private, process, state, variable};
use crate::{Result, run, workspace};

#[derive(Subcommand)]
pub enum Command {
    /// Install what is missing, start what is not up, wait until it answers.
    Up {
        /// Which services; all that the tests need unless named.
        names: Vec<String>,
    },
    /// End what `up` started, and nothing else.
    Down {
        /// Which services; all of them unless named.
        names: Vec<String>,
    },
    /// Say what is up, and where.
    Status,
    /// Print the environment of the tests: `eval "$(cargo xtask services env)"`.
    Env,
}

/// How long a server may take from its start to its first answer.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn run(command: Command) -> Result<ExitCode> {
    let session = Session::open();
    match command {
        Command::Up { names } => session.up(&names).map(|_| ()),
        Command::Down { names } if names.is_empty() => {
            session.down(&session.state()?.into_keys().collect::<Vec<_>>())
        }
        Command::Down { names } => select(&names).and_then(|_| session.down(&names)),
        Command::Status => session.status(),
        Command::Env => {
            for (name, value) in environment(&session.state()?) {
                println!("export {name}='{value}'");
            }
            Ok(())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// What tests are told about the servers that are up.
pub fn environment(state: &State) -> BTreeMap<String, String> {
    state.values().flat_map(|entry| entry.env.clone()).collect()
}

/// The servers of this checkout.
pub struct Session {
    folder: PathBuf,
}

impl Session {
    pub fn open() -> Session {
        Session { folder: workspace::services() }
    }

    pub fn state(&self) -> Result<State> {
        state::read(&self.folder)
    }

    /// What `testkit` reads.
    pub fn state_file(&self) -> PathBuf {
        state::file(&self.folder)
    }

    /// The servers of `up` that still run.
    pub fn alive(&self) -> Result<State> {
        let mut state = self.state()?;
        state.retain(|_, entry| entry.process.is_alive());
        Ok(state)
    }

    /// Says that somebody uses the servers, until the returned file is dropped. Several may at the same time.
    pub fn mark_in_use(&self) -> Result<File> {
        let path = self.folder.join("in-use");
        files::make_folder(&self.folder)?;
        let locked = File::create(&path).and_then(|file| file.lock_shared().map(|()| file));
        locked.map_err(|error| format!("cannot lock {}: {error}", path.display()))
    }

    /// Brings up what is not, and returns the names of those that this call started.
    pub fn up(&self, names: &[String]) -> Result<Vec<String>> {
        let services = select(names)?;
        let _lock = state::lock(&self.folder)?;
        private::remove_orphans(&self.folder.join("private"));
        let mut state = self.state()?;
        let mut started = Vec::new();
        for service in services {
            let name = service.name();
            if state.get(name).is_some_and(|entry| entry.process.is_alive()) {
                continue;
            }
            state.remove(name);
            match named_by_environment(name) {
                Some(address) => check_reachable(name, &address)?,
                None => {
                    let entry = self.start(&*service).map_err(|error| format!("{name}: {error}"))?;
                    state.insert(name.into(), entry);
                    started.push(name.to_string());
                }
            }
            // At once, so that `down` knows of it whatever happens next.
            state::write(&self.folder, &state)?;
        }
        for service in select(names)? {
            if let Some(entry) = state.get_mut(service.name()) {
                self.await_answer(&*service, entry)
                    .map_err(|error| format!("{}: {error}", service.name()))?;
                println!(
                    "{}",
                    describe(service.name(), entry, started.iter().any(|name| name == service.name()))
                );
            }
        }
        state::write(&self.folder, &state)?;
        Ok(started)
    }

    fn start(&self, service: &dyn Service) -> Result<Entry> {
        let place = Place::of(&self.folder, service.name());
        files::make_folder(&place.own)?;
        service.install(&place)?;
        service.start(&place, free_port(service.port())?)
    }

    fn await_answer(&self, service: &dyn Service, entry: &mut Entry) -> Result<()> {
        let place = Place::of(&self.folder, service.name());
        let mut answer = Err(String::new());
        process::wait_until(PATIENCE, || {
            answer = service.probe(&place, entry);
            answer.is_ok() || !entry.process.is_alive()
        });
        let log = || format!("the end of {}:\n{}", entry.log.display(), run::tail(&entry.log, 15));
        match answer {
            Ok(version) => entry.version = version,
            Err(_) if !entry.process.is_alive() => return Err(format!("the server ended; {}", log())),
            Err(error) => {
                return Err(format!("no answer within {} s ({error}); {}", PATIENCE.as_secs(), log()));
            }
        }
        Ok(())
    }

    /// Ends the named servers that `up` started, all of them at the same time.
    pub fn down(&self, names: &[String]) -> Result<()> {
        let _lock = state::lock(&self.folder)?;
        private::remove_orphans(&self.folder.join("private"));
        let mut state = self.state()?;
        let mut failures = Vec::new();
        std::thread::scope(|scope| {
            let entries = names.iter().filter_map(|name| state.get(name).map(|entry| (name, entry.process)));
            let stopping: Vec<_> =
                entries.map(|(name, process)| (name, scope.spawn(move || process.stop()))).collect();
            for (name, thread) in stopping {
                match thread.join() {
                    Ok(Ok(())) => println!("{name} is down"),
                    Ok(Err(error)) => failures.push(format!("{name}: {error}")),
                    Err(_) => failures.push(format!("{name}: stopping it panicked")),
                }
            }
        });
        state.retain(|name, entry| !names.contains(name) || entry.process.is_alive());
        state::write(&self.folder, &state)?;
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }

    fn status(&self) -> Result<()> {
        let state = self.state()?;
        for service in all() {
            let name = service.name();
            match (state.get(name), named_by_environment(name)) {
                (Some(entry), _) if entry.process.is_alive() => {
                    println!("{}", describe(name, entry, false));
                    println!("{:8}   data {}, log {}", "", entry.data_dir.display(), entry.log.display());
                }
                (Some(entry), _) => println!("{name:8} ended by itself; its log is {}", entry.log.display()),
                (None, Some(address)) => {
                    println!("{name:8} is the one at {address}, named in {}", variable(name))
                }
                (None, None) if service.on_request() => {}
                (None, None) => println!("{name:8} is down"),
            }
        }
        Ok(())
    }
}

fn describe(name: &str, entry: &Entry, new: bool) -> String {
    let Entry { version, host, port, user, password, process, .. } = entry;
    let how = if new { "is now up" } else { "is up" };
    format!(
        "{name:8} {version} {how} at {host}:{port}, user {user}, password {password}, TLS, process {}",
        process.pid
    )
}

fn select(names: &[String]) -> Result<Vec<Box<dyn Service>>> {
    let known: Vec<&str> = all().iter().map(|service| service.name()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("there is no service {unknown:?}; there are: {}", known.join(", ")));
    }
    let named = |name: &str| names.iter().any(|wanted| wanted == name);
    let wanted =
        |service: &dyn Service| if names.is_empty() { !service.on_request() } else { named(service.name()) };
    Ok(all().into_iter().filter(|service| wanted(&**service)).collect())
}

fn named_by_environment(name: &str) -> Option<String> {
    std::env::var(variable(name)).ok().filter(|address| !address.is_empty())
}

fn check_reachable(name: &str, address: &str) -> Result<()> {
    let remedy = format!("start it, or unset {} to have one started here", variable(name));
    let resolved = address.to_socket_addrs().ok().and_then(|mut found| found.next());
    let socket = resolved.ok_or_else(|| format!("{name}: {:?} is not HOST:PORT; {remedy}", address))?;
    TcpStream::connect_timeout(&socket, Duration::from_secs(5))
        .map_err(|error| format!("{name}: nothing answers at {address} ({error}); {remedy}"))?;
    println!("{name:8} is the one at {address}, named in {}", variable(name));
    Ok(())
}

/// The usual port, or any free one where somebody else has that.
fn free_port(usual: u16) -> Result<u16> {
    if TcpListener::bind(("127.0.0.1", usual)).is_ok() {
        return Ok(usual);
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| format!("no free port: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_service_lists_the_known_ones() {
        let error = select(&["oracle".into()]).err().expect("an error");
        assert!(error.contains("oracle") && error.contains("mariadb, mysql"), "{error}");
        assert_eq!(names_of(&[]), ["mariadb", "mysql", "kafka", "redis", "rabbitmq", "nats", "rocketmq"]);
        assert_eq!(names_of(&["mariadb-bench".into()]), ["mariadb-bench"]);
    }

    fn names_of(names: &[String]) -> Vec<&'static str> {
        select(names).expect("known names").iter().map(|service| service.name()).collect()
    }

    #[test]
    fn a_taken_port_is_not_used() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
        let port = taken.local_addr().expect("its address").port();
        assert_ne!(free_port(port), Ok(port));
    }
}
