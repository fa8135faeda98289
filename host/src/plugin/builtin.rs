//! Plugins the binary carries. They are replaceable at run time by uploading one of the same name.

use std::sync::LazyLock;

use crate::model::plugin::{Digest, Export};

/// One of them.
#[derive(Debug)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// What it can do; a test holds this against the component.
    pub exports: &'static [Export],
    /// What is run.
    pub bytes: &'static [u8],
    /// The digest of its bytes.
    pub digest: Digest,
}

impl Builtin {
    /// The one with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        BUILTINS.iter().find(|builtin| builtin.name == name)
    }
}

/// What scripts run in. No plugin of its own: nobody can name or replace it.
pub(super) const SCRIPT_ENGINE: &[u8] = include_bytes!("../../../plugins/dist/script-engine.wasm");

macro_rules! builtins {
    ($($name:literal: $($export:ident)|+;)*) => {
        /// All of them.
        pub static BUILTINS: LazyLock<Vec<Builtin>> = LazyLock::new(|| vec![$({
            let bytes: &[u8] = include_bytes!(concat!("../../../plugins/dist/", $name, ".wasm"));
            Builtin { name: $name, exports: &[$(Export::$export),+], bytes, digest: Digest::of(bytes) }
        },)*]);
    };
}

builtins! {
    "arcgis-organization": Transform;
    "arcgis-geoprocessing": Transform;
    "arcgis-feature": Transform;
    "arcgis-events": Receive;
    "dialogflow-standard": Transform | Answers;
    "dialogflow-fulfilment": Receive;
    "item-standards": Receive;
    "payload-files": Receive;
    "slack": Transform;
    "slack-actions": Receive;
}
