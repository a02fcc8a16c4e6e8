//! Names of schemas that give a type its meaning, as Kafka Connect and Debezium use them.

pub(super) const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
pub(super) const CONNECT_DATE: &str = "org.apache.kafka.connect.data.Date";
pub(super) const CONNECT_TIME: &str = "org.apache.kafka.connect.data.Time";
pub(super) const CONNECT_TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";

pub(super) const DATE: &str = "io.debezium.time.Date";
pub(super) const TIME: &str = "io.debezium.time.Time";
pub(super) const MICRO_TIME: &str = "io.debezium.time.MicroTime";
pub(super) const NANO_TIME: &str = "io.debezium.time.NanoTime";
pub(super) const TIMESTAMP: &str = "io.debezium.time.Timestamp";
pub(super) const MICRO_TIMESTAMP: &str = "io.debezium.time.MicroTimestamp";
pub(super) const NANO_TIMESTAMP: &str = "io.debezium.time.NanoTimestamp";
pub(super) const ZONED_TIMESTAMP: &str = "io.debezium.time.ZonedTimestamp";
pub(super) const YEAR: &str = "io.debezium.time.Year";

pub(super) const ENUM: &str = "io.debezium.data.Enum";
pub(super) const ENUM_SET: &str = "io.debezium.data.EnumSet";
pub(super) const JSON: &str = "io.debezium.data.Json";
pub(super) const BITS: &str = "io.debezium.data.Bits";
pub(super) const UUID: &str = "io.debezium.data.Uuid";
pub(super) const GEOMETRY: &str = "io.debezium.data.geometry.Geometry";
pub(super) const GEOGRAPHY: &str = "io.debezium.data.geometry.Geography";

/// Parameters of those schemas.
pub(super) const SCALE: &str = "scale";
pub(super) const PRECISION: &str = "connect.decimal.precision";
pub(super) const LENGTH: &str = "length";
pub(super) const ALLOWED: &str = "allowed";

/// What the name of a change's schema ends in.
pub(super) const ENVELOPE: &str = ".Envelope";
