//! Small libraries that are loaded into the real binary, to log what it does to its files or to set its clock. They are compiled from
//! `tests/preload` when a test needs them.

use std::{path::PathBuf, process::Command};

use crate::{root, target};

/// The library compiled from `tests/preload/<name>.c`.
pub fn library(name: &str) -> PathBuf {
    let source = root().join("tests/preload").join(format!("{name}.c"));
    let directory = target().join("preload");
    std::fs::create_dir_all(&directory).expect("a directory for libraries");
    let library = directory.join(format!("{name}.so"));
    // Tests in several processes may build it at the same time, so each puts a complete file in place.
    let made = tempfile::NamedTempFile::new_in(&directory).expect("a file");
    let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(made.path()).arg(&source).args(["-ldl", "-lpthread"]);
    let built = compiler.output().unwrap_or_else(|error| panic!("{compiler:?}: {error}"));
    assert!(built.status.success(), "{compiler:?}: {}", String::from_utf8_lossy(&built.stderr));
    made.persist(&library).expect("a library");
    library
}
