//! Takes memory a mebibyte at a time, writes to it and keeps it, until there is no more.

use hookwright_guest::{Delivery, Error, Event, Request, Transform};

struct MemoryHoarder;
hookwright_guest::export!(MemoryHoarder: transform);

impl Transform for MemoryHoarder {
    fn apply(_: Delivery, _: Vec<Event>) -> Result<Option<Request>, Error> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
    }
}
