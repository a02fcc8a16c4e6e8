//! How many messages a consumer asks for. AMQP counts messages, and what is fetched ahead is bounded in bytes: as many are
//! asked for as fill half of it, by the size that messages had last; at first few.

use std::time::{Duration, Instant};

/// Messages asked for while their size is not known, and at most.
const FEW: u16 = 16;
const MANY: u16 = 1000;

/// How many messages are asked for.
#[derive(Debug)]
pub(super) struct Window {
    bytes: usize,
    messages: u16,
    /// Since it was changed.
    seen: usize,
    /// Of a message, in bytes; grows at once, and sinks slowly.
    size: usize,
}

impl Window {
    pub fn new(bytes: usize) -> Self {
        let mut window = Self { bytes: bytes / 2, messages: FEW, seen: 0, size: 1024 };
        window.messages = window.wanted().min(FEW);
        window
    }

    pub fn messages(&self) -> u16 {
        self.messages
    }

    pub fn saw(&mut self, count: usize, bytes: usize) {
        let size = (bytes / count.max(1)).max(1);
        self.size = if self.seen == 0 || size > self.size { size } else { (self.size * 7 + size) / 8 };
        self.seen += count;
    }

    /// By the size that messages had last.
    pub fn wanted(&self) -> u16 {
        (self.bytes / self.size.max(1)).clamp(1, MANY as usize) as u16
    }

    /// Fewer at once; more once that many came.
    pub fn should_change(&mut self, asked: u16) -> bool {
        let wanted = self.wanted();
        let more = wanted / 2 >= asked && self.seen >= asked as usize;
        if wanted <= asked / 2 || more {
            (self.messages, self.seen) = (wanted, 0);
            return true;
        }
        false
    }
}

/// Lets messages that follow each other closely gather: whoever takes each as it comes wakes a thread for each. One that
/// comes alone waits for nobody.
#[derive(Debug)]
pub(super) struct Pace {
    last: Instant,
}

const CLOSE: Duration = Duration::from_millis(2);
const GATHER: Duration = Duration::from_millis(1);

impl Pace {
    pub fn new() -> Self {
        Self { last: Instant::now() }
    }

    /// Called with the first message that came after what was taken last.
    pub async fn gather(&mut self) {
        if self.last.elapsed() < CLOSE {
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Everything that was there is taken.
    pub fn taken(&mut self) {
        self.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_messages_follows_their_size() {
        let mut window = Window::new(4 * 1024 * 1024);
        assert_eq!(window.messages, FEW);
        window.saw(10, 10 * 1024);
        assert!(!window.should_change(FEW), "too few came");
        window.saw(10, 10 * 1024);
        assert!(window.should_change(FEW));
        assert_eq!(window.messages, MANY);
        window.saw(1, 1024 * 1024);
        assert!(window.should_change(MANY), "large ones: at once");
        assert_eq!(window.messages, 2);
        assert_eq!(Window::new(1).messages, 1);
    }
}
