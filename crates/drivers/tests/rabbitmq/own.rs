//! What is RabbitMQ's own.
