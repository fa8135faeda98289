//! Finds out which file of the host imports which, from `use` and from paths in the code. Each name is followed to the file that defines
//! it.
//!
//! A name that a file only re-exports (`pub use`) does not count as an import of that file. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

/// The code of each file, by its path below `host/src`.
pub type Sources = BTreeMap<String, String>;
/// For each file, the files it imports from and the names it imports.
pub type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// One name of a `use`.
struct Used {
    /// The path as written.
    path: Vec<String>,
    /// The name that it has in this file.
    name: String,
    is_public: bool,
}

/// A parsed file.
struct Parsed {
    used: Vec<Used>,
    /// The code without its `use`.
    rest: String,
}

/// The whole crate.
struct Crate {
    files: BTreeMap<String, Parsed>,
    /// The file of each module.
    modules: BTreeMap<Vec<String>, String>,
}

/// The imports among these files.
pub fn imports(sources: &Sources) -> Imports {
    let files: BTreeMap<_, _> = sources.iter().map(|(path, code)| (path.clone(), parsed(code))).collect();
    let modules = files.keys().filter(|path| *path != "main.rs").map(|path| (module(path), path.clone())).collect();
    let whole = Crate { files, modules };
    whole.files.keys().map(|path| (path.clone(), whole.of(path))).collect()
}

/// Files that import each other in a circle. Each circle is sorted.
pub fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports.keys().map(|from| (from.as_str(), reach(imports, from))).collect();
    let mut found = BTreeSet::new();
    for (from, all) in &reached {
        if all.contains(from) {
            let circle = all.iter().filter(|to| reached.get(*to).is_some_and(|back| back.contains(from)));
            found.insert(circle.map(|file| (*file).to_owned()).collect());
        }
    }
    found
}

/// The files that a file imports, directly and indirectly.
fn reach<'a>(imports: &'a Imports, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut left: Vec<&str> = vec![from];
    while let Some(file) = left.pop() {
        for to in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(to.as_str()) {
                left.push(to);
            }
        }
    }
    found
}

/// `a/b.rs` is the module `a::b`; `lib.rs` is the root.
fn module(path: &str) -> Vec<String> {
    if path == "lib.rs" { Vec::new() } else { path.trim_end_matches(".rs").split('/').map(str::to_owned).collect() }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn parsed(code: &str) -> Parsed {
    let code = bare(code);
    let (mut used, mut rest, mut lines) = (Vec::new(), String::new(), code.lines());
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let behind = trimmed.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")).map(|(_, rest)| rest);
        let (is_public, item) = match behind.or_else(|| trimmed.strip_prefix("pub ")) {
            Some(item) => (true, item),
            None => (false, trimmed),
        };
        let Some(tree) = item.strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line.trim());
            tree.push(' ');
        }
        let tree = tree.split(';').next().unwrap_or_default();
        used.extend(expanded(tree, &[]).into_iter().map(|(path, name)| Used { path, name, is_public }));
    }
    Parsed { used, rest }
}

/// The code without comments and without the content of string literals.
fn bare(code: &str) -> String {
    let (mut out, mut rest) = (String::new(), code);
    while let Some(first) = rest.chars().next() {
        let hashes = rest.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
        let is_in_word = out.ends_with(is_word);
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => 1 + end_of_text(&rest[1..]),
            'r' if !is_in_word && hashes.is_some_and(|hashes| rest[1 + hashes..].starts_with('"')) => {
                let (hashes, open) = (hashes.unwrap_or_default(), 2 + hashes.unwrap_or_default());
                rest[open..].find(&format!("\"{}", "#".repeat(hashes))).map_or(rest.len(), |end| open + end + 1 + hashes)
            }
            // A character literal; otherwise a lifetime.
            '\'' if rest[1..].starts_with('\\') => 3 + rest[3..].find('\'').map_or(0, |end| end + 1),
            '\'' if rest[1..].chars().nth(1) == Some('\'') => 2 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => 0,
        };
        if skipped == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            rest = &rest[skipped.min(rest.len())..];
        }
    }
    out
}

/// The length of a string literal up to and including its closing quote.
fn end_of_text(rest: &str) -> usize {
    let mut is_escaped = false;
    let end = rest.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(rest.len(), |end| end + 1)
}

/// The paths in a `use`, and the name of each in the file.
fn expanded(tree: &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((head, members)) = tree.split_once('{') {
        let mut path = before.to_vec();
        path.extend(head.split("::").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned));
        let members = members.rsplit_once('}').map_or(members, |(members, _)| members);
        return members_of(members).into_iter().flat_map(|member| expanded(&member, &path)).collect();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim().to_owned())));
    let mut whole = before.to_vec();
    whole.extend(path.split("::").map(|word| word.trim().to_owned()));
    if whole.last().is_some_and(|word| word == "self") {
        whole.pop();
    }
    let name = alias.or_else(|| whole.last().cloned()).unwrap_or_default();
    if tree.is_empty() { Vec::new() } else { vec![(whole, name)] }
}

