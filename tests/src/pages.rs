//! The Markdown pages of the repository, and the examples in them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::root;

/// Every page that is committed, or would be, sorted.
pub fn pages() -> Vec<PathBuf> {
    let listed =
        Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]).current_dir(root()).output();
    let listed = listed.expect("git");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut pages: Vec<_> = names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect();
    pages.sort();
    pages.dedup();
    // Pages that were removed but not committed yet are listed, too.
    pages.retain(|page| page.is_file());
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// A page by its path from the root.
pub fn name(page: &Path) -> String {
    page.strip_prefix(root()).unwrap_or(page).display().to_string()
}

/// The text of a file.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of this kind in a page.
pub fn blocks(page: &str, kind: &str) -> Vec<String> {
    let open = format!("```{kind}\n");
    page.split(&open).skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

/// The blocks of a page that are marked `sh run`, as one script, with the function that the guide defines and all blocks use. `None` if
/// the page has no such block.
pub fn examples(page: &str) -> Option<String> {
    let blocks = blocks(page, "sh run");
    if blocks.is_empty() {
        return None;
    }
    let guide = read(&root().join("host/docs/guide.md"));
    let api = guide.lines().find(|line| line.starts_with("api() {")).expect("the guide defines `api`").to_owned();
    Some(std::iter::once(api).chain(blocks).collect::<Vec<_>>().join("\n"))
}
