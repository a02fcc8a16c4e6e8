//! Which keys there are.
//!
//! | key | what |
//! |---|---|
//! | `NAME` | the stream of a queue of one partition |
//! | `{NAME}:N` | the streams of a queue of several |
//! | `{NAME}:omsconnect` | a hash: what a queue has beside its stream, partitions and retention |
//! | `omsconnect.producer:ID` | how far a producer is; expires |
//! | `{omsconnect-store-NAME}:...` | a key/value store |
//!
//! Before all of them, within braces, stand region and namespace: `region:namespace:`.

use super::super::common::names;

/// What the names of our own keys begin with: no names of queues.
const INTERNAL: [&str; 2] = ["omsconnect-store-", "omsconnect."];

#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The stream of a queue of one partition.
    pub fn single(&self, queue: &str) -> String {
        format!("{}{queue}", self.prefix)
    }

    /// The stream of one partition of a queue of several.
    pub fn partition(&self, queue: &str, partition: u32) -> String {
        format!("{{{}{queue}}}:{partition}", self.prefix)
    }

    pub fn descriptor(&self, queue: &str) -> String {
        format!("{{{}{queue}}}:omsconnect", self.prefix)
    }

    pub fn producer(&self, id: &str) -> String {
        format!("{}omsconnect.producer:{id}", self.prefix)
    }

    /// What `omsconnect doctor` tries its rights with.
    pub fn doctor(&self) -> String {
        format!("{}omsconnect.doctor", self.prefix)
    }

    /// What the keys of a store begin with.
    pub fn store(&self, name: &str) -> String {
        format!("{{{}omsconnect-store-{name}}}:", self.prefix)
    }

    /// The queue that a stream belongs to; `None`: to none of this region and namespace.
    pub fn queue_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        let name = match key.strip_prefix('{') {
            Some(rest) => {
                let (inside, partition) = rest.split_once("}:")?;
                partition.parse::<u32>().ok()?;
                inside
            }
            None => key,
        };
        let name = name.strip_prefix(self.prefix.as_str())?;
        let ours = INTERNAL.iter().any(|internal| name.starts_with(internal));
        (names::check_queue(name).is_ok() && !ours).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_belong_to_queues_of_their_region() {
        let (plain, eu) = (Keys::new(""), Keys::new("eu:"));
        for (keys, key, queue) in [
            (&plain, plain.single("q"), Some("q")),
            (&plain, plain.partition("q", 12), Some("q")),
            (&eu, eu.partition("q", 0), Some("q")),
            (&eu, eu.single("q"), Some("q")),
            (&plain, eu.single("q"), None),
            (&plain, eu.partition("q", 0), None),
            (&eu, plain.single("q"), None),
            (&plain, plain.store("s") + "changes", None),
            (&plain, "omsconnect-store-x".to_owned(), None),
            (&plain, plain.producer("1"), None),
            (&plain, "a b".to_owned(), None),
            (&plain, "{q}:x".to_owned(), None),
            (&plain, "omsconnect-group-control".to_owned(), Some("omsconnect-group-control")),
        ] {
            assert_eq!(keys.queue_of(&key), queue, "{key}");
        }
        assert_eq!(plain.descriptor("q"), "{q}:omsconnect");
    }
}
