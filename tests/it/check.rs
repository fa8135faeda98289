//! Private targets, the reachability check, and templates.

use std::process::Command;

use hookwright_tests::{Authority, Endpoint, Options, Script, TestHost, TokenServer, binary, host::TOKEN, run, shared, unique};
use serde_json::{Value, json};

/// The steps of a check, each with the kind of its failure.
fn steps(answer: &Value) -> Vec<(&str, &str)> {
    let steps = answer["steps"].as_array().expect("steps").iter();
    steps.map(|step| (step["step"].as_str().unwrap_or_default(), step["failure"]["kind"].as_str().unwrap_or_default())).collect()
}

#[test]
fn a_name_leads_where_an_admin_says_and_keeps_its_name() {
    run(async {
        let client = &shared().await.client;
        let authority = Authority::new();
        let endpoint = Endpoint::start_tls(&authority.server(&["orders.internal"]), None).await;
        let name = unique("pinned");
        let mut webhook = json!({ "request": { "url": "https://Orders.internal/x?y=1" }, "tls": { "ca_certificates": [authority.pem] } });
        client.webhook(&name, webhook.clone()).await;
        let failed = client.invoke(&name, json!({})).await;
        assert_eq!(failed["failure"]["kind"], "name_not_resolved", "{failed}");
        webhook["resolve"] = json!({ "orders.internal": endpoint.address.to_string() });
        client.webhook(&name, webhook.clone()).await;
        let invoked = client.invoke(&name, json!({})).await;
        assert_eq!(invoked["state"], "delivered", "{invoked}");
        let received = endpoint.next_request().await;
        assert_eq!((received.header("host").to_lowercase(), received.path.as_str()), ("orders.internal".to_owned(), "/x?y=1"));

        for (written, says) in [
            (json!({ "10.0.0.7": "127.0.0.1:8443" }), "a host name"),
            (json!({ "orders.internal:443": "127.0.0.1:8443" }), "a host name"),
            (json!({ "orders.internal": "10.0.0.7" }), "an address and its port"),
        ] {
            webhook["resolve"] = written;
            let (status, problem) = client.put(&format!("/v1/webhooks/{name}"), &webhook).await;
            assert_eq!(status, 400);
            assert!(problem["errors"][0]["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{problem}");
        }
    });
}

#[test]
fn no_private_network_is_opened_by_resolve_alone() {
    run(async {
        let host = TestHost::with(Options {
            allow_networks: vec!["10.255.0.0/16".parse().expect("a network"), "127.0.0.1/32".parse().expect("a network")],
            ..Options::default()
        })
        .await;
        let own = host.address().to_string();
        for address in [
            "10.0.0.7:8443",
            "172.16.0.1:443",
            "192.168.1.1:443",
            "100.64.0.1:443",
            "127.0.0.2:1",
            "169.254.169.254:443",
            "0.0.0.0:443",
            "[::1]:443",
            "[fd00::7]:443",
            "[fe80::1]:443",
            "[::ffff:10.0.0.7]:443",
            "[64:ff9b::a00:7]:443",
            &own,
        ] {
            let request = json!({ "url": "https://orders.internal/api/v1/webhook/X" });
            let (status, problem) =
                host.client.put("/v1/webhooks/w", &json!({ "request": request, "resolve": { "orders.internal": address } })).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/resolve/orders.internal")), "{address}: {problem}");
            let says = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            assert!(says.contains("HOOKWRIGHT_ALLOW_NETWORKS can open") || address == own && says.contains("itself listens"), "{problem}");
            let environments = json!({ "staging": { "resolve": { "orders.internal": address } } });
            let (status, problem) = host.client.put("/v1/webhooks/w", &json!({ "request": request, "environments": environments })).await;
            let pointer = json!("/environments/staging/resolve/orders.internal");
            assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &pointer), "{address}: {problem}");
        }
        // A private target that the operator allowed is tried. Nothing answers there, but it is not refused.
        let webhook = json!({ "request": { "url": "https://orders.internal/" }, "resolve": { "orders.internal": "10.255.255.1:8443" } });
        host.client.webhook("w", webhook).await;
        let (_, answer) = host.client.post("/v1/webhooks/w/check", &json!({})).await;
        assert_eq!((steps(&answer)[0], steps(&answer)[1]), (("name", ""), ("address", "")), "{answer}");
    });
}

