//! Returns a request body of 16 MiB, or of as many bytes as its configuration says: `{"bytes":1000000}`.

use hookwright_guest::{Delivery, Error, Event, Request, Transform, config};
use serde::Deserialize;

struct HugeOutput;
hookwright_guest::export!(HugeOutput: transform);

#[derive(Deserialize)]
struct Config {
    #[serde(default = "sixteen_mebibytes")]
    bytes: usize,
}

fn sixteen_mebibytes() -> usize {
    16 << 20
}

impl Transform for HugeOutput {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        let config: Config = config()?;
        Ok(Some(Request::post().content_type("application/octet-stream").body(vec![b'x'; config.bytes])))
    }
}
