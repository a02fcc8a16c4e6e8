//! Values of MySQL and MariaDB from bytes to scalars: the row images of the binary log, and the rows of a `SELECT`.
//!
//! A [`RowPlan`] is made once for a table map. It walks an image ([`RowPlan::image`], or [`RowReader`] for all rows
//! of an event), which notes where each column is, and then drives the columns into a visitor. Text in ASCII or UTF-8
//! and all numbers are handed on without allocation. [`visit_value`] gives the same scalars for the same stored value
//! as a `SELECT` in the binary protocol brings it.

mod charset;
mod column;
mod decimal;
mod json;
mod plan;
mod reader;
mod schema;
mod select;
mod temporal;
mod uuid;

pub use charset::{decode_text, is_known_charset};
pub use plan::{RowPlan, Spans};
pub use reader::RowReader;
pub use schema::{column_schema, key_schema, row_schema, source_type};
pub use select::visit_value;
pub(crate) use uuid::uuid_text;
