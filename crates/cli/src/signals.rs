//! Being asked to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result};

/// SIGINT (Ctrl-C) and SIGTERM, listened to from its making on.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new("signal.failed", format!("cannot listen for signals: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next one, and gives its name and number.
    pub async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", 2),
            _ = self.terminate.recv() => ("SIGTERM", 15),
        }
    }

    /// Ends the process when the next signal comes, whatever it is doing.
    pub fn exit_on_next(mut self) {
        tokio::spawn(async move {
            let (name, number) = self.next().await;
            eprintln!("{name} again: ending at once");
            std::process::exit(128 + i32::from(number));
        });
    }
}
