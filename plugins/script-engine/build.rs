//! How the engine is linked.

/// The stack; `JS_STACK_BYTES` in `src/lib.rs` says what QuickJS may use of it. What guests have otherwise is too little.
const STACK_BYTES: usize = 1024 * 1024;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-zstack-size={STACK_BYTES}");
}
