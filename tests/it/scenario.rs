//! The tutorial, from a portal's event to the admin's answer. The tutorial's own blocks configure the host; this test plays the outside
//! world: the portal, the chat, the mail server and the admin.

use hookwright_tests::{
    Client, Endpoint, Gate, MailServer, Options, Received, Script, TestHost, host::TOKEN, pages, process::finish, root, run,
    signature::hmac_sha256, wait::eventually,
};
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// The key in the tutorial, which is the example key of Slack's documentation.
const SLACK_KEY: &[u8] = b"8f742231b10e8888abcd99yyyzzz85a5";

/// The blocks of the tutorial as one script.
fn tutorial() -> String {
    pages::examples(&pages::read(&root().join("host/docs/tutorial-standards.md"))).expect("the tutorial's blocks")
}

struct World {
    host: TestHost,
    portal: Endpoint,
    chat: Endpoint,
    mails: MailServer,
}

impl World {
    /// Runs the tutorial.
    async fn new() -> Self {
        let (portal, chat, mails) = (Endpoint::start().await, Endpoint::start().await, MailServer::start().await);
        let host = TestHost::with(Options { smtp: Some(mails.settings()), ..Options::default() }).await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &tutorial()]).current_dir(folder.path());
        bash.env("HOOKWRIGHT_URL", host.client.url("").trim_end_matches('/')).env("HOOKWRIGHT_TOKEN", TOKEN);
        bash.env("PORTAL", portal.url("/portal")).env("CHAT", chat.url("/services/T/B/x"));
        finish(&mut bash).await.success();
        Self { host, portal, chat, mails }
    }

    fn client(&self) -> &Client {
        &self.host.client
    }

    /// The path of a receiver's code.
    async fn path(&self, receiver: &str) -> String {
        let codes = self.client().look(&format!("/v1/receivers/{receiver}/codes")).await;
        format!("/api/v1/webhook/{}", codes["data"][0]["code"].as_str().expect("a code"))
    }

    /// The portal reports shares: pairs of an item and a group.
    async fn share(&self, shares: &[(&str, &str)]) {
        let event = |(item, group): &(&str, &str)| json!({ "username": "ann", "userId": "1", "when": 5, "operation": "share", "source": "items", "id": item, "properties": { "sharedToGroups": [group] } });
        let events: Vec<_> = shares.iter().map(event).collect();
        let payload = json!({ "info": { "webhookName": "w", "webhookId": "1", "portalURL": "https://gis.example/portal/", "when": 6 }, "events": events });
        let headers = [("secret", "shared with the portal"), ("content-type", "application/json")];
        let answered = self.client().with_token(None).send(Method::POST, &self.path("portal").await, &headers, payload.to_string()).await;
        assert_eq!((answered.status, answered.json()), (200, json!({ "success": "true" })), "{}", answered.text());
    }

    /// The admin uses an element of a message; returns the status that the chat gets.
    async fn answer(&self, action: Value, key: &[u8]) -> u16 {
        let payload = json!({ "type": "block_actions", "user": { "id": "U1", "username": "gis-admin" }, "actions": [action] }).to_string();
        let body: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload).finish();
        let time = jiff::Timestamp::now().as_second().to_string();
        let signature = format!("v0={}", hex::encode(hmac_sha256(key, format!("v0:{time}:{body}").as_bytes())));
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-slack-request-timestamp", time.as_str()),
            ("x-slack-signature", signature.as_str()),
        ];
        self.client().with_token(None).send(Method::POST, &self.path("answers").await, &headers, body).await.status
    }

    /// Sets the item that the portal describes next.
    fn describes(&self, item: Value) {
        self.portal.next(Script::json(item));
    }
}

fn poor(title: &str) -> Value {
    json!({ "title": title, "snippet": "", "description": "d", "tags": ["a", "b", "c"], "thumbnail": "t.png", "licenseInfo": null })
}

/// The element of a message with this action.
fn element(message: &Value, action: &str) -> Value {
    let blocks = message["blocks"].as_array().into_iter().flatten();
    let elements = blocks.flat_map(|block| {
        let own = block["elements"].as_array().cloned().unwrap_or_default().into_iter();
        own.chain(block["element"].as_object().map(|element| {
            let mut input = Value::Object(element.clone());
            input["block_id"] = block["block_id"].clone();
            input
        }))
    });
    elements.into_iter().find(|element| element["action_id"] == action).unwrap_or_else(|| panic!("no {action} in {message}"))
}

