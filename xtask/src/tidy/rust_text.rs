//! Rust source without its comments and its unit tests, line by line.

/// The numbered lines of a file, comments taken out, up to the unit tests at its end. String literals stay. It knows
/// just enough of the language for that: strings, raw strings, characters, and both kinds of comments.
pub fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    let end = unit_tests_begin(text);
    let code = without_comments(text);
    let lines: Vec<String> = code.lines().take(end).map(str::to_string).collect();
    lines.into_iter().enumerate().map(|(index, line)| (index + 1, line))
}

/// How many lines are before `#[cfg(test)]` of a module with tests; by custom they are the last thing in a file.
fn unit_tests_begin(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ");
    lines.windows(2).position(begins).unwrap_or(lines.len())
}

#[derive(PartialEq)]
enum Inside {
    Code,
    String,
    RawString(usize),
    Line,
    Block(usize),
}

/// Comments become nothing; the line ends in them stay.
fn without_comments(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut result = String::with_capacity(text.len());
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let (next, length) = step(&inside, rest, result.chars().last());
        let comment = |state: &Inside| matches!(state, Inside::Line | Inside::Block(_));
        if comment(&inside) || comment(&next) {
            result.extend(rest[..length].iter().filter(|character| **character == '\n'));
        } else {
            result.extend(&rest[..length]);
        }
        inside = next;
        at += length;
    }
    result
}

/// Where we are after the next token, and how many characters that is.
fn step(inside: &Inside, rest: &[char], before: Option<char>) -> (Inside, usize) {
    let starts = |text: &str| text.chars().zip(rest).filter(|(a, b)| a == *b).count() == text.chars().count();
    match inside {
        Inside::Code if starts("//") => (Inside::Line, 2),
        Inside::Code if starts("/*") => (Inside::Block(1), 2),
        Inside::Code if starts("\"") => (Inside::String, 1),
        Inside::Code if starts("'\\") => (Inside::Code, rest.len().min(3)),
        Inside::Code if starts("'") && rest.get(2) == Some(&'\'') => (Inside::Code, 3),
        Inside::Code if starts("r") && !before.is_some_and(|character| character.is_alphanumeric()) => {
            let hashes = rest[1..].iter().take_while(|character| **character == '#').count();
            match rest.get(1 + hashes) {
                Some('"') => (Inside::RawString(hashes), 2 + hashes),
                _ => (Inside::Code, 1),
            }
        }
        Inside::String if starts("\\") => (Inside::String, rest.len().min(2)),
        Inside::String if starts("\"") => (Inside::Code, 1),
        Inside::RawString(hashes) if starts(&format!("\"{}", "#".repeat(*hashes))) => {
            (Inside::Code, 1 + hashes)
        }
        Inside::Line if starts("\n") => (Inside::Code, 1),
        Inside::Block(depth) if starts("/*") => (Inside::Block(depth + 1), 2),
        Inside::Block(1) if starts("*/") => (Inside::Code, 2),
        Inside::Block(depth) if starts("*/") => (Inside::Block(depth - 1), 2),
        Inside::Code => (Inside::Code, 1),
        Inside::String => (Inside::String, 1),
        Inside::RawString(hashes) => (Inside::RawString(*hashes), 1),
        Inside::Line => (Inside::Line, 1),
        Inside::Block(depth) => (Inside::Block(*depth), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        code_lines(text).map(|(_, line)| line).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn comments_go_and_strings_stay() {
        assert_eq!(code("let a = \"x // y\"; // gone"), "let a = \"x // y\"; ");
        assert_eq!(code("a /* b /* c\n */ d */ e"), "a | e");
        assert_eq!(code("r#\"a \" // b\"# // c"), "r#\"a \" // b\"# ");
        assert_eq!(code("'\"' // c"), "'\"' ");
        assert_eq!(code("'\\'' // c"), "'\\'' ");
        assert_eq!(code("\"a\\\" // b\" // c"), "\"a\\\" // b\" ");
        assert_eq!(code("fn f<'a>(x: &'a str) {} // c"), "fn f<'a>(x: &'a str) {} ");
    }

    #[test]
    fn unit_tests_are_left_out() {
        assert_eq!(code("a\n#[cfg(test)]\nmod tests {\n}"), "a");
        assert_eq!(code("#[cfg(test)]\nuse x;\nb"), "#[cfg(test)]|use x;|b");
    }
}
