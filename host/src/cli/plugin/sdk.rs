//! The guest SDK, contained in the binary. `plugin new` writes it into the folder of the author's plugin.

macro_rules! sdk {
    ($($path:literal)*) => {
        /// Every file of the SDK, by its path.
        pub const FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../../../guest-sdk/", $path)))),*];
    };
}

sdk! {
    "Cargo.toml"
    "README.md"
    "src/answer.rs"
    "src/bindings.rs"
    "src/call.rs"
    "src/config.rs"
    "src/delivery.rs"
    "src/dialogflow.rs"
    "src/error.rs"
    "src/event.rs"
    "src/events.rs"
    "src/lib.rs"
    "src/log.rs"
    "src/parameters.rs"
    "src/secrets.rs"
    "src/session.rs"
    "src/state.rs"
    "src/testing.rs"
    "src/webhooks.rs"
    "wit/hookwright.wit"
}

/// The license of the SDK.
pub const LICENSE: &str = include_str!("../../../../LICENSE");

/// The types of a script's environment, for editors.
pub const SCRIPT_TYPES: &str = include_str!("../../../../plugins/script-engine/hookwright.d.ts");

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    fn files_under(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files_under(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).expect("below the root").display().to_string());
            }
        }
    }

    #[test]
    fn every_file_of_the_sdk_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
        let mut there = BTreeSet::from(["Cargo.toml".to_owned(), "README.md".to_owned()]);
        files_under(&root.join("src"), &root, &mut there);
        files_under(&root.join("wit"), &root, &mut there);
        let carried: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(carried, there, "host/src/cli/plugin/sdk.rs lists the files of guest-sdk");
    }
}
