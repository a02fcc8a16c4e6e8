//! What is this driver's own.
