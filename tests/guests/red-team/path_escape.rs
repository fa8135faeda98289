//! Tries to get out of its directory: by `..`, by absolute paths, by links, by moving files. Replies with what worked.

use std::fs;

use hookwright_guest::{Error, Invocation, OrError, Receive, Reply};

struct PathEscape;
hookwright_guest::export!(PathEscape: receive);

/// `std` has no stable way to create a symbolic link on this target.
fn symlink(target: &str, name: &str) {
    #[cfg(target_family = "wasm")]
    #[expect(unsafe_code, reason = "the call itself is what is tried")]
    // SAFETY: pointers and lengths belong to strings that outlive the call.
    unsafe {
        path_symlink(target.as_ptr(), target.len(), 3, name.as_ptr(), name.len());
    }
    #[cfg(not(target_family = "wasm"))]
    let _ = (target, name);
}

#[cfg(target_family = "wasm")]
#[link(wasm_import_module = "wasi_snapshot_preview1")]
#[expect(unsafe_code, reason = "what WASI has")]
unsafe extern "C" {
    fn path_symlink(old: *const u8, old_length: usize, directory: i32, new: *const u8, new_length: usize) -> i32;
}

impl Receive for PathEscape {
    fn receive(_: Invocation) -> Result<Reply, Error> {
        let mut worked = Vec::new();
        let mut tried = |what: &str, worked_out: bool| {
            if worked_out {
                worked.push(what.to_owned());
            }
        };
        fs::write("/data/own", "x").or_reject("its own file")?;
        for path in ["/etc/passwd", "/data/../etc/passwd", "/data/../../../../etc/passwd", "/proc/self/environ", "/data/./../key"] {
            tried(path, fs::read(path).is_ok());
        }
        for path in ["/data/../outside", "/outside", "/data/../../outside", "outside"] {
            tried(path, fs::write(path, "x").is_ok());
        }
        tried("rename", fs::rename("/data/own", "/data/../outside").is_ok());
        tried("hard link out", fs::hard_link("/data/own", "/data/../outside").is_ok());
        for (target, name) in [("/etc/passwd", "absolute"), ("../../../../../../../etc/passwd", "relative"), (".", "itself")] {
            let link = format!("/data/{name}");
            symlink(target, name);
            if name != "itself" {
                tried(&format!("{name} symbolic link"), fs::read(&link).is_ok());
            }
        }
        tried("list above", fs::read_dir("/data/..").is_ok());
        tried("list all", fs::read_dir("/").is_ok());
        Ok(Reply::ok(format!("worked: [{}]", worked.join(", "))))
    }
}
