//! A program rather than a plugin: it exports `_start`, as a crate with a `main` does, and describes no interface.

/// Where a program begins.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an exported name is unsafe to choose")]
#[unsafe(no_mangle)]
extern "C" fn _start() {
    println!("Hello from a program.");
}
