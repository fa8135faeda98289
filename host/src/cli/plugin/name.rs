//! Names of plugins, and of the crates they are compiled from.

/// The rule for names of plugins.
const RULE: &str = "a plugin's name is 1 to 64 lower-case letters, digits and `-`, and does not begin with `-`";

/// Names that no crate can have, because Rust or cargo uses them for something else.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Checks a plugin's name from the command line.
pub fn parse(name: &str) -> Result<String, String> {
    let fits = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let good = (1..=64).contains(&name.len()) && !name.starts_with('-') && name.as_bytes().iter().all(fits);
    if good { Ok(name.to_owned()) } else { Err(RULE.to_owned()) }
}

/// The name of a plugin's package: the plugin's own, if cargo allows it and no crate in `lock` has it.
pub fn package(name: &str, lock: &str) -> String {
    let taken = lock.contains(&format!("\nname = \"{name}\"\n")) || lock.contains(&format!("\nname = \"{}\"\n", name.replace('-', "_")));
    if taken || name.starts_with(|first: char| first.is_ascii_digit()) || RESERVED.contains(&name) {
        format!("plugin-{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_the_host_takes() {
        use crate::plugin::is_plugin_name;
        for name in ["greeting", "7zip", "a", "a-b-", "", "-a", "A", "a_b", "a.b", "../a", "é", &"a".repeat(64), &"a".repeat(65)] {
            assert_eq!(parse(name).is_ok(), is_plugin_name(name), "{name}");
        }
    }

    #[test]
    fn a_package_never_has_a_name_cargo_refuses() {
        let lock = "[[package]]\nname = \"serde_json\"\nversion = \"1\"\n";
        assert_eq!(package("greeting", lock), "greeting");
        assert_eq!(package("7zip", lock), "plugin-7zip");
        assert_eq!(package("match", lock), "plugin-match");
        assert_eq!(package("serde-json", lock), "plugin-serde-json");
    }
}
