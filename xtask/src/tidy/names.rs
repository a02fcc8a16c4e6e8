//! The runtime and its REST API name no broker and no system: those are behind the two APIs. Kafka is not on the list:
//! its Connect is the API that we speak, and its class names are in it.

use super::{SourceFile, Violation, rust_text};

const NEUTRAL: [&str; 2] = ["crates/connect-runtime/src/", "crates/connect-rest/src/"];

const FOREIGN: [&str; 8] = ["rocketmq", "rabbitmq", "redis", "nats", "pulsar", "mysql", "mariadb", "sqlite"];

pub fn check(files: &[SourceFile]) -> Vec<Violation> {
    let neutral = |file: &&SourceFile| {
        NEUTRAL.iter().any(|folder| file.path.starts_with(folder))
            && file.path.ends_with(".rs")
            && !file.path.ends_with("/tests.rs")
            && !file.path.contains("/tests/")
    };
    files.iter().filter(neutral).flat_map(in_file).collect()
}

fn in_file(file: &SourceFile) -> Vec<Violation> {
    let complaint = |(line, code): (usize, String)| {
        let name = FOREIGN.iter().find(|name| is_named(&code, name))?;
        let remedy =
            "say it in terms of the OpenMessaging or connector API, or move it to drivers, connectors or cli";
        Some(Violation::new(&file.path, line, format!("the neutral runtime names {name}"), remedy))
    };
    rust_text::code_lines(&file.text).filter_map(complaint).collect()
}

/// As a word, a part of `snake_case`, or a hump of `CamelCase`; not inside another word.
fn is_named(code: &str, name: &str) -> bool {
    let lower = code.to_ascii_lowercase();
    lower.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let first = code[at..].chars().next();
        let after = code[at + name.len()..].chars().next();
        let begins = !before.is_some_and(|character| character.is_alphabetic())
            || first.is_some_and(char::is_uppercase) && before.is_some_and(char::is_lowercase);
        begins && !after.is_some_and(char::is_lowercase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_words() {
        for code in ["\"oms:redis://\"", "use mysql_async;", "RedisDriver", "OldNatsClient", "NATS"] {
            assert!(FOREIGN.iter().any(|name| is_named(code, name)), "{code}");
        }
        for code in ["signatsure", "predisposed", "kafka", "natsy"] {
            assert!(!FOREIGN.iter().any(|name| is_named(code, name)), "{code}");
        }
    }

    #[test]
    fn comments_and_tests_may_name_them() {
        let text = "// redis\nlet a = 1;\n#[cfg(test)]\nmod tests {\n// \n\"redis\"\n}\n";
        let path = "crates/connect-runtime/src/worker.rs".to_string();
        assert_eq!(check(&[SourceFile { path, text: text.into() }]), []);
        let path = "crates/connect-rest/src/lib.rs".to_string();
        let found = check(&[SourceFile { path, text: "\n\"redis\"".into() }]);
        assert_eq!(found[0].line, 2);
    }
}
