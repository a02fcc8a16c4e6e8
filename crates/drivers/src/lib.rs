//! OpenMessaging drivers: one folder and one feature for each message queue; `local` is always there.
//!
//! To add one: a folder of its own with the same file names, a feature, and a line in [`registry`].

#[cfg(feature = "server")]
#[cfg_attr(
    not(all(
        feature = "kafka",
        feature = "nats",
        feature = "rabbitmq",
        feature = "redis",
        feature = "rocketmq"
    )),
    allow(dead_code)
)]
mod common;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod local;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "rocketmq")]
pub mod rocketmq;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmessaging::DriverRegistry;

/// All drivers that this program was built with.
pub fn registry() -> DriverRegistry {
    let mut registry = DriverRegistry::new();
    registry.register(Arc::new(local::LocalDriver));
    #[cfg(feature = "kafka")]
    registry.register(Arc::new(kafka::KafkaDriver));
    #[cfg(feature = "nats")]
    registry.register(Arc::new(nats::NatsDriver));
    #[cfg(feature = "rabbitmq")]
    registry.register(Arc::new(rabbitmq::RabbitMqDriver));
    #[cfg(feature = "redis")]
    registry.register(Arc::new(redis::RedisDriver));
    #[cfg(feature = "rocketmq")]
    registry.register(Arc::new(rocketmq::RocketMqDriver));
    registry
}

/// The lock, also after a thread panicked with it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
