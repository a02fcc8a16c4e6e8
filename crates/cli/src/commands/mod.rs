//! The commands, one file each.

pub mod doctor;
pub mod plugins;
pub mod queues;
pub mod quickstart;
pub mod reference;
pub mod tap;
pub mod validate;
pub mod worker;
