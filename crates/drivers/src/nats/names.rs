//! What queues, stores and keys are called at the server.
//!
//! Names of streams refuse `.`, so a queue's name has `+` for it there, which no queue's name holds. Partition 0 is the stream
//! of the queue's name, partition 3 has `=3` behind it. Region and namespace are in front, each with `#` behind it, which keeps
//! them apart from each other and from everything that has none:
//!
//! | queue, partition, region and namespace | stream | subject |
//! |---|---|---|
//! | `orders`, 0 | `orders` | `orders` |
//! | `eu.orders`, 2 | `eu+orders=2` | `eu.orders=2` |
//! | `orders`, 0 in `eu:shop` | `eu#shop#orders` | `eu.shop.orders` |
//!
//! A store is a key/value bucket of JetStream's own convention (streams named `KV_...`), which `nats kv` reads. Characters
//! that its keys refuse are written `=` and two hexadecimal digits.

use openmessaging::AccessPointUrl;

/// What a region and a namespace make of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Space {
    stream: String,
    subject: String,
    bucket: String,
}

impl Space {
    pub fn of(url: &AccessPointUrl) -> Self {
        let (region, namespace) = (url.region(), url.namespace());
        if region.is_none() && namespace.is_none() {
            return Self { bucket: "omsconnect-".to_owned(), ..Self::default() };
        }
        let (r, n) = (region.unwrap_or_default(), namespace.unwrap_or_default());
        Self {
            stream: format!("{r}#{n}#"),
            subject: crate::common::names::prefix(url, "."),
            // The length keeps a region's end apart from a namespace's beginning.
            bucket: format!("omsconnect-{}-{r}-{n}-", r.len()),
        }
    }

    pub fn stream(&self, queue: &str, partition: u32) -> String {
        let name = format!("{}{}", self.stream, queue.replace('.', "+"));
        if partition == 0 { name } else { format!("{name}={partition}") }
    }

    pub fn subject(&self, queue: &str, partition: u32) -> String {
        let name = format!("{}{queue}", self.subject);
        if partition == 0 { name } else { format!("{name}={partition}") }
    }

    /// The queue whose partition 0 is this stream; `None` for other partitions, other regions, stores, and what cannot be
    /// the name of a queue.
    pub fn queue(&self, stream: &str) -> Option<String> {
        let internal = ["KV_", "OBJ_", "MQTT_", "$MQTT_", "omsconnect-store-"];
        if internal.iter().any(|prefix| stream.starts_with(prefix)) {
            return None;
        }
        let queue = stream.strip_prefix(self.stream.as_str())?.replace('+', ".");
        crate::common::names::check_queue(&queue).is_ok().then_some(queue)
    }

    /// The bucket of a store.
    pub fn store(&self, name: &str) -> String {
        format!("{}store-{name}", self.bucket)
    }

    /// The bucket of all positions of consumer groups.
    pub fn positions(&self) -> String {
        format!("{}positions", self.bucket)
    }
}

/// The stream of a bucket.
pub(super) fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// What the subjects of a bucket begin with.
pub(super) fn bucket_prefix(bucket: &str) -> String {
    format!("$KV.{bucket}.")
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a key as a bucket takes it. A dot stays one, except where that would leave a part of the subject empty.
pub(super) fn push_key(out: &mut String, key: &str) {
    let bytes = key.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let plain = match byte {
            b'.' => index > 0 && index + 1 < bytes.len() && bytes[index - 1] != b'.',
            b'-' | b'_' | b'/' => true,
            other => other.is_ascii_alphanumeric(),
        };
        push_byte(out, *byte, plain);
    }
}

