//! A program instead of a plugin: it exports `_start`, as a crate with a `main` does, and exports no interface.

/// The entry point of a program.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "an exported name is unsafe to choose")]
#[unsafe(no_mangle)]
extern "C" fn _start() {
    println!("Hello from a program.");
}
