//! What is taken, what is refused and with which words, and what is compiled when.

use std::time::{Duration, Instant};

use super::*;
use crate::{
    model::plugin::{ActiveVersion, Digest, Export},
    plugin::{CompileError, builtin::BUILTINS, script::ScriptLanguage},
};

#[tokio::test]
async fn what_does_not_load_is_refused_by_name_and_displaces_nothing() {
    let host = TestHost::start().await;
    host.upload("x", echo(1)).await.expect("a good one");
    let refused = async |bytes: Vec<u8>| {
        let error = host.upload("x", bytes).await.expect_err("refused");
        println!("{error}");
        error
    };
    assert!(matches!(refused(guest_bytes("command")).await, UploadError::CommandModule));
    assert!(
        matches!(refused(guest_bytes("wrong_world")).await, UploadError::NoExport { exports } if exports[0].starts_with("test:elsewhere"))
    );
    assert!(matches!(refused(guest_bytes("start_trap")).await, UploadError::StartTrap(why) if why.contains("unreachable")));
    let hasty = TestHost::with(with(hasty_plugin())).await;
    let loops = hasty.upload("x", guest_bytes("start_loop")).await.expect_err("refused");
    assert!(matches!(loops, UploadError::StartLimit(Limit::WallMs, 300)), "{loops}");
    assert!(matches!(refused(b"hello".to_vec()).await, UploadError::NotWasm(_)));
    assert!(matches!(refused(b"\x7fELF....".to_vec()).await, UploadError::Precompiled));
    assert!(matches!(refused(b"\0asm\x01\0\0\0".to_vec()).await, UploadError::NotAPlugin));
    assert!(matches!(refused(echo(2)[..1000].to_vec()).await, UploadError::Invalid(_)));
    assert!(matches!(refused(vec![0; (16 << 20) + 1]).await, UploadError::TooLarge { .. }));
    assert!(
        matches!(refused(importing("hookwright:plugin/telepathy@0.2.0")).await, UploadError::UnknownImport(name) if name.contains("telepathy"))
    );
    assert!(matches!(refused(importing("wasi:keyvalue/store@0.2.0")).await, UploadError::UnknownImport(_)));
    assert!(matches!(refused(importing("hookwright:script/host@0.1.0")).await, UploadError::UnknownImport(_)));
    // Importing it is no reason to refuse; using it traps.
    assert!(matches!(refused(importing("wasi:http/types@0.2.0")).await, UploadError::NoExport { .. }));
    assert!(matches!(host.upload("../x", echo(1)).await, Err(UploadError::Name(_))));
    let active = host.plugins.get("x", None).expect("active");
    assert_eq!(active.plugin_use.version, Some(1));
    assert_eq!(body(&transform(&host, &active, json!(1)).await.expect("echoed"))["version"], "0001");
    assert_eq!(host.plugins.info("x").expect("there").record.versions.len(), 1);
}

/// An empty component that imports one instance without functions.
fn importing(name: &str) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // One type: an instance type without declarations. One import of that type.
    bytes.extend([7, 3, 1, 0x42, 0]);
    let len = u8::try_from(name.len()).expect("a short name");
    bytes.extend([10, len + 5, 1, 0, len]);
    bytes.extend(name.as_bytes());
    bytes.extend([5, 0]);
    bytes
}

#[tokio::test]
async fn grants_gate_activation_not_storing() {
    let host = TestHost::start().await;
    let bytes = guest_bytes("counter");
    let error = host.upload("counter", bytes.clone()).await.expect_err("refused");
    assert!(matches!(&error, UploadError::MissingGrants { names } if names == &["state"]), "{error}");
    assert!(!host.plugins.exists("counter"), "nothing was kept");

    let staged = host.plugins.upload("counter", bytes.clone().into(), PluginKind::Wasm, false, Actor::host()).await.expect("staged");
    assert!(!staged.active && staged.created && staged.missing_grants == ["state"]);
    assert_eq!(staged.version.exports, [Export::Transform, Export::Receive]);
    assert!(host.plugins.get("counter", None).is_none());
    assert_eq!(host.plugins.info("counter").expect("there").missing_grants, ["state"]);
    let activated = host.plugins.activate("counter", ActiveVersion::Version(1), Actor::host()).await;
    assert!(matches!(activated, Err(UploadError::MissingGrants { .. })));

    host.plugins.set_grants("counter", Grants { state: true, ..Grants::default() }, Actor::host()).await.expect("granted");
    host.plugins.activate("counter", ActiveVersion::Version(1), Actor::host()).await.expect("active");
    assert!(host.plugins.get("counter", None).is_some());
    let again = host.upload("counter", bytes).await.expect("the same bytes");
    assert!(!again.created && again.active && again.version.version == Some(1));
}

