//! Answers with twenty thousand headers.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct HeadersFlood;
hookwright_guest::export!(HeadersFlood: receive);

impl Receive for HeadersFlood {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let mut reply = Reply::ok("headers");
        for number in 0..20_000 {
            reply = reply.header(format!("x-{number}"), "v".repeat(100));
        }
        Ok(reply)
    }
}
