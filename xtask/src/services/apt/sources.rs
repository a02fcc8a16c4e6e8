//! Which Debian mirror this machine uses, read from its own apt sources in either of their two formats.

use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    pub uri: String,
    pub suites: Vec<String>,
    pub components: Vec<String>,
    pub signed_by: Option<String>,
}

impl Source {
    /// A line for a list of sources with another suite of the same mirror.
    pub fn line(&self, suite: &str) -> String {
        let key = self.signed_by.as_deref().unwrap_or(KEYRING);
        format!("deb [signed-by={key}] {} {suite} main\n", self.uri)
    }
}

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Every source that apt on this machine reads.
pub fn of_the_system() -> Vec<Source> {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(listing) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(listing.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(text.lines().filter_map(one_line)),
            Some("sources") => found.extend(stanzas(&text)),
            _ => {}
        }
    }
    found
}

/// The main Debian archive among them, if any: not the one of security fixes, not another vendor's.
pub fn debian_mirror(sources: &[Source]) -> Option<Source> {
    let candidates = || {
        sources.iter().filter(|source| {
            source.components.iter().any(|component| component == "main")
                && !source.suites.iter().any(|suite| suite.ends_with("-security") || suite.contains('/'))
        })
    };
    let signed = |source: &&Source| source.signed_by.as_deref() == Some(KEYRING);
    let named = |source: &&Source| {
        source.signed_by.is_none()
            && source.uri.trim_end_matches(['/', '.', 'l', 'i', 's', 't']).ends_with("/debian")
    };
    candidates().find(signed).or_else(|| candidates().find(named)).cloned()
}

/// `deb [signed-by=F] URI SUITE COMPONENT...`
fn one_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_ascii_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_ascii_whitespace().map(str::to_string);
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_string),
    })
}

/// The newer format: stanzas of `Key: values`, comments with `#`, continued lines indented.
fn stanzas(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).filter_map(one_stanza).collect()
}

fn one_stanza(lines: &[&str]) -> Option<Source> {
    let values = |key: &str| -> Vec<String> {
        let of_key = lines
            .iter()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        of_key
            .map(|(_, value)| value.split_ascii_whitespace().map(str::to_string).collect())
            .unwrap_or_default()
    };
    let enabled = !values("Enabled").first().is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if !enabled || !values("Types").iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Source {
        uri: values("URIs").first()?.clone(),
        suites: values("Suites"),
        components: values("Components"),
        // A key may also be written out in the file, on indented lines; then there is no path to pass on.
        signed_by: values("Signed-By").first().filter(|value| value.starts_with('/')).cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
# a comment
Types: deb deb-src
URIs: http://mirror.example/security
Suites: stable-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian
Suites: stable stable-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: stable
Components: main
";

    #[test]
    fn the_main_archive_is_found_in_stanzas() {
        let found = stanzas(STANZAS);
        assert_eq!(found.len(), 2);
        let mirror = debian_mirror(&found).expect("the main archive");
        assert_eq!(
            mirror.line("sid"),
            format!("deb [signed-by={KEYRING}] http://mirror.example/debian sid main\n")
        );
    }

    #[test]
    fn the_main_archive_is_found_in_one_line_sources() {
        let text = "deb [arch=amd64 signed-by=/k.gpg] http://vendor.example/apt stable main\n# deb http://x y z\n\
                    deb http://mirror.example/debian/ bookworm main contrib\n";
        let found: Vec<Source> = text.lines().filter_map(one_line).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].signed_by.as_deref(), Some("/k.gpg"));
        assert_eq!(debian_mirror(&found).expect("the main archive").uri, "http://mirror.example/debian/");
    }

    #[test]
    fn another_vendors_archive_is_not_taken_for_debians() {
        let vendor = one_line("deb http://vendor.example/node nodistro main").expect("a source");
        assert_eq!(debian_mirror(&[vendor]), None);
    }
}
