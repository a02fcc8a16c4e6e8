//! The real program, as a user meets it.

mod common;
mod database;
mod plugins;
mod queues;
mod quickstart;
mod reference;
mod seed;
mod settings;
mod tap;
mod validate;
mod worker;
