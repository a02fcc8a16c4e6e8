//! `oms:rocketmq://host:port/region:namespace`: Apache RocketMQ.
