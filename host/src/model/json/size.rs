//! How long a document is as JSON.

use std::io;

use serde::Serialize;

/// Bytes of `document` as compact JSON. Nothing is kept of it.
pub fn json_bytes<T: Serialize + ?Sized>(document: &T) -> usize {
    struct Counter(usize);

    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut counter = Counter(0);
    // The counter takes everything; what cannot be JSON ends where it cannot.
    let _ = serde_json::to_writer(&mut counter, document);
    counter.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_measured_as_it_is_written() {
        for value in [json!(null), json!("a\u{1}\"é"), json!({"a": [1, 2.5, {}], "b": false})] {
            assert_eq!(json_bytes(&value), value.to_string().len());
        }
    }
}
