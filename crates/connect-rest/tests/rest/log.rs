//! Everything that is logged while the tests run.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, Once};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// From now on, at the finest level.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
        subscriber.with_ansi(false).with_writer(|| Capture).init();
    });
}

pub fn text() -> String {
    String::from_utf8_lossy(&log()).into_owned()
}

fn log() -> MutexGuard<'static, Vec<u8>> {
    LOG.lock().expect("nobody panics while writing")
}

struct Capture;

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        log().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
