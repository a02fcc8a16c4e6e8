//! The table of the worker's keys.

use super::key::{Default, Key, Kind, Prefix};

const WORKER: &str = "Worker";
const REST: &str = "REST";
const CONNECTORS: &str = "Connectors";
const LIMITS: &str = "Times and limits";
const LOG: &str = "Log";

/// The longest time that a setting may be, a week.
const WEEK: u64 = 7 * 24 * 3600 * 1000;

const fn key(
    name: &'static str,
    kind: Kind,
    default: Default,
    group: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, aliases: &[], kind, default, group, doc }
}

const fn also(key: Key, aliases: &'static [&'static str]) -> Key {
    Key { aliases, ..key }
}

/// Every key, in the order it is documented.
pub const KEYS: &[Key] = &[
    key(
        "workerId",
        Kind::Text,
        Default::Is("DEFAULT_WORKER_1"),
        WORKER,
        "Name of this worker, unique in its group. Keep it over restarts.",
    ),
    also(
        key(
            "group",
            Kind::Text,
            Default::Is("default"),
            WORKER,
            "The group it belongs to. Workers of one group on one broker share their connectors; groups do not see each other.",
        ),
        &["group.id"],
    ),
    key(
        "omsDriverUrl",
        Kind::Url,
        Default::MadeFrom("oms:local://<storePathRootDir>"),
        WORKER,
        "The message queue, an OpenMessaging access point URL. oms:local:///FOLDER is the embedded one, which needs no server.",
    ),
    key(
        "storePathRootDir",
        Kind::Folder,
        Default::Is("~/connectorStore"),
        WORKER,
        "The folder of the embedded message queue. Only used where omsDriverUrl is not set.",
    ),
    key(
        "httpPort",
        Kind::Port,
        Default::Is("8081"),
        REST,
        "Port of the REST API. 0 takes any free one, which is then printed.",
    ),
    key(
        "httpHost",
        Kind::Text,
        Default::Is("127.0.0.1"),
        REST,
        "Address the REST API listens on. An address that other machines can reach needs httpPublic as well.",
    ),
    key(
        "httpPublic",
        Kind::Bool,
        Default::Is("false"),
        REST,
        "Lets the REST API listen on an address that other machines can reach. There is no authentication: whoever reaches it can read every queue and run connectors.",
    ),
    key(
        "advertisedAddress",
        Kind::Text,
        Default::MadeFrom("<httpHost>:<httpPort>"),
        REST,
        "host:port at which others reach this worker's REST API; statuses name the worker by it.",
    ),
    key(
        "allowedHosts",
        Kind::List,
        Default::None,
        REST,
        "Host names that requests may name beside localhost, the worker's own addresses and its advertised one. Others are refused where a request changes something, which keeps web pages out.",
    ),
    key(
        "createOverGet",
        Kind::Bool,
        Default::Is("true"),
        REST,
        "Whether GET /connectors/NAME?config={...} creates a connector, as in the original runtime.",
    ),
    key(
        "key.converter",
        Kind::Class,
        Default::None,
        CONNECTORS,
        "Converter of record keys for connectors that name none. Its options stand behind it: key.converter.schemas.enable.",
    ),
    key(
        "value.converter",
        Kind::Class,
        Default::None,
        CONNECTORS,
        "Converter of record values for connectors that name none. Its options stand behind it: value.converter.schemas.enable.",
    ),
    also(
        key(
            "positionPersistInterval",
            Kind::Millis { min: 1, max: 86_400_000 },
            Default::None,
            CONNECTORS,
            "How often positions are committed, in milliseconds, for connectors that do not say (offset.flush.interval.ms). Their own default is 1000.",
        ),
        &["offset.flush.interval.ms"],
    ),
    key(
        "configPersistInterval",
        Kind::Millis { min: 1, max: WEEK },
        Default::None,
        CONNECTORS,
        "Accepted for files of the original runtime, without effect: a configuration is durable before its request is answered.",
    ),
    key(
        "heartbeat.interval.ms",
        Kind::Millis { min: 100, max: 3_600_000 },
        Default::Is("10000"),
        LIMITS,
        "How often the worker tells its group that it is alive.",
    ),
    key(
        "task.shutdown.graceful.timeout.ms",
        Kind::Millis { min: 0, max: 3_600_000 },
        Default::Is("10000"),
        LIMITS,
        "How long work may take to end by itself when the worker stops.",
    ),
    key(
        "plugin.call.timeout.ms",
        Kind::Millis { min: 100, max: 3_600_000 },
        Default::Is("60000"),
        LIMITS,
        "How long one call into a connector may take before its task is given up.",
    ),
    key(
        "memory.max.bytes",
        Kind::Bytes { min: 1 << 20 },
        Default::Is("64m"),
        LIMITS,
        "What all tasks together may hold in flight. k, m and g are understood.",
    ),
    key("logDir", Kind::Folder, Default::Is("~/logs/omsconnect"), LOG, "Folder of the log, omsconnect.log."),
    key(
        "logStdout",
        Kind::Bool,
        Default::Is("false"),
        LOG,
        "Log to standard output only, and write no file.",
    ),
    key(
        "logLevel",
        Kind::Text,
        Default::Is("info"),
        LOG,
        "error, warn, info, debug or trace, also by module: info,connect_runtime=debug.",
    ),
    key(
        "logMaxBytes",
        Kind::Bytes { min: 4096 },
        Default::Is("16m"),
        LOG,
        "Size at which a log file is set aside and a new one begun.",
    ),
    key(
        "logFiles",
        Kind::Count { min: 1, max: 1000 },
        Default::Is("5"),
        LOG,
        "Log files to keep, the one being written included.",
    ),
];

/// Families of keys, whose names nobody can list here.
pub const PREFIXES: &[Prefix] = &[
    Prefix {
        name: "key.converter.",
        doc: "Options of key.converter, for connectors that name no key converter of their own.",
    },
    Prefix {
        name: "value.converter.",
        doc: "Options of value.converter, for connectors that name no value converter of their own.",
    },
    Prefix { name: "driver.", doc: "Settings of the driver in omsDriverUrl, without the prefix." },
];
