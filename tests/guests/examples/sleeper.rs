//! Waits a minute by the host's clock without using processor time; the configuration `{"seconds":2}` sets another time.

use std::time::Duration;

use hookwright_guest::{Delivery, Error, Event, Invocation, Receive, Reply, Request, Transform, config};
use serde::Deserialize;

struct Sleeper;
hookwright_guest::export!(Sleeper: transform, receive);

#[derive(Deserialize)]
struct Config {
    #[serde(default = "a_minute")]
    seconds: f64,
}

fn a_minute() -> f64 {
    60.0
}

fn sleep() -> Result<(), Error> {
    let config: Config = config()?;
    std::thread::sleep(Duration::from_secs_f64(config.seconds));
    Ok(())
}

impl Transform for Sleeper {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        sleep()?;
        Ok(Some(Request::post().text("slept")))
    }
}

impl Receive for Sleeper {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        sleep()?;
        Ok(Reply::ok("slept"))
    }
}
