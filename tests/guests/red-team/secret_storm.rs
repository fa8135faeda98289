//! Has a megabyte hashed with a secret in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply, secrets};

struct SecretStorm;
hookwright_guest::export!(SecretStorm: receive);

impl Receive for SecretStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let bytes = vec![1_u8; 1 << 20];
        loop {
            std::hint::black_box(secrets::hmac_sha256("red-key", &bytes)?);
        }
    }
}
