//! Loads the guests that `tests/guests/build` compiled from `tests/guests`.

use bytes::Bytes;

use crate::root;

/// The text in `echo.wasm` before the four characters of its version.
const MARKER: &[u8] = b"HOOKWRIGHT-VER:";

/// The bytes of a guest.
#[track_caller]
pub fn guest(name: &str) -> Bytes {
    let path = root().join("target/guests/out").join(format!("{name}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("the guest {} is not there ({error}): run `tests/run`, or `tests/guests/build` alone", path.display()),
    }
}

/// A version of the guest `echo`, with different bytes and so a different digest.
pub fn echo(version: u32) -> Bytes {
    let mut bytes = guest("echo").to_vec();
    let found: Vec<_> = (0..bytes.len() - MARKER.len()).filter(|at| bytes[*at..].starts_with(MARKER)).collect();
    let [at] = found[..] else { panic!("echo.wasm has its version in {} places", found.len()) };
    let digits = at + MARKER.len();
    bytes[digits..digits + 4].copy_from_slice(format!("{version:04}").as_bytes());
    bytes.into()
}

/// Makes a component that imports WASI 0.2 from a module, as `wasm32-wasip2` and `wasm-tools component new` do.
#[track_caller]
pub fn component(module: &[u8]) -> Vec<u8> {
    use wasi_preview1_component_adapter_provider::{WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER};
    let encoder = wit_component::ComponentEncoder::default().module(module).expect("a module");
    let encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    encoder.expect("an adapter").encode().expect("a component")
}
