//! How values look as text: what the formats share. Nothing here knows a format.

pub(super) mod date;
pub(super) mod decimal;
pub(super) mod escape;
pub(super) mod number;
