//! JSON without a tree: values are written as they are visited and read as they are parsed.

pub(super) mod kind;
pub(super) mod plan;
pub(super) mod reader;
pub(super) mod writer;