#[tokio::test]
async fn compilation_is_limited_in_time_and_memory() {
    let host = TestHost::with(Limits { compile_memory_bytes_max: 64 << 20, ..quick() }).await;
    let error = host.upload("x", echo(1)).await.expect_err("too little memory");
    assert!(matches!(&error, UploadError::Compile(CompileError::Memory(_))), "{error}");
    println!("{error}");
    let host = TestHost::with(Limits { compile_time_max: Duration::from_millis(5), ..quick() }).await;
    let error = host.upload("x", echo(1)).await.expect_err("too little time");
    assert!(matches!(&error, UploadError::Compile(CompileError::Time(_))), "{error}");
    let left: Vec<_> = fs::read_dir(host.data.path().join("cache")).expect("a cache").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["artifacts"], "nothing is left of a compilation");
}

#[tokio::test]
async fn a_restart_compiles_nothing_and_a_changed_artifact_is_compiled_anew() {
    let host = TestHost::start().await;
    host.upload("x", echo(1)).await.expect("good");
    let host = host.again().await;
    let artifacts = host.data.path().join("cache/artifacts");
    let files = || fs::read_dir(&artifacts).expect("a cache").flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    assert_eq!(files().len(), 1);
    // Without a compiler nothing can be compiled.
    fs::remove_file(host.data.path().join("compiler")).expect("removed");
    let x = host.plugins.get("x", None).expect("active");
    transform(&host, &x, json!(1)).await.expect("loaded from the cache");

    compiler(&host.data);
    let host = host.again().await;
    let mut artifact = fs::read(&files()[0]).expect("read");
    let middle = artifact.len() / 2;
    artifact[middle] ^= 1;
    fs::write(&files()[0], &artifact).expect("written");
    let x = host.plugins.get("x", None).expect("active");
    transform(&host, &x, json!(1)).await.expect("compiled anew");
    assert_ne!(fs::read(&files()[0]).expect("read"), artifact);
}

#[tokio::test]
async fn what_the_binary_carries_loads_and_exports_what_it_says() {
    let host = TestHost::start().await;
    for builtin in BUILTINS.iter() {
        let plugin = host.plugins.get(builtin.name, None).expect("active from the first start");
        let started = Instant::now();
        plugin.loaded.load().await.unwrap_or_else(|error| panic!("{}: {error}", builtin.name));
        println!("{} {:?} imports {:?}", builtin.name, started.elapsed(), plugin.loaded.imports());
        for export in [Export::Transform, Export::Answers, Export::Receive] {
            let said = builtin.exports.contains(&export);
            assert_eq!(plugin.loaded.really_exports(export), Some(said), "{} {export:?}", builtin.name);
        }
        assert!(host.store.has_blob(&builtin.digest).await.expect("looked"), "the bytes of what is used are kept");
    }
    assert_ne!(Digest::of(b""), BUILTINS[0].digest);
}

async fn refused(host: &TestHost, source: String, kind: PluginKind) -> UploadError {
    let begun = Instant::now();
    let error = host.plugins.upload("x", source.into(), kind, true, Actor::host()).await.expect_err("refused");
    println!("{:?} {error}", begun.elapsed());
    error
}

