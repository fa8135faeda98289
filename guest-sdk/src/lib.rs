//! Write Hookwright plugins: sandboxed WebAssembly transforms and receivers for webhooks.
//!
//! Implement [`Transform`], [`Answers`] or [`Receive`], any of them, and name what you implemented in [`export!`].
//! The README is the book: from an empty folder to a loaded plugin, with an example for each capability.
//!
//! ```
//! use hookwright_guest::{Delivery, Error, Event, Request, Transform};
//!
//! struct Greeting;
//!
//! impl Transform for Greeting {
//!     fn apply(_: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error> {
//!         let name: String = events[0].data()?;
//!         Ok(Some(Request::post().text(format!("Hello, {name}!"))))
//!     }
//! }
//!
//! hookwright_guest::export!(Greeting: transform);
//! ```
//!
//! Outside WebAssembly there is no host: everything that asks it something asks [`testing`] instead, so that a plugin's
//! tests run natively under `cargo test`.

mod answer;
#[doc(hidden)]
pub mod bindings;
mod call;
mod delivery;
mod error;
mod event;

mod config;
pub mod dialogflow;
pub mod events;
pub mod log;
pub mod parameters;
pub mod secrets;
pub mod session;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod webhooks;

pub use answer::{Answer, Outcome};
pub use call::{Invocation, Reply};
pub use config::config;
pub use delivery::{Delivery, Request};
pub use error::{Error, OrError, Refused};
pub use event::Event;

/// The version of this SDK, stamped into every plugin as the custom section `hookwright-sdk`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Maps events to a request.
pub trait Transform {
    /// Several events only when the webhook batches; an invoke may come without any.
    ///
    /// `None`: nothing is to be sent, the delivery ends as delivered without a request.
    fn apply(delivery: Delivery, events: Vec<Event>) -> Result<Option<Request>, Error>;
}

/// Reads a 2xx answer when bindings are not enough.
pub trait Answers {
    /// Runs after the bindings; what it sets wins over what they set.
    fn read(delivery: Delivery, answer: Answer) -> Result<Outcome, Error>;
}

/// Answers an inbound call of a webhook code.
pub trait Receive {
    /// What was emitted and set during the call is committed before the reply is written, and dropped on an error.
    fn receive(call: Invocation) -> Result<Reply, Error>;
}

/// Makes a type the plugin: `export!(MyPlugin: transform, answers, receive)`, with the ones it implements.
///
/// Use it once per plugin. Outside WebAssembly it only checks that the traits are implemented.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($interface:ident),+ $(,)?) => {
        $($crate::__export_one!($interface $plugin);)+

        #[cfg(target_family = "wasm")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "hookwright-sdk")]
            static SDK: [u8; $crate::VERSION.len()] = $crate::__version_bytes();
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_one {
    (transform $plugin:ident) => {
        $crate::__export_checked!($plugin Transform __export_transform transformer);
    };
    (answers $plugin:ident) => {
        $crate::__export_checked!($plugin Answers __export_answers answerer);
    };
    (receive $plugin:ident) => {
        $crate::__export_checked!($plugin Receive __export_receive receiver);
    };
    ($other:ident $plugin:ident) => {
        compile_error!(concat!("a plugin exports transform, answers or receive, not ", stringify!($other)));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_checked {
    ($plugin:ident $trait:ident $export:ident $world:ident) => {
        const _: () = {
            const fn implemented<P: $crate::$trait>() {}
            implemented::<$plugin>();
        };

        #[cfg(target_family = "wasm")]
        $crate::bindings::$world::$export!($plugin with_types_in $crate::bindings::$world);
    };
}

#[doc(hidden)]
pub const fn __version_bytes() -> [u8; VERSION.len()] {
    let mut bytes = [0; VERSION.len()];
    let mut at = 0;
    while at < VERSION.len() {
        bytes[at] = VERSION.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// The first value whose name fits.
fn first(pairs: &[(String, String)], fits: impl Fn(&str) -> bool) -> Option<&str> {
    pairs.iter().find(|(name, _)| fits(name)).map(|(_, value)| value.as_str())
}

#[cfg(target_family = "wasm")]
use bindings::host as imports;
#[cfg(not(target_family = "wasm"))]
use testing::imports;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
