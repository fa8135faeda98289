//! A plugin as it was built against 0.1.0 of the interface; see `tests/corpus`.

#![allow(missing_docs, unsafe_code, unused_qualifications, clippy::all, reason = "generated code")]

wit_bindgen::generate!({ path: "../corpus/0.1.0", world: "plugin" });

include!("../../corpus/guest.rs");
