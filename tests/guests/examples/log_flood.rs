//! Writes 100 000 log lines, some to standard output and standard error, and then does its work.

use hookwright_guest::{Delivery, Error, Event, Request, Transform, log};

struct LogFlood;
hookwright_guest::export!(LogFlood: transform);

impl Transform for LogFlood {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        for line in 0..100_000 {
            log::info(format_args!("line {line} of many, each as long as a line usually is, and none of them worth reading"));
            if line % 100 == 0 {
                println!("line {line} on standard output");
                eprintln!("line {line} on standard error");
            }
        }
        Ok(Some(Request::post().text("flooded")))
    }
}
