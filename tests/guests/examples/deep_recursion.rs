//! Calls itself until the stack is used up.

use hookwright_guest::{Delivery, Error, Event, Request, Transform};

struct DeepRecursion;
hookwright_guest::export!(DeepRecursion: transform);

#[expect(unconditional_recursion, reason = "that is what this guest is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth + 1))) + depth
}

impl Transform for DeepRecursion {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Ok(Some(Request::post().text(deeper(0).to_string())))
    }
}