/// Appends a text as one part of a subject: no dot stays one.
pub(super) fn push_part(out: &mut String, text: &str) {
    for byte in text.bytes() {
        push_byte(out, byte, byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    }
    if text.is_empty() {
        out.push('=');
    }
}

fn push_byte(out: &mut String, byte: u8, plain: bool) {
    if plain {
        out.push(char::from(byte));
    } else {
        out.push('=');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// The key that [`push_key`] wrote; `None` for what it cannot have written.
pub(super) fn key_of(written: &str) -> Option<String> {
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'=' {
            out.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        rest = behind;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        out.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
    }
    String::from_utf8(out).ok().filter(|key| !key.is_empty())
}

/// Whether a stream that takes `filter` takes messages of `subject`.
pub(super) fn takes(filter: &str, subject: &str) -> bool {
    let (mut filters, mut parts) = (filter.split('.'), subject.split('.'));
    loop {
        match (filters.next(), parts.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
}

/// Where messages of a partition are sent, in a stream of these subjects: the partition's own subject where the stream takes
/// that, else its only subject, unless that has wildcards.
pub(super) fn subject_for(own: &str, subjects: &[String]) -> Option<String> {
    if subjects.iter().any(|filter| takes(filter, own)) {
        return Some(own.to_owned());
    }
    match subjects {
        [one] if !one.split('.').any(|part| part == "*" || part == ">") => Some(one.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space(region: &str) -> Space {
        Space::of(&format!("oms:nats://h/{region}").parse().expect("a URL"))
    }

    #[test]
    fn plain_names_stay_plain_and_regions_are_apart() {
        let (plain, eu, shop, both) =
            (space("default"), space("eu"), space("default:shop"), space("eu:shop"));
        assert_eq!(
            (plain.stream("orders", 0), plain.subject("orders", 0)),
            ("orders".into(), "orders".into())
        );
        assert_eq!((plain.stream("a.b", 2), plain.subject("a.b", 2)), ("a+b=2".into(), "a.b=2".into()));
        assert_eq!((both.stream("q", 1), both.subject("q", 1)), ("eu#shop#q=1".into(), "eu.shop.q=1".into()));
        for one in [&plain, &eu, &shop, &both] {
            assert_eq!(one.queue(&one.stream("x.y", 0)).as_deref(), Some("x.y"));
            assert_eq!(one.queue(&one.stream("x", 3)), None, "only partition 0 is a queue");
            let seen = [&plain, &eu, &shop, &both]
                .iter()
                .filter(|other| other.queue(&one.stream("q", 0)).is_some())
                .count();
            assert_eq!(seen, 1, "{one:?}");
        }
        assert_eq!(plain.queue("KV_config"), None);
        assert_eq!(plain.store("s"), "omsconnect-store-s");
        assert_ne!(space("a:b-c").store("s"), space("a-b:c").store("s"));
        assert_ne!(space("store:x").positions(), plain.store("x"));
    }

    #[test]
    fn subjects_are_matched() {
        for (filter, subject, taken) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            (">", "a.b", true),
            ("a.>", "a", false),
            ("a", "a.b", false),
        ] {
            assert_eq!(takes(filter, subject), taken, "{filter} {subject}");
        }
        let subjects = |all: &[&str]| all.iter().map(|one| one.to_string()).collect::<Vec<_>>();
        assert_eq!(subject_for("q", &subjects(&["x", "q"])).as_deref(), Some("q"));
        assert_eq!(subject_for("q", &subjects(&["orders.new"])).as_deref(), Some("orders.new"));
        assert_eq!(subject_for("q", &subjects(&["orders.*"])), None);
        assert_eq!(subject_for("q", &subjects(&["x", "y"])), None);
    }

    fn written(key: &str) -> String {
        let mut out = String::new();
        push_key(&mut out, key);
        out
    }

    #[test]
    fn plain_keys_stay_plain() {
        assert_eq!(written("connectors/orders.task-0_x"), "connectors/orders.task-0_x");
        assert_eq!(written(".a..b."), "=2Ea.=2Eb=2E");
        assert_eq!(written("\u{e9} *"), "=C3=A9=20=2A");
        let mut part = String::new();
        push_part(&mut part, "a.b/c");
        assert_eq!(part, "a=2Eb=2Fc");
        assert_eq!(key_of("=4"), None);
    }

    proptest! {
        #[test]
        fn keys_come_back(key in ".{1,60}", dots in "[.a]{1,8}") {
            for key in [key, dots] {
                let text = written(&key);
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/_=.".contains(&byte)));
                prop_assert!(text.split('.').all(|part| !part.is_empty()), "{}", text);
                prop_assert_eq!(key_of(&text), Some(key));
            }
        }
    }
}
