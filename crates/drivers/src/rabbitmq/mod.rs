//! `oms:rabbitmq://host:port/region:namespace`: RabbitMQ.
