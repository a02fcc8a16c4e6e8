//! MySQL's binary JSON (`sql-common/json_binary.h`) as the text that the server itself prints.

mod diff;
mod number;
mod print;
mod tree;
mod value;

pub(super) use diff::apply_changes;

/// The server's own limit of nesting (`JSON_DOCUMENT_MAX_DEPTH`).
const MAX_DEPTH: usize = 100;

/// Appends the text of a document.
///
/// # Errors
/// The bytes are no JSON document.
pub(super) fn write_text(document: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let Some((ty, data)) = document.split_first() else {
        // What `UPDATE IGNORE` makes of NULL in a NOT NULL column.
        out.extend_from_slice(b"null");
        return Ok(());
    };
    // Every value takes a byte of its own and so does every character: documents that point at the same bytes again and again
    // run out of budget, not out of memory.
    let mut budget = document.len();
    print::value(value::Raw { ty: *ty, data }, &mut budget, MAX_DEPTH, out)
}
