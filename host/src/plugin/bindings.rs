//! Generated code alone: what the WIT says, in Rust. `imports.rs` implements it, `instance.rs` calls it, `convert.rs` translates it.
//!
//! The world is the script engine's, because it is every interface there is: the public ones and the private ones the engine shares
//! with the host. Nothing here depends on a guest's world: the linker is filled interface by interface, exports are found one by one.

wasmtime::component::bindgen!({
    path: ["../guest-sdk/wit", "../plugins/script-engine/wit"],
    world: "hookwright:script/engine",
    imports: {
        "hookwright:plugin/webhooks.invoke": async | trappable,
        "hookwright:plugin/secrets.hmac-sha256": async | trappable,
        "hookwright:plugin/state.get": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
