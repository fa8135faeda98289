//! Uploaded bytes -> the bytes of a component. Runs in the child process, because what it reads is anybody's.

use serde::{Deserialize, Serialize};
use wasi_preview1_component_adapter_provider::{WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;
use wit_component::ComponentEncoder;

/// Why uploaded bytes are not a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::plugin) enum Refusal {
    /// Neither a core module nor a component.
    NotWasm(String),
    /// A core module with `_start`.
    CommandModule,
    /// A core module without a `component-type` section.
    NotAPlugin,
    /// It does not validate.
    Invalid(String),
}

/// Whether the bytes are machine code. Never deserialise an upload: wasmtime trusts what it deserialises.
pub(in crate::plugin) fn is_precompiled(bytes: &[u8]) -> bool {
    Engine::detect_precompiled(bytes).is_some() || bytes.starts_with(b"\x7fELF")
}

/// A component as it is; a core module wrapped with the WASI preview 1 adapter for reactors. What was built against an older
/// release of the interface is taken over into the present one first.
pub(in crate::plugin) fn componentize(mut bytes: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    adopt_0_1(&mut bytes);
    if Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    if !Parser::is_core_wasm(&bytes) {
        return Err(Refusal::NotWasm(what_it_looks_like(&bytes).to_owned()));
    }
    let Module { is_command, has_component_type } = Module::read(&bytes).map_err(|error| Refusal::Invalid(error.to_string()))?;
    if is_command {
        return Err(Refusal::CommandModule);
    }
    if !has_component_type {
        return Err(Refusal::NotAPlugin);
    }
    let encoder = ComponentEncoder::default().validate(true).module(&bytes);
    encoder
        .and_then(|encoder| encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| Refusal::Invalid(format!("{error:#}")))
}

/// Interface 0.2 is 0.1 with a promise: not one type or function differs, so a plugin built against 0.1 is one built against 0.2 under
/// another name. The names are written where they stand, in imports, exports and type sections: both versions are as long.
/// `tests/corpus` holds plugins of both to what they did.
fn adopt_0_1(bytes: &mut [u8]) {
    const PACKAGE: &[u8] = b"hookwright:plugin";
    const INTERFACE_BYTES_MAX: usize = 32;
    let (old, new) = (b"@0.1.0", b"@0.2.0");
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(PACKAGE.len()).position(|window| window == PACKAGE)) {
        at += found + PACKAGE.len();
        // The package itself, or a `/` and the name of an interface.
        let name = bytes[at..].iter().take(INTERFACE_BYTES_MAX).take_while(|byte| matches!(byte, b'/' | b'-' | b'a'..=b'z')).count();
        if let Some(version) = bytes.get_mut(at + name..at + name + old.len())
            && version == old
        {
            version.copy_from_slice(new);
        }
    }
}

/// What a look over a core module's sections tells.
struct Module {
    is_command: bool,
    has_component_type: bool,
}

impl Module {
    fn read(bytes: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut module = Self { is_command: false, has_component_type: false };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ExportSection(exports) => {
                    for export in exports {
                        module.is_command |= export?.name == "_start";
                    }
                }
                Payload::CustomSection(section) => module.has_component_type |= section.name().starts_with("component-type"),
                _ => {}
            }
        }
        Ok(module)
    }
}

fn what_it_looks_like(bytes: &[u8]) -> &'static str {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(512)).unwrap_or_default()).map(str::trim_start);
    match text {
        _ if bytes.is_empty() => "it is empty",
        Ok(text) if text.starts_with("(module") || text.starts_with("(component") => {
            "it is the text format; convert it with `wasm-tools parse`"
        }
        Ok(text) if text.contains("export ") || text.contains("function") => {
            "it looks like a script; send it as `text/javascript` or `text/typescript` (a file: with the ending `.js` or `.ts`)"
        }
        _ => "it does not begin with `\\0asm`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_plugin_is_refused_with_a_reason() {
        assert_eq!(componentize(Vec::new()), Err(Refusal::NotWasm("it is empty".into())));
        assert!(
            matches!(componentize(b"export function transform() {}".to_vec()), Err(Refusal::NotWasm(why)) if why.contains("text/javascript"))
        );
        let empty_module = b"\0asm\x01\0\0\0".to_vec();
        assert_eq!(componentize(empty_module.clone()), Err(Refusal::NotAPlugin));
        let start = [&empty_module[..], &[7, 10, 1, 6, b'_', b's', b't', b'a', b'r', b't', 0, 0]].concat();
        assert_eq!(componentize(start), Err(Refusal::CommandModule));
        assert!(matches!(componentize([&empty_module[..], &[1, 200]].concat()), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn the_old_names_are_taken_over_and_nothing_else() {
        let mut bytes =
            b"xhookwright:plugin/parameter-writes@0.1.0 hookwright:plugin@0.1.0hookwright:plugin/log@0.1.1 hookwright:plugin/l@0.1."
                .to_vec();
        adopt_0_1(&mut bytes);
        let taken =
            b"xhookwright:plugin/parameter-writes@0.2.0 hookwright:plugin@0.2.0hookwright:plugin/log@0.1.1 hookwright:plugin/l@0.1.";
        assert_eq!(bytes, taken);
    }

    #[test]
    fn machine_code_is_recognised() {
        assert!(is_precompiled(b"\x7fELF\x02\x01\x01"));
        assert!(!is_precompiled(b"\0asm\x01\0\0\0"));
    }
}
