//! Takes a hundred kilobytes of random bytes in an endless loop.

use hookwright_guest::{Error, Invocation, Receive, Reply};

struct RandomStorm;
hookwright_guest::export!(RandomStorm: receive);

#[cfg(target_family = "wasm")]
#[link(wasm_import_module = "wasi_snapshot_preview1")]
#[expect(unsafe_code, reason = "what WASI has")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> i32;
}

impl Receive for RandomStorm {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let mut bytes = vec![0_u8; 100_000];
        loop {
            #[cfg(target_family = "wasm")]
            #[expect(unsafe_code, reason = "the call itself is what is tried")]
            // SAFETY: the length is that of the buffer.
            unsafe {
                random_get(bytes.as_mut_ptr(), bytes.len());
            }
            std::hint::black_box(&mut bytes);
        }
    }
}