/// The parts that the outermost commas separate.
fn members_of(list: &str) -> Vec<String> {
    let (mut found, mut depth) = (vec![String::new()], 0_usize);
    for character in list.chars() {
        match character {
            ',' if depth == 0 => found.push(String::new()),
            _ => {
                depth += usize::from(character == '{');
                depth = depth.saturating_sub(usize::from(character == '}'));
                found.last_mut().expect("one at least").push(character);
            }
        }
    }
    found.retain(|member| !member.trim().is_empty());
    found
}

/// The paths in code: `a::b::c`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let start = code[..at].rfind(|c| !is_word(c)).map_or(0, |before| before + 1);
        // Only begin at the first word of a path.
        if start == at || code[..start].ends_with("::") || code[..start].ends_with('.') {
            continue;
        }
        let end = code[start..].find(|c| !is_word(c) && c != ':').map_or(code.len(), |length| start + length);
        found.push(code[start..end].split("::").map(str::to_owned).filter(|word| !word.is_empty()).collect());
    }
    found
}

impl Crate {
    /// What the file at `path` imports.
    fn of(&self, path: &str) -> BTreeMap<String, BTreeSet<String>> {
        let file = &self.files[path];
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut take = |to: Option<(String, Option<String>)>| {
            if let Some((to, name)) = to.filter(|(to, _)| to != path && to != "lib.rs") {
                found.entry(to).or_default().insert(name.unwrap_or_else(|| "*".to_owned()));
            }
        };
        let own = module(path);
        let mut bound: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for child in self.modules.keys().filter(|child| child.len() == own.len() + 1 && child.starts_with(&own)) {
            bound.insert(child.last().map_or("", String::as_str), child.clone());
        }
        let in_code = |name: &str| file.rest.split(|c| !is_word(c)).any(|word| word == name);
        for Used { path: written, name, is_public } in &file.used {
            let Some((from, names)) = self.absolute(path, written) else { continue };
            if let Some((_, parent)) = names.split_last().filter(|(last, _)| *last == "*") {
                take(self.defined(&from, parent, 0));
                continue;
            }
            match self.defined(&from, &names, 0) {
                Some((to, None)) => {
                    if !is_public && !file.rest.contains(&format!("{name}::")) {
                        take(Some((to.clone(), None)));
                    }
                    bound.insert(name, module(&to));
                }
                Some(_) if *is_public && !in_code(name) => {}
                defined => take(defined),
            }
        }
        for written in paths(&file.rest) {
            match written[0].as_str() {
                "crate" | "self" | "super" | "hookwright" => {
                    if let Some((from, names)) = self.absolute(path, &written) {
                        take(self.defined(&from, &names, 0));
                    }
                }
                first => {
                    if let Some(from) = bound.get(first) {
                        take(self.defined(from, &written[1..], 0));
                    }
                }
            }
        }
        found
    }

    /// The module that a path begins in, and the rest; `None`: the path leads out of the crate.
    fn absolute(&self, file: &str, path: &[String]) -> Option<(Vec<String>, Vec<String>)> {
        let own = module(file);
        match path[0].as_str() {
            "crate" | "hookwright" => Some((Vec::new(), path[1..].to_vec())),
            "self" => Some((own, path[1..].to_vec())),
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                Some((own[..own.len().saturating_sub(ups)].to_vec(), path[ups..].to_vec()))
            }
            first => {
                let mut child = own.clone();
                child.push(first.to_owned());
                self.modules.contains_key(&child).then(|| (own, path.to_vec()))
            }
        }
    }

    /// The file that defines a name, and the name. If the name is `None`, it is the module itself.
    fn defined(&self, from: &[String], names: &[String], depth: usize) -> Option<(String, Option<String>)> {
        let mut at = from.to_vec();
        for (index, name) in names.iter().enumerate() {
            at.push(name.clone());
            if self.modules.contains_key(&at) {
                continue;
            }
            at.pop();
            let file = self.modules.get(&at)?;
            let handed_on = self.files[file].used.iter().find(|used| used.name == *name);
            let Some(used) = handed_on.filter(|_| depth < 8) else { return Some((file.clone(), Some(name.clone()))) };
            let (from, mut path) = self.absolute(file, &used.path)?;
            path.extend_from_slice(&names[index + 1..]);
            return self.defined(&from, &path, depth + 1);
        }
        self.modules.get(&at).map(|file| (file.clone(), None))
    }
}
