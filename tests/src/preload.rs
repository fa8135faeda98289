//! Small libraries that are loaded into the real binary: what it does to its files is logged, its clock is set. Built from
//! `tests/preload` when first asked for.

use std::{path::PathBuf, process::Command};

use crate::{root, target};

/// The library made of `tests/preload/<name>.c`.
pub fn library(name: &str) -> PathBuf {
    let source = root().join("tests/preload").join(format!("{name}.c"));
    let directory = target().join("preload");
    std::fs::create_dir_all(&directory).expect("a directory for libraries");
    let library = directory.join(format!("{name}.so"));
    // Tests of several processes may build it at once: each puts a whole one in place.
    let made = tempfile::NamedTempFile::new_in(&directory).expect("a file");
    let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(made.path()).arg(&source).args(["-ldl", "-lpthread"]);
    let built = compiler.output().unwrap_or_else(|error| panic!("{compiler:?}: {error}"));
    assert!(built.status.success(), "{compiler:?}: {}", String::from_utf8_lossy(&built.stderr));
    made.persist(&library).expect("a library");
    library
}
