//! Fills eight mebibytes over and over: few instructions, much work.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct BulkFill;
hookwright_guest::export!(BulkFill: receive);

impl Receive for BulkFill {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let mut bytes = vec![1_u8; 8 << 20];
        for value in (0..=u8::MAX).cycle() {
            bytes.fill(value);
            std::hint::black_box(&bytes);
        }
        Ok(Reply::ok("never"))
    }
}
