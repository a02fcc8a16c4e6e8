//! Which file follows one that was renamed, by the names that log rotation gives.

/// The names among `siblings` that were written after `old` and before the file called `name` now, oldest first.
///
/// `old` is what the file read last is called by now. Two schemes are known, those of logrotate: numbers that grow
/// with age (`app.log.2`, `app.log.1`, `app.log`) and dates (`app.log-20261121`, `app.log-20261122`, `app.log`).
/// Anything else has no known order, and nothing follows but the file itself. Compressed files cannot be read.
pub(super) fn successors(name: &str, old: &str, siblings: &[String]) -> Vec<String> {
    let Some(mark) = old.strip_prefix(name).filter(|mark| !mark.is_empty()) else { return Vec::new() };
    if let Some(age) = number(mark) {
        let younger = |sibling: &String| {
            let other = number(sibling.strip_prefix(name)?)?;
            (other < age).then(|| (other, sibling.clone()))
        };
        let mut found: Vec<_> = siblings.iter().filter_map(younger).collect();
        found.sort_by(|one, other| other.cmp(one));
        return found.into_iter().map(|(_, sibling)| sibling).collect();
    }
    if !mark.bytes().any(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let later = |sibling: &&String| {
        sibling.strip_prefix(name).is_some_and(|other| shape(other) == shape(mark) && other > mark)
    };
    let mut found: Vec<_> = siblings.iter().filter(later).cloned().collect();
    found.sort();
    found
}

/// `.7` is 7. More than six digits are a date.
fn number(mark: &str) -> Option<u32> {
    let digits = mark.strip_prefix('.')?;
    let short = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if short { digits.parse().ok() } else { None }
}

/// The text with every digit the same: names of one scheme have one shape.
fn shape(mark: &str) -> String {
    mark.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(old: &str, siblings: &[&str]) -> Vec<String> {
        let siblings: Vec<_> = siblings.iter().map(|name| (*name).to_owned()).collect();
        successors("app.log", old, &siblings)
    }

    #[test]
    fn numbers_grow_with_age() {
        let siblings =
            ["app.log", "app.log.1", "app.log.2", "app.log.3", "app.log.10", "app.log.4.gz", "x.log.1"];
        assert_eq!(after("app.log.3", &siblings), ["app.log.2", "app.log.1"]);
        assert_eq!(after("app.log.1", &siblings), Vec::<String>::new());
        assert_eq!(after("app.log.10", &siblings), ["app.log.3", "app.log.2", "app.log.1"]);
    }

    #[test]
    fn dates_grow_with_time() {
        let siblings =
            ["app.log-20261120", "app.log-20261122", "app.log-20261121", "app.log-20261123.gz", "app.log"];
        assert_eq!(after("app.log-20261120", &siblings), ["app.log-20261121", "app.log-20261122"]);
    }

    #[test]
    fn other_names_have_no_order() {
        assert_eq!(after("app.log.old", &["app.log.old", "app.log.bak"]), Vec::<String>::new());
        assert_eq!(after("elsewhere", &["app.log.1"]), Vec::<String>::new());
        assert_eq!(after("app.log", &["app.log.1"]), Vec::<String>::new());
    }
}
