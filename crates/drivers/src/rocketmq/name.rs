//! What queues and groups are called at the broker.
//!
//! RocketMQ's own convention of namespaces is `namespace%topic` (`NamespaceUtil`). Topics have letters, digits, `_`, `-`,
//! `%` and `|`, and at most 127 of them: the `.` of a queue's name is `|` there.

use openmessaging::{AccessPointUrl, Error, Result, StatusCode};

use crate::common::names;
use crate::store::queue::PREFIX;

const MAX_TOPIC: usize = 127;
/// The broker takes groups of up to 255.
const MAX_GROUP: usize = 255;
/// Every broker has this group: reading without a group is reading as a tool.
const NO_GROUP: &str = "TOOLS_CONSUMER";

#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The cluster; `None`: whatever there is.
    pub region: Option<String>,
    /// `namespace%`, or nothing.
    prefix: String,
}

impl Names {
    pub fn of(url: &AccessPointUrl) -> Result<Self> {
        names::check_prefix(url)?;
        let prefix = url.namespace().map(|namespace| format!("{namespace}%")).unwrap_or_default();
        Ok(Self { region: url.region().map(str::to_owned), prefix })
    }

    pub fn topic(&self, queue: &str) -> Result<String> {
        names::check_queue(queue)?;
        let topic = format!("{}{}", self.prefix, queue.replace('.', "|"));
        if topic.len() > MAX_TOPIC {
            let message = format!("the name of queue \"{queue}\" is too long for RocketMQ");
            let room = MAX_TOPIC - self.prefix.len();
            return Err(Error::new(StatusCode::BadParameter, message)
                .with_remedy(format!("use at most {room} characters")));
        }
        Ok(topic)
    }

    /// The queue of a topic; `None` for one of another namespace, or of the broker's own, or that keeps a store.
    pub fn queue(&self, topic: &str) -> Option<String> {
        let name = topic.strip_prefix(&self.prefix)?;
        if name.contains('%') || (self.prefix.is_empty() && is_system(name)) || name.starts_with(PREFIX) {
            return None;
        }
        let queue = name.replace('|', ".");
        names::check_queue(&queue).is_ok().then_some(queue)
    }

    pub fn group(&self, group: &str) -> Result<String> {
        if group.is_empty() {
            return Ok(NO_GROUP.to_owned());
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if group.len() + self.prefix.len() > MAX_GROUP || !group.chars().all(allowed) {
            let shown: String = group.chars().take(60).collect();
            return Err(Error::new(
                StatusCode::BadParameter,
                format!("\"{shown}\" cannot be a consumer group"),
            )
            .with_remedy("use up to 190 letters, digits, \".\", \"_\" and \"-\""));
        }
        Ok(format!("{}{}", self.prefix, group.replace('.', "|")))
    }
}

/// Topics that the broker makes for itself (`TopicValidator`). Those named as a cluster or a broker are for the caller to
/// leave out.
fn is_system(topic: &str) -> bool {
    const NAMES: [&str; 8] = [
        "TBW102",
        "SCHEDULE_TOPIC_XXXX",
        "BenchmarkTest",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "CHECKPOINT_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
        "RMQ_SYS_TRANS_HALF_TOPIC",
    ];
    NAMES.contains(&topic)
        || topic.starts_with("RMQ_SYS_")
        || topic.starts_with("rmq_sys_")
        || topic.ends_with("_REPLY_TOPIC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(url: &str) -> Names {
        Names::of(&url.parse().expect("a URL")).expect("names")
    }

    #[test]
    fn plain_names_stay_and_namespaces_are_the_brokers() {
        let plain = names("oms:rocketmq://h/default:default");
        assert_eq!(plain.topic("orders.eu").expect("a name"), "orders|eu");
        assert_eq!(plain.queue("orders|eu").as_deref(), Some("orders.eu"));
        let shop = names("oms:rocketmq://h/c:shop");
        assert_eq!(
            (shop.topic("orders").expect("a name").as_str(), shop.region.as_deref()),
            ("shop%orders", Some("c"))
        );
        assert_eq!(shop.group("g").expect("a group"), "shop%g");
        assert_eq!((shop.queue("shop%orders"), shop.queue("orders")), (Some("orders".into()), None));
        assert_eq!((plain.queue("shop%orders"), plain.queue("%RETRY%g")), (None, None));
        assert_eq!(plain.queue("omsconnect-store-x"), None);
        assert_eq!(plain.queue("omsconnect-g-control").as_deref(), Some("omsconnect-g-control"));
        assert_eq!(plain.queue("TBW102"), None);
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let plain = names("oms:rocketmq://h/default");
        assert!(plain.topic(&"a".repeat(127)).is_ok() && plain.topic(&"a".repeat(128)).is_err());
        assert!(plain.topic("a%b").is_err() && plain.topic("").is_err());
        assert!(plain.group("a b").is_err());
        assert_eq!(plain.group("").expect("none"), NO_GROUP);
    }
}
