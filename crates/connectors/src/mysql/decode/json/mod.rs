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
    // Every value takes a byte of its own and so does every character: documents that point at the same bytes again
    // and again run out of budget, not out of memory.
    let mut budget = document.len();
    print::value(value::Raw { ty: *ty, data }, &mut budget, MAX_DEPTH, out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(document: &[u8]) -> Result<String, String> {
        let mut out = Vec::new();
        write_text(document, &mut out).map(|()| String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn a_small_object() {
        // {"a": [1, "b"], "c": null}
        let array = [2, 0, 12, 0, 5, 1, 0, 12, 10, 0, 1, b'b'];
        let mut document = vec![0, 2, 0, 32, 0, 18, 0, 1, 0, 19, 0, 1, 0, 2, 20, 0, 4, 0, 0, b'a', b'c'];
        document.extend(array);
        assert_eq!(text(&document).unwrap(), r#"{"a": [1, "b"], "c": null}"#);
        assert_eq!(text(&[]).unwrap(), "null");
    }

    /// An array of eight, each of which is the same array again, and so on: 2^300 values in a few bytes.
    #[test]
    fn documents_that_use_their_bytes_twice_are_refused() {
        let mut document = vec![2];
        for _ in 0..50 {
            document.extend([8, 0, 255, 0]);
            document.extend([2, 28, 0].repeat(8));
        }
        let error = text(&document).unwrap_err();
        assert!(error.contains("JSON document"), "{error}");
    }

    #[test]
    fn nesting_is_bounded() {
        let mut document = vec![4, 0];
        for depth in 0..=101u16 {
            let (ty, data) = document.split_first().unwrap();
            let mut outer = vec![2, 1, 0];
            outer.extend((7 + data.len() as u16).to_le_bytes());
            outer.push(*ty);
            outer.extend(if depth == 0 { [0, 0] } else { [7, 0] });
            outer.extend(data);
            document = outer;
            assert_eq!(text(&document).is_ok(), depth < 100, "{depth}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), changes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = text(&bytes);
            let _ = apply_changes(&bytes, &changes, &mut Vec::new());
        }

        #[test]
        fn small_counts_and_offsets_reach_deeper(bytes in proptest::collection::vec(0u8..24, 0..120)) {
            let _ = text(&bytes);
        }
    }
}