#[tokio::test]
async fn reading_a_script_is_limited_in_time_and_depth_and_size() {
    let host = TestHost::start().await;
    // Type arguments that may be comparisons: the parser tries both, again and again.
    let error = refused(&host, format!("export function transform() {{}}\nlet x={}1", "a<".repeat(40_000)), PluginKind::TypeScript).await;
    assert!(matches!(&error, UploadError::Compile(CompileError::ScriptTime(_))), "{error}");
    assert!(error.to_string().contains("`script_parse_seconds_max`"), "{error}");
    // No bracket, and a level for each three bytes.
    let error = refused(&host, format!("export function transform() {{}}\nlet f={}a", "a=>".repeat(300_000)), PluginKind::Script).await;
    assert!(matches!(&error, UploadError::Script { message, .. } if message == "the script nests too deeply to be read"), "{error}");
    let error = refused(&host, " ".repeat((1 << 20) + 1), PluginKind::Script).await;
    assert!(matches!(error, UploadError::TooLarge { limit: "script_bytes_max", bytes_max: 1_048_576, .. }), "{error}");
    let error = refused(&host, "export function transform() {\n  return ;;) }".to_owned(), PluginKind::Script).await;
    assert!(matches!(error, UploadError::Script { line: Some(2), column: Some(_), .. }), "{error}");
    let large = format!("export function transform() {{ return {{ body: text.length }} }}\nconst text = '{}';", "y".repeat(1_000_000));
    host.plugins.upload("x", large.into(), PluginKind::Script, true, Actor::host()).await.expect("a large one of a good kind");
}

#[tokio::test]
async fn an_upload_nobody_waits_for_any_more_ends_its_child_and_so_does_a_stop() {
    let host = TestHost::start().await;
    let cache = host.data.path().join("cache");
    let scratch =
        || fs::read_dir(&cache).expect("a cache").flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("compile-"));
    // A compiler that never ends, and writes down who it is.
    let compiler = format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", host.data.path().join("child").display());
    fs::write(host.data.path().join("compiler"), compiler).expect("written");
    let child = async || loop {
        let text = fs::read_to_string(host.data.path().join("child")).unwrap_or_default();
        if let (Ok(child), true) = (text.trim().parse::<u32>(), text.ends_with('\n')) {
            fs::remove_file(host.data.path().join("child")).expect("removed");
            return format!("/proc/{child}/stat");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let is_gone = async |child: &str| {
        // A zombie has ended.
        while fs::read_to_string(child).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let upload = async || host.plugins.upload("x", echo(1).into(), PluginKind::Wasm, true, Actor::host()).await;
    let left = tokio::select! {
        uploaded = upload() => panic!("{uploaded:?}"),
        child = child() => child,
    };
    is_gone(&left).await;
    assert!(!scratch(), "its files are gone as well");

    let (uploaded, child) = tokio::join!(upload(), async {
        let child = child().await;
        host.stop.cancel();
        child
    });
    assert!(matches!(uploaded, Err(UploadError::Compile(CompileError::Stopping))), "{uploaded:?}");
    is_gone(&child).await;
    assert!(matches!(upload().await, Err(UploadError::Compile(CompileError::Stopping))), "nothing is begun either");
}

#[tokio::test]
async fn a_script_that_was_read_is_not_read_again() {
    let host = TestHost::start().await;
    let source = "export function transform() { return { body: 1 } }";
    for kind in [PluginKind::Script, PluginKind::TypeScript] {
        let name = if kind == PluginKind::Script { "js" } else { "ts" };
        host.plugins.upload(name, source.into(), kind, true, Actor::host()).await.expect("a good script");
    }
    let host = host.again().await;
    fs::write(host.data.path().join("compiler"), "#!/bin/sh\nexit 9\n").expect("written");
    for name in ["js", "ts"] {
        let plugin = host.plugins.get(name, None).expect("active");
        assert_eq!(body(&transform(&host, &plugin, json!(1)).await.expect("from the cache")), json!(1));
    }
    let artifacts = host.data.path().join("cache/artifacts");
    let read = ScriptLanguage::ALL.map(|language| crate::plugin::script::digest(&Digest::of(source.as_bytes()), language).hex().to_owned());
    let kept = || fs::read_dir(&artifacts).expect("a cache").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    for read in &read {
        assert_eq!(kept().filter(|name| name.starts_with(read.as_str())).count(), 1);
    }
    for name in ["js", "ts"] {
        host.plugins.delete(name).await.expect("deleted");
    }
    assert!(!kept().any(|name| read.iter().any(|read| name.starts_with(read.as_str()))), "what nobody uses is removed");
}
