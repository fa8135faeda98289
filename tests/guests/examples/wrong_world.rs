//! Becomes a valid component of another world: it exports nothing that the host looks for.

#[cfg(target_family = "wasm")]
mod bindings {
    #![allow(missing_docs, unsafe_code, unused_qualifications, clippy::all, reason = "generated code")]

    wit_bindgen::generate!({
        inline: "
            package test:elsewhere@1.0.0;
            interface greet { greet: func(name: string) -> string; }
            world elsewhere { export greet; }
        ",
    });

    struct WrongWorld;

    impl exports::test::elsewhere::greet::Guest for WrongWorld {
        fn greet(name: String) -> String {
            format!("Hello, {name}!")
        }
    }

    export!(WrongWorld);
}
