//! The README's examples, run as they stand: every block marked `sh run`, in order, against a real host and a real endpoint.

use hookwright_tests::{Endpoint, MailServer, Options, Script, TestHost, binary, host::TOKEN, root, run};
use serde_json::json;
use tokio::process::Command;

/// The key the README writes down: the one of the Standard Webhooks specification's own example.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn the_examples_of_the_readme_do_what_they_say() {
    run(async {
        let mails = MailServer::start().await;
        let host = TestHost::with(Options { smtp: Some(mails.settings()), ..Options::default() }).await;
        let endpoint = Endpoint::start().await;
        endpoint.always(Script::json(json!({ "received": true })));
        let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
        let script = examples(&readme);
        assert!(script.contains("/v1/webhooks/chat"), "the README lost its examples");
        let folder = tempfile::tempdir().expect("a folder");
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", path_with_the_binary())
            .env("HOOKWRIGHT_URL", host.client.url("").trim_end_matches('/'))
            .env("HOOKWRIGHT_TOKEN", TOKEN)
            .env("SINK", endpoint.url("").trim_end_matches('/'))
            .output()
            .await
            .expect("bash");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        // What the pages promise of each: invoked and bound, delivered and signed, a wrong document explained, a code answered.
        for promised in [r#""received":true"#, r#""state":"delivered""#, "did you mean `trigger`", "client C0000001"] {
            assert!(said.contains(promised), "{promised} is not in:\n{said}");
        }
        let seen = endpoint.seen();
        let chat = seen.iter().find(|received| received.path.starts_with("/chat")).expect("a delivery to the chat");
        assert_eq!(chat.verify(KEY), Ok(()));
        assert!(seen.iter().any(|received| received.path == "/stock?article=apple"), "{seen:?}");
        assert!(mails.next().await.message.contains("MONWEBHOOKACADEMY123456789012363F53"));
        host.stop().await;
    });
}

/// Where commands are found: `hookwright` is the one that was built.
fn path_with_the_binary() -> String {
    let binary = binary();
    format!("{}:{}", binary.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default())
}

/// The blocks marked `sh run`, one script.
fn examples(readme: &str) -> String {
    readme.split("```sh run\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect::<Vec<_>>().join("\n")
}
