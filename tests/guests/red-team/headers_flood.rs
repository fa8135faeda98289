//! Answers with two hundred thousand headers.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct HeadersFlood;
hookwright_guest::export!(HeadersFlood: receive);

impl Receive for HeadersFlood {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let mut reply = Reply::ok("headers");
        for number in 0..200_000 {
            reply = reply.header(format!("x-{number}"), "value");
        }
        Ok(reply)
    }
}