#[test]
fn a_check_goes_as_far_as_it_can_and_sends_no_credential() {
    run(async {
        let client = &shared().await.client;
        let authority = Authority::new();
        let endpoint = Endpoint::start_tls(&authority.server(&["127.0.0.1"]), None).await;
        let server = TokenServer::start(("c", "s"), None).await;
        let name = unique("check");
        client.secret(&name, "s").await;
        endpoint.always(Script::status(405));
        let webhook = json!({
            "request": { "url": endpoint.url("/deep/$session.params.x?k=$session.params.x") },
            "auth": { "kind": "oauth2", "token_endpoint": server.endpoint.url("/token"), "client_id": "c", "client_secret": format!("$secret:{name}") },
            "tls": { "ca_certificates": [authority.pem] },
            "environments": { "broken": { "request": { "url": "https://no-such-host.invalid/" } }, "untrusted": { "tls": { "ca_certificates": [] } } },
        });
        client.webhook(&name, webhook).await;
        let (status, answer) = client.post(&format!("/v1/webhooks/{name}/check"), &json!({})).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!((&answer["reachable"], &answer["http_status"]), (&json!(true), &json!(405)), "{answer}");
        let expected = ["credentials", "name", "address", "connection", "tls", "answer"].map(|step| (step, ""));
        assert_eq!(steps(&answer), expected);
        assert!(
            answer["steps"][4]["detail"].as_str().is_some_and(|detail| detail.contains("TLSv1_3") && detail.contains("sha256:")),
            "{answer}"
        );
        let received = endpoint.next_request().await;
        assert_eq!((received.method.as_str(), received.path.as_str(), received.header("authorization")), ("HEAD", "/deep/?k=", ""));

        for (environment, last) in [("broken", ("name", "name_not_resolved")), ("untrusted", ("tls", "tls_failed"))] {
            let (_, answer) = client.post(&format!("/v1/webhooks/{name}/check"), &json!({ "environment": environment })).await;
            assert_eq!((&answer["reachable"], steps(&answer).last()), (&json!(false), Some(&last)), "{answer}");
        }

        let output = tokio::task::spawn_blocking({
            let (url, name) = (client.url(""), name.clone());
            move || {
                Command::new(binary()).args(["webhook", "check", &name]).env("HOOKWRIGHT_URL", url).env("HOOKWRIGHT_TOKEN", TOKEN).output()
            }
        });
        let output = output.await.expect("the task").expect("the binary");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("405 to a HEAD"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    });
}

#[test]
fn templates_say_what_to_fill_in_and_the_command_fills_it_in() {
    run(async {
        let client = &shared().await.client;
        let templates = client.look("/v1/templates").await;
        let names: Vec<_> = templates["data"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(names, ["oauth-json", "salesforce", "slack"]);
        let slack = client.look("/v1/templates/slack").await;
        assert_eq!((&slack["apis"][0]["name"], &slack["apis"][0]["fields"][1]["oauth"]), (&json!("post-message"), &json!(true)));
        assert_eq!(client.get("/v1/templates/none").await.0, 404);

        let url = client.url("");
        let fill = |values: Vec<String>| {
            let url = url.clone();
            tokio::task::spawn_blocking(move || {
                let mut command = Command::new(binary());
                command.args(["template", "fill", "oauth-json", "call"]).env("HOOKWRIGHT_URL", url).env("HOOKWRIGHT_TOKEN", TOKEN);
                command.args(values.iter().flat_map(|value| ["--set", value])).output().expect("the binary")
            })
        };
        let endpoint = Endpoint::start().await;
        let server = TokenServer::start(("c", "s"), None).await;
        let name = unique("filled");
        client.secret(&name, "s").await;
        let values = [
            format!("url={}", endpoint.url("/$session.params.order")),
            format!("token_endpoint={}", server.endpoint.url("/token")),
            "client_id=c".to_owned(),
            format!("client_secret={name}"),
            "scope=all".to_owned(),
            "path=$.status".to_owned(),
        ];
        let incomplete = fill(values[..3].to_vec()).await.expect("the task");
        assert!(!incomplete.status.success() && String::from_utf8_lossy(&incomplete.stderr).contains("`client_secret` is missing"));
        let filled = fill(values.to_vec()).await.expect("the task");
        let mut webhook: Value = serde_json::from_slice(&filled.stdout).expect("a webhook");
        webhook["name"] = json!(name);
        client.webhook(&name, webhook).await;
        endpoint.next(Script::json(json!({ "status": "shipped" })));
        let invoked = client.invoke(&name, json!({ "session": name, "parameters": { "order": 7, "value": true } })).await;
        assert_eq!(invoked["parameters"], json!({ "result": "shipped" }), "{invoked}");
        let received = endpoint.next_request().await;
        assert_eq!((received.path.as_str(), received.json()), ("/7", json!({ "value": true })));
    });
}
