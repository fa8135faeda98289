//! What `wit-bindgen` makes of `wit/hookwright.wit`, and nothing else. Authors see none of it.
//!
//! One `generate!` per world, because the section that names a world's exports is written where its export macro is used:
//! a plugin that exports `transform` alone then says so, and the component made of it has no other export.
//! `receiver` imports everything, so it comes first and the other two share its imports.

#![allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    reason = "generated code; its meaning is documented in wit/hookwright.wit"
)]

pub mod receiver {
    wit_bindgen::generate!({
        path: "wit",
        world: "receiver",
        pub_export_macro: true,
        export_macro_name: "__export_receive",
        generate_unused_types: true,
    });
}

pub mod transformer {
    wit_bindgen::generate!({
        path: "wit",
        world: "transformer",
        pub_export_macro: true,
        export_macro_name: "__export_transform",
        with: {
            "hookwright:plugin/types@0.2.0": crate::bindings::receiver::hookwright::plugin::types,
            "hookwright:plugin/log@0.2.0": crate::bindings::receiver::hookwright::plugin::log,
            "hookwright:plugin/config@0.2.0": crate::bindings::receiver::hookwright::plugin::config,
            "hookwright:plugin/parameters@0.2.0": crate::bindings::receiver::hookwright::plugin::parameters,
            "hookwright:plugin/secrets@0.2.0": crate::bindings::receiver::hookwright::plugin::secrets,
            "hookwright:plugin/state@0.2.0": crate::bindings::receiver::hookwright::plugin::state,
        },
    });
}

pub mod answerer {
    wit_bindgen::generate!({
        path: "wit",
        world: "answerer",
        pub_export_macro: true,
        export_macro_name: "__export_answers",
        with: {
            "hookwright:plugin/types@0.2.0": crate::bindings::receiver::hookwright::plugin::types,
            "hookwright:plugin/log@0.2.0": crate::bindings::receiver::hookwright::plugin::log,
            "hookwright:plugin/config@0.2.0": crate::bindings::receiver::hookwright::plugin::config,
            "hookwright:plugin/parameters@0.2.0": crate::bindings::receiver::hookwright::plugin::parameters,
            "hookwright:plugin/secrets@0.2.0": crate::bindings::receiver::hookwright::plugin::secrets,
            "hookwright:plugin/state@0.2.0": crate::bindings::receiver::hookwright::plugin::state,
        },
    });
}

pub use receiver::hookwright::plugin as host;
pub use receiver::hookwright::plugin::types as wit;

use crate::{Answers, Receive, Transform};

impl<P: Transform> transformer::exports::hookwright::plugin::transform::Guest for P {
    fn apply(delivery: wit::Delivery, events: Vec<wit::Event>) -> Result<Option<wit::Request>, wit::Error> {
        let events = events.into_iter().map(Into::into).collect();
        Ok(P::apply(delivery.into(), events)?.map(Into::into))
    }
}

impl<P: Answers> answerer::exports::hookwright::plugin::answers::Guest for P {
    fn read(delivery: wit::Delivery, answer: wit::Answer) -> Result<wit::Outcome, wit::Error> {
        Ok(P::read(delivery.into(), answer.into())?.into())
    }
}

impl<P: Receive> receiver::exports::hookwright::plugin::receive::Guest for P {
    fn receive(call: wit::Invocation) -> Result<wit::Reply, wit::Error> {
        Ok(P::receive(call.into())?.into())
    }
}
