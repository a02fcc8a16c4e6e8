
pub mod services;
