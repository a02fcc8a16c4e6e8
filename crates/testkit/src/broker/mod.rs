//! Brokers of a test's own: started in a second or a few, stopped, killed and started again on the same data.
//!
//! How one broker is run is a [`Launch`]; there is one for each in a module here. What it needs from
//! `cargo xtask services up` (programs, jars, certificates) it reads with [`services::recorded`](crate::services).

pub mod certificate;
pub mod kafka;
pub mod nats;
pub mod rabbitmq;
pub mod redis;
pub mod rocketmq;
pub mod rocketmq_client;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::services::{free_port, new_folder};

/// How long a broker may take to answer, or to end when asked to.
const PATIENCE: Duration = Duration::from_secs(90);

/// So many private brokers run at once in a test process: they have two cores.
const AT_ONCE: usize = 2;

/// How one kind of broker is run.
pub trait Launch: Send + Sync {
    fn name(&self) -> &'static str;

    /// How many ports it needs.
    fn ports(&self) -> usize {
        1
    }

    /// Makes its data folder and its configuration, once, before the first start.
    fn prepare(&self, place: &Instance);

    /// Its processes in the order in which they are started; each must stay in the foreground.
    fn commands(&self, place: &Instance) -> Vec<Command>;

    /// Asks it something real; an error while it does not answer.
    fn probe(&self, place: &Instance) -> Result<(), String>;
}

/// Where one broker lives. The same before and after a restart.
#[derive(Debug, Clone)]
pub struct Instance {
    pub folder: PathBuf,
    /// Free when it was made; below those from which the system takes the near ends of connections.
    pub ports: Vec<u16>,
}

impl Instance {
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// `127.0.0.1:port` of the first port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }
}

/// How a broker is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGTERM, and waited for.
    Stop,
    /// SIGKILL.
    Kill,
}

/// A running broker, gone when dropped. After a failed test its folder, with data and logs, is kept.
pub struct PrivateBroker {
    launch: Box<dyn Launch>,
    place: Instance,
    children: Vec<Child>,
    _turn: Turn,
}

impl PrivateBroker {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not, with the end of its log.
    pub fn start(launch: impl Launch + 'static) -> Self {
        let turn = Turn::take();
        let mut problem = String::new();
        // Another process may take a port between our look and the broker's: then once more.
        for _ in 0..3 {
            let ports = (0..launch.ports()).map(|_| free_port()).collect();
            let place = Instance { folder: new_folder(), ports };
            launch.prepare(&place);
            let mut children = spawn(&launch, &place);
            match await_answer(&launch, &place, &mut children) {
                Ok(()) => return Self { launch: Box::new(launch), place, children, _turn: turn },
                Err(error) => problem = error,
            }
            end(&mut children);
        }
        panic!("{problem}");
    }

    pub fn place(&self) -> &Instance {
        &self.place
    }

    pub fn end(&mut self, how: End) {
        match how {
            End::Stop => self.stop(),
            End::Kill => self.kill(),
        }
    }

    /// An orderly stop (SIGTERM), the last process first. Waits for the end.
    pub fn stop(&mut self) {
        for mut child in self.children.drain(..).rev() {
            signal(child.id(), "TERM");
            let begin = Instant::now();
            while matches!(child.try_wait(), Ok(None)) {
                assert!(begin.elapsed() < PATIENCE, "{} does not stop", self.launch.name());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// An end without warning (SIGKILL), as in a crash.
    pub fn kill(&mut self) {
        end(&mut self.children);
        self.children.clear();
    }

    /// Starts it again on the same data and ports after `stop` or `kill`, and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.children.is_empty(), "stop or kill the broker before it is started again");
        let mut children = spawn(&*self.launch, &self.place);
        let answer = await_answer(&*self.launch, &self.place, &mut children);
        self.children = children;
        answer.unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub fn freeze(&self) {
        self.children.iter().for_each(|child| signal(child.id(), "STOP"));
    }

    pub fn thaw(&self) {
        self.children.iter().for_each(|child| signal(child.id(), "CONT"));
    }

    /// What its processes printed so far.
    pub fn log(&self) -> String {
        log(&self.place.folder)
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        end(&mut self.children);
        if std::thread::panicking() {
            eprintln!(
                "the private {}'s data and log are kept in {}",
                self.launch.name(),
                self.place.folder.display()
            );
        } else {
            let _ = std::fs::remove_dir_all(&self.place.folder);
        }
    }
}

/// Names the folder, so that `cargo xtask services` finds the processes of a test that was killed.
const OWNER: &str = "OMS_TEST_INSTANCE";

fn spawn(launch: &(impl Launch + ?Sized), place: &Instance) -> Vec<Child> {
    let start = |(number, mut command): (usize, Command)| {
        let path = place.folder.join(format!("server-{number}.log"));
        let open = || File::options().create(true).append(true).open(&path);
        let (Ok(out), Ok(err)) = (open(), open()) else { panic!("cannot write {}", path.display()) };
        command.env(OWNER, &place.folder).stdin(Stdio::null()).stdout(out).stderr(err);
        command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", launch.name()))
    };
    launch.commands(place).into_iter().enumerate().map(start).collect()
}

fn await_answer(
    launch: &(impl Launch + ?Sized),
    place: &Instance,
    children: &mut [Child],
) -> Result<(), String> {
    let begin = Instant::now();
    while let Err(error) = launch.probe(place) {
        let ended = children.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)));
        if ended || begin.elapsed() > PATIENCE {
            let name = launch.name();
            return Err(format!(
                "the private {name} does not answer ({error}); its log:\n{}",
                log(&place.folder)
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn log(folder: &Path) -> String {
    let read = |number: usize| std::fs::read(folder.join(format!("server-{number}.log"))).ok();
    (0..).map_while(read).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

fn end(children: &mut [Child]) {
    for child in children {
        // An error means that it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn signal(process: u32, name: &str) {
    // The shell's own `kill`: no unsafe code and no dependency.
    let line = format!("kill -{name} {process}");
    let _ = Command::new("sh").args(["-c", &line]).status();
}

/// One of the brokers that may run at once.
struct Turn;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Turn {
    fn take() -> Self {
        let mut running = RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= AT_ONCE {
            running = RUNNING.1.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        RUNNING.1.notify_one();
    }
}
