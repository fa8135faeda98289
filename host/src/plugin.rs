//! Plugins: untrusted WebAssembly that builds requests, reads answers and answers calls.
//!
//! An upload goes `registry` -> `upload::loader` -> (`artifact`, or by `compiler` in a child process: `compile` with `componentize`,
//! `data_segments` and `script`) -> `interfaces` -> a trial -> the registry's one swap. A call goes `registry` -> `loaded` ->
//! `call::instance`, a fresh store and instance each time: `guest` is what the host knows during it, `imports` what the guest may ask for,
//! `limits`, `meter`, `directory` and `guest_log` what bounds it, `conduct` and `slots` who lets it in, `lane` where a long one goes on,
//! `convert` and `failure` what comes back. `script` and one embedded component make JavaScript of it, `upload::snapshot` what it is once
//! its top level has run; `builtin` are the plugins the binary carries; `inbox` uploads files.
//!
//! Outside of this module nothing knows wasmtime. Absent on purpose: warm instances that serve several calls, sockets, shared memory.

mod bindings;
pub mod builtin;
mod call;
mod engine;
mod error;
pub mod inbox;
mod loaded;
mod records;
mod registry;
pub mod script;
#[cfg(test)]
mod tests;
mod upload;

pub use call::conduct;
pub use call::context::{
    AnswerInput, CallContext, CallFailure, Called, DeliveryInput, Effects, InvocationInput, InvokeFn, InvokeRequest, Invoked, Keys,
    NotInvoked, PluginReply,
};
pub use error::{CompileError, UploadError};
#[cfg(test)]
pub use registry::changes::{Uploaded, is_plugin_name};
pub use registry::{ActivePlugin, PluginInfo, Plugins};
pub use upload::compile::{CompileArgs, compile_main};
pub use upload::loader::PluginOptions;
