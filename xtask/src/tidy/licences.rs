//! Every package that we build with has a licence of the list in `deny.toml`, and comes from the registry. The same list
//! is what `cargo deny` goes by, where that is installed; this check needs nothing but cargo.

use serde_json::Value;

use super::{Violation, spdx};

pub fn check(metadata: &Value, deny: &str) -> Vec<Violation> {
    let allowed = allowed(deny);
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().flat_map(|package| of_package(package, &allowed)).collect()
}

fn of_package(package: &Value, allowed: &[String]) -> Vec<Violation> {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let name = format!("{} {}", text("name"), text("version"));
    let mut found = Vec::new();
    let expression = text("license");
    if !spdx::is_allowed(expression, allowed) {
        let licence = if expression.is_empty() { "no licence field" } else { expression };
        let remedy = "use another package, or add the licence to deny.toml if it is a permissive one";
        found.push(Violation::new("Cargo.lock", 1, format!("{name}: {licence} is not on the list"), remedy));
    }
    if package["source"].as_str().is_some_and(|source| !source.starts_with("registry+")) {
        let remedy = "use a released version: what is not in the registry may change or vanish";
        found.push(Violation::new("Cargo.lock", 1, format!("{name} comes from {}", text("source")), remedy));
    }
    found
}

/// The strings of `allow = [...]` in the section `[licenses]`.
fn allowed(deny: &str) -> Vec<String> {
    let section = deny.split("[licenses]").nth(1).unwrap_or_default();
    let list = section.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    let entries = list.lines().map(|line| line.split('#').next().unwrap_or_default());
    entries.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DENY: &str =
        "[sources]\nallow = [\"x\"]\n[licenses]\n# a comment\nallow = [\n  \"MIT\", # why\n  \"ISC\",\n]\n";

    #[test]
    fn the_list_is_the_one_of_cargo_deny() {
        assert_eq!(allowed(DENY), ["MIT", "ISC"]);
    }

    #[test]
    fn a_licence_that_is_not_listed_is_found() {
        let metadata = |licence: Value, source: &str| json!({"packages": [{"name": "a", "version": "1.0.0", "license": licence, "source": source}]});
        assert_eq!(check(&metadata("MIT".into(), "registry+x"), DENY), []);
        assert!(check(&metadata("GPL-3.0".into(), "registry+x"), DENY)[0].problem.contains("GPL-3.0"));
        assert!(check(&metadata(Value::Null, "registry+x"), DENY)[0].problem.contains("no licence field"));
        assert!(check(&metadata("MIT".into(), "git+x"), DENY)[0].problem.contains("git+x"));
    }
}
