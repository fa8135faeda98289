//! Plugins: untrusted WebAssembly that builds requests, reads answers and answers calls.
//!
//! An upload goes `registry` -> `loader` -> (`artifact`, or by `compiler` in a child process: `compile` with `componentize`, `data_segments` and `script`) -> `interfaces` -> a trial
//! -> the registry's one swap. A call goes `registry` -> `loaded` -> `instance`, a fresh store and instance each time: `guest` is what
//! the host knows during it, `imports` what the guest may ask for, `limits`, `meter`, `directory` and `guest_log` what bounds it, `conduct`
//! and `slots` who lets it in, `lane` where a long one goes on, `convert` and `failure` what comes back. `script` and one embedded component make JavaScript of it, `snapshot` what it
//! is once its top level has run; `builtin` are the plugins the binary carries; `inbox`
//! uploads files.
//!
//! Outside of this module nothing knows wasmtime. Absent on purpose: warm instances that serve several calls, sockets, shared memory.

mod artifact;
mod bindings;
pub mod builtin;
mod compile;
mod compiler;
mod componentize;
pub mod conduct;
mod context;
mod convert;
mod data_segments;
mod directory;
mod engine;
mod error;
mod failure;
mod guest;
mod guest_log;
mod imports;
pub mod inbox;
mod instance;
mod interfaces;
mod lane;
pub mod limits;
mod loaded;
mod loader;
mod meter;
mod records;
mod registry;
pub mod script;
mod slots;
mod snapshot;
#[cfg(test)]
mod tests;

pub use compile::{CompileArgs, compile_main};
pub use compiler::CompileError;
pub use context::{
    AnswerInput, CallContext, CallFailure, Called, DeliveryInput, Effects, HostSide, InvocationInput, InvokeFn, InvokeRequest, Invoked,
    Keys, NotInvoked, PluginOutcome, PluginReply, SecretFn, StateFn,
};
pub use error::UploadError;
pub use loaded::LoadedPlugin;
pub use registry::{
    ActivePlugin, PluginInfo, PluginOptions, Plugins,
    changes::{Uploaded, VERSIONS_MAX, is_plugin_name},
};
