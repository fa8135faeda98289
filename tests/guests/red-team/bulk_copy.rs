//! Copies eight mebibytes over and over: few instructions, much work.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct BulkCopy;
hookwright_guest::export!(BulkCopy: receive);

impl Receive for BulkCopy {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let mut bytes = vec![1_u8; 8 << 20];
        loop {
            bytes.copy_within(1.., 0);
            std::hint::black_box(&bytes);
        }
    }
}