fn form(received: &Received) -> Value {
    url::form_urlencoded::parse(&received.body)
        .map(|(name, value)| (name.into_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn a_share_becomes_a_file_a_score_a_message_and_an_answer() {
    run(async {
        let world = World::new().await;
        // One item is shared with everyone, the other inside the organization. Only the first is looked up and reported.
        world.describes(poor("Wells"));
        world.share(&[("plans", "Organization"), ("abc123", "Everyone")]).await;
        let asked = world.portal.next_request().await;
        assert_eq!(
            (asked.path.as_str(), asked.header("authorization")),
            ("/portal/sharing/rest/content/items/abc123?f=json", "Bearer a token of the portal")
        );
        let message = world.chat.next_request().await.json();
        assert_eq!(
            (&message["text"], &message["channel"]),
            (&json!("Shared publicly below the standards: Wells (65/100)"), &json!("#gis")),
            "{message}"
        );
        assert_eq!(
            message["blocks"][1]["text"]["text"],
            "Shared by ann, item `abc123`. Missing or wrong:\n• snippet\n• licenseInfo\n• accessInformation"
        );
        let mail = world.mails.next().await;
        assert_eq!(mail.to, ["gis@example.org"]);
        // Soft line breaks of quoted-printable (RFC 2045, 6.7) are not part of the text.
        let mail = mail.message.replace("=\r\n", "");
        assert!(mail.contains("Subject: Below the standards: Wells\r\n"), "{mail}");
        assert!(mail.contains("ann shared item abc123 publicly. Missing: snippet, licenseInfo, accessInformation."), "{mail}");
        // The payload as it came in, in a text file.
        let call = world.client().last_call("portal").await;
        let file = world.host.data().join("plugin-data/payload-files").join(format!("{}.txt", call["id"].as_str().expect("an id")));
        assert_eq!(std::fs::read_to_string(&file).expect("the payload"), call["request"]["body"].as_str().expect("a body"));

        // The admin's click is acknowledged while the portal is still working.
        let gate = Gate::new();
        world.portal.next(Script::json(json!({ "notSharedWith": [], "itemId": "abc123" })).behind(&gate));
        assert_eq!(world.answer(element(&message, "unshare"), SLACK_KEY).await, 200);
        let unshared = world.portal.next_request().await;
        assert_eq!(
            (unshared.method.as_str(), unshared.path.as_str()),
            ("POST", "/portal/sharing/rest/content/users/ann/items/abc123/share")
        );
        assert_eq!(unshared.text(), "everyone=false&org=true&f=json");
        assert_eq!(world.client().last_call("answers").await["state"], "pending", "answered before it was done");
        gate.open();
        let outcome = world.chat.next_request().await.json();
        assert!(
            outcome["blocks"].to_string().contains("*action*: unshare\\n*user*: gis-admin\\n*itemId*: abc123\\n*outcome*: done"),
            "{outcome}"
        );

        // The admin writes the summary; the portal reports an error with status 200, as it does.
        world.portal.next(Script::json(json!({ "error": { "code": 403, "message": "not yours" } })));
        let mut input = element(&message, "set-summary");
        input["value"] = json!("Wells & springs of the north");
        assert_eq!(world.answer(input, SLACK_KEY).await, 200);
        let updated = world.portal.next_request().await;
        assert_eq!(updated.path, "/portal/sharing/rest/content/users/ann/items/abc123/update");
        assert_eq!(form(&updated), json!({ "snippet": "Wells & springs of the north", "f": "json" }));
        let outcome = world.chat.next_request().await.json();
        assert!(outcome["blocks"].to_string().contains("*outcome*: failed"), "{outcome}");

        // The admin asks the owner.
        world.portal.next(Script::json(json!({ "success": true })));
        assert_eq!(world.answer(element(&message, "ask-owner"), SLACK_KEY).await, 200);
        let asked = world.portal.next_request().await;
        assert_eq!(asked.path, "/portal/sharing/rest/portals/self/createNotification");
        assert_eq!(
            (&form(&asked)["users"], &form(&asked)["message"]),
            (&json!("ann"), &json!("gis-admin asks you to complete item abc123."))
        );
        world.chat.next_request().await;

        // A click with a signature of another key.
        assert_eq!(world.answer(element(&message, "unshare"), b"another key").await, 401);
        assert_eq!(world.portal.seen().len(), 4, "nothing came of it");
    });
}

#[test]
fn another_scoring_script_changes_the_next_result() {
    run(async {
        let world = World::new().await;
        world.describes(poor("Wells"));
        world.share(&[("abc123", "Everyone")]).await;
        let message = world.chat.next_request().await.json();
        assert!(message["text"].as_str().is_some_and(|text| text.contains("(65/100)")), "{message}");

        // In the new version only the licence counts.
        let source = tutorial();
        let source = source.split("<<'JS'\n").nth(1).and_then(|rest| rest.split("\nJS\n").next()).expect("the script");
        let line = source.lines().next().expect("its standards");
        world.client().script("score", &source.replace(line, "const STANDARDS = { licenseInfo: 100 };")).await;
        world.describes(poor("Springs"));
        world.share(&[("def456", "Everyone")]).await;
        let message = world.chat.next_request().await.json();
        assert_eq!(message["text"], "Shared publicly below the standards: Springs (0/100)");
        assert!(
            message["blocks"][1]["text"]["text"].as_str().is_some_and(|text| text.ends_with("Missing or wrong:\n• licenseInfo")),
            "{message}"
        );

        // By the new rules an item without a snippet is good enough, so nobody is told. The call names the version that scored it.
        world.describes(json!({ "title": "Roads", "licenseInfo": "CC BY" }));
        world.share(&[("ghi789", "Everyone")]).await;
        let scored = eventually("the item is scored", || async {
            let call = world.client().last_call("score").await;
            call["request"]["body"].as_str().is_some_and(|body| body.contains("ghi789")).then_some(call)
        })
        .await;
        assert_eq!((&scored["state"], &scored["plugin"]["version"]), (&json!("done"), &json!(2)));
        assert_eq!(scored["events"].as_array().map(Vec::len), Some(1), "no event but the call's own");
        assert_eq!(world.chat.seen().len(), 2);
        // Back to the first version.
        assert_eq!(world.client().post("/v1/plugins/score/activate", &json!({ "version": 1 })).await.0, 200);
        world.describes(json!({ "title": "Roads", "licenseInfo": "CC BY" }));
        world.share(&[("ghi789", "Everyone")]).await;
        let message = world.chat.next_request().await.json();
        assert_eq!(message["text"], "Shared publicly below the standards: Roads (30/100)");
    });
}
