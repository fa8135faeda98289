//! What a component imports and exports, by name. Known imports are linked, `wasi:http` is linked so that every use of it fails by name,
//! all others are refused.

use wasmtime::{
    Engine,
    component::{
        Component, Linker, ResourceType,
        types::{ComponentInstance, ComponentItem},
    },
};

use crate::plugin::{
    call::{guest::Guest, imports::OFFERED},
    error::UploadError,
};
/// The interfaces of WASI 0.2 the host links, all of them with nothing behind: see `guest.rs`.
const WASI_LINKED: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// Interfaces a component may import although no call of them succeeds: the way out are the configured webhooks.
const WASI_REFUSED: &str = "wasi:http/";
/// What only the script engine may import.
const SCRIPT_PREFIX: &str = "hookwright:script/host@";
/// Ours.
const OWN_PREFIX: &str = "hookwright:plugin/";

/// Whose imports are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Importer {
    /// Anybody's.
    Plugin,
    /// Our own engine for scripts.
    ScriptEngine,
}

/// The `hookwright:plugin` interfaces a component imports, without prefix and version; or the first import nobody knows.
pub(in crate::plugin) fn imported(engine: &Engine, component: &Component, of: Importer) -> Result<Vec<String>, UploadError> {
    let mut ours = Vec::new();
    for (name, _) in component.component_type().imports(engine) {
        let known = if let Some(interface) = own_interface(name) {
            if interface != "types" {
                ours.push(interface.to_owned());
            }
            OFFERED.contains(&interface)
        } else if name.starts_with(SCRIPT_PREFIX) {
            of == Importer::ScriptEngine
        } else {
            wasi_version_is_0_2(name) && (name.starts_with(WASI_REFUSED) || WASI_LINKED.iter().any(|prefix| name.starts_with(prefix)))
        };
        if !known {
            return Err(UploadError::UnknownImport(name.to_owned()));
        }
    }
    ours.sort();
    Ok(ours)
}

/// The names of everything a component exports.
pub(in crate::plugin) fn exported(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// The linker, with functions that trap by name for what a component imports of `wasi:http`.
pub(in crate::plugin) fn with_refused(engine: &Engine, component: &Component, linker: &Linker<Guest>) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = linker.clone();
    for (name, import) in component.component_type().imports(engine) {
        if let ComponentItem::ComponentInstance(instance) = import.ty
            && name.starts_with(WASI_REFUSED)
        {
            refuse_all(engine, name, &instance, &mut linker)?;
        }
    }
    Ok(linker)
}

fn refuse_all(engine: &Engine, interface: &str, instance: &ComponentInstance, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut linked = linker.instance(interface)?;
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let refused = format!("`{interface}#{name}` is not offered to plugins; call configured webhooks with `webhooks.invoke`");
                linked.func_new(name, move |_, _, _, _| Err(wasmtime::Error::msg(refused.clone())))?;
            }
            ComponentItem::Resource(_) => linked.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?,
            _ => {}
        }
    }
    Ok(())
}

fn own_interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix(OWN_PREFIX)?.split_once('@')?;
    version.starts_with("0.2.").then_some(interface)
}

fn wasi_version_is_0_2(name: &str) -> bool {
    name.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_version_is_ours() {
        assert_eq!(own_interface("hookwright:plugin/log@0.2.0"), Some("log"));
        assert_eq!(own_interface("hookwright:plugin/log@0.3.0"), None);
        assert_eq!(own_interface("wasi:io/poll@0.2.6"), None);
        assert!(wasi_version_is_0_2("wasi:io/poll@0.2.6") && !wasi_version_is_0_2("wasi:io/poll@0.3.0"));
    }
}
