//! Keeps a counter in its state, for which it needs the grant: each call adds one, and replies or sends the count.

use hookwright_guest::{Delivery, Error, Event, Invocation, OrError, Receive, Reply, Request, Transform, state};

struct Counter;
hookwright_guest::export!(Counter: transform, receive);

fn count() -> Result<String, Error> {
    let before = state::get("count").map(String::from_utf8).transpose().or_reject("the count")?;
    let count: u64 = before.unwrap_or_else(|| "0".into()).parse().or_reject("the count")?;
    let count = (count + 1).to_string();
    state::set("count", &count)?;
    Ok(count)
}

impl Transform for Counter {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        Ok(Some(Request::post().text(count()?)))
    }
}

impl Receive for Counter {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        Ok(Reply::ok(count()?))
    }
}
