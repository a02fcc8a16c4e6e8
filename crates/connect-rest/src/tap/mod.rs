//! Looking at the messages of a queue as lines of JSON. The worker's REST API and the command line, straight at a
//! broker, use the same reader and the same form.

mod line;
mod reader;

pub use line::write_line;
pub use reader::{Tap, TapOptions};

/// Whether a queue is a worker group's own. Their messages hold connector configurations as they were given, so they are
/// neither shown nor deleted through the API (invariant 6).
pub fn is_internal(queue: &str) -> bool {
    queue.strip_prefix("omsconnect-").is_some_and(|rest| rest.ends_with("-control"))
}

#[cfg(test)]
mod tests {
    use super::is_internal;

    #[test]
    fn control_logs_are_internal_and_others_are_not() {
        assert!(is_internal("omsconnect-default-control"));
        assert!(is_internal("omsconnect-a-b-control"));
        assert!(!is_internal("omsconnect-orders"));
        assert!(!is_internal("access-control"));
    }
}
