//! Requests through the operator's proxy: what the proxy is asked for, what it is not asked for, and errors that name it.

use hookwright_tests::{Authority, Client, Endpoint, Process, Proxy, TokenServer, data_directory, process};
use hookwright_tests::{host::TOKEN, run};
use serde_json::{Value, json};

/// Invokes a webhook at `url` and returns the outcome.
async fn invoked(client: &Client, url: &str, more: Value) -> Value {
    let mut webhook = json!({ "profile": "dialogflow-flexible", "request": { "url": url } });
    webhook.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    client.webhook("w", webhook).await;
    client.invoke("w", json!({})).await
}

#[test]
fn everything_goes_through_the_proxy_at_addresses_that_were_tested() {
    run(async {
        let directory = data_directory();
        let proxy = Proxy::start().await;
        let given = format!("http://ann:canary-proxy@{}", proxy.address);
        // The host does not read these variables; the address leads nowhere.
        let elsewhere = "http://127.0.0.1:1";
        let environment = [
            ("HOOKWRIGHT_PROXY", given.as_str()),
            ("HTTPS_PROXY", elsewhere),
            ("http_proxy", elsewhere),
            ("ALL_PROXY", elsewhere),
            ("RUST_LOG", "trace,h2=info"),
            ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN),
        ];
        let process = Process::serve_under(&directory.path().join("data"), &[], &environment).await;
        let client = &process.client;
        let authority = Authority::new();
        let endpoint = Endpoint::start_tls(&authority.server(&["localhost"]), None).await;
        let server = TokenServer::start(("c", "s"), None).await;
        client.secret("s", "s").await;
        let port = endpoint.address.port();
        let url = format!("https://localhost:{port}/x?sig=canary-sig");
        let more = json!({
            "tls": { "ca_certificates": [authority.pem] },
            "auth": { "kind": "oauth2", "token_endpoint": format!("http://localhost:{}/token", server.endpoint.address.port()), "client_id": "c", "client_secret": "$secret:s" },
        });
        let ended = invoked(client, &url, more.clone()).await;
        assert_eq!(ended["state"], "delivered", "{ended}");
        let received = endpoint.next_request().await;
        assert_eq!(
            (received.path.as_str(), received.header("host"), received.header("authorization")),
            ("/x?sig=canary-sig", &*format!("localhost:{port}"), "Bearer canary-token-1")
        );
        let asked = proxy.asked();
        let lines: Vec<_> = asked.iter().filter_map(|head| head.lines().next()).collect();
        assert_eq!(
            lines,
            [format!("CONNECT {} HTTP/1.1", server.endpoint.address), format!("CONNECT {} HTTP/1.1", endpoint.address)],
            "addresses, and no name"
        );
        assert!(asked.iter().all(|head| head.contains("proxy-authorization: Basic ")), "{asked:?}");
        assert!(!asked.concat().contains("canary"), "{asked:?}");

        let (_, checked) = client.post("/v1/webhooks/w/check", &json!({})).await;
        assert!(checked["steps"].to_string().contains(&format!("which is the proxy `{}`", proxy.address)), "{checked}");

        // The proxy is not asked for forbidden addresses: it is inside the network and could reach them.
        let before = proxy.asked().len();
        let own = process.address;
        for url in [
            "https://10.0.0.1/".to_owned(),
            "https://169.254.169.254/latest/meta-data".to_owned(),
            "https://[::1]/".to_owned(),
            "https://[::ffff:10.0.0.1]/".to_owned(),
            "https://0/".to_owned(),
            "https://167772161/".to_owned(),
            "https://0x0a000001/".to_owned(),
            "http://1.1.1.1/".to_owned(),
            format!("http://{own}/v1/secrets"),
            format!("http://localhost:{}/v1/secrets", own.port()),
        ] {
            let ended = invoked(client, &url, json!({})).await;
            assert_eq!(
                (&ended["failure"]["kind"], &ended["error_event"]),
                (&json!("address_refused"), &json!("webhook.error.not-found")),
                "{url}: {ended}"
            );
        }
        assert_eq!(proxy.asked().len(), before);

        // If the proxy is gone or refuses, the error names the proxy as the reason.
        let closed = "https://127.0.0.1:1/?sig=canary-sig";
        let ended = invoked(client, closed, json!({})).await;
        let detail = ended["failure"]["detail"].as_str().unwrap_or_default();
        assert!(ended["failure"]["kind"] == "connect_failed" && detail.contains("it answered 502 Bad Gateway"), "{ended}");
        let log = process.log();
        assert!(
            !log.contains("canary-proxy") && !log.contains("Y2FuYXJ5LXByb3h5") && !log.contains("canary-sig"),
            "the log shows no credential"
        );
        assert!(process.terminate().await.success());
    });
}

#[test]
fn the_configuration_says_which_host_has_which_proxy() {
    run(async {
        let directory = data_directory();
        let proxy = Proxy::start().await;
        let file = directory.path().join("hookwright.toml");
        let rules = format!(
            "[[proxy]]\nurl = \"direct\"\nhosts = [\"127.0.0.1\"]\n\n[[proxy]]\nurl = \"http://{}\"\nhosts = [\"localhost\", \"*.localhost\"]\n",
            proxy.address
        );
        std::fs::write(&file, rules).expect("written");
        let config = file.to_str().expect("a path");
        let process =
            Process::serve_under(&directory.path().join("data"), &[], &[("HOOKWRIGHT_CONFIG", config), ("HOOKWRIGHT_ADMIN_TOKEN", TOKEN)])
                .await;
        let endpoint = Endpoint::start().await;
        let ended = invoked(&process.client, &endpoint.url("/direct"), json!({})).await;
        assert_eq!((&ended["state"], proxy.asked().len()), (&json!("delivered"), 0), "{ended}");
        let ended = invoked(&process.client, &format!("http://localhost:{}/through", endpoint.address.port()), json!({})).await;
        assert_eq!(ended["state"], "delivered", "{ended}");
        assert!(proxy.asked()[0].starts_with(&format!("CONNECT {} HTTP/1.1\r\n", endpoint.address)), "{:?}", proxy.asked());
        assert!(process.terminate().await.success());

        for (rule, says) in [
            ("url = \"https://ann:canary@p:1\"", "a proxy is spoken to by `http:`"),
            ("url = \"http://ann:canary@p/x\"", "`url` has a path"),
            ("url = \"http://ann:canary@p\"\nhosts = [\"https://h\"]", "`hosts` has `https://h`"),
            ("url = \"http://ann:canary@p\"\nresolve = \"nobody\"", "unknown variant `nobody`"),
            ("urls = \"http://ann:canary@p\"", "there is no field `urls`; did you mean `url`?"),
        ] {
            std::fs::write(&file, format!("[[proxy]]\n{rule}\n")).expect("written");
            let data = directory.path().join("other");
            let mut command =
                process::hookwright(&["serve", "--listen", "127.0.0.1:0", "--config", config, "--data", data.to_str().expect("a path")]);
            let finished = process::finish(&mut command).await;
            assert!(!finished.status.success() && finished.all().contains(says), "{rule}: {}", finished.all());
            assert!(!finished.all().contains("canary"), "{rule}: {}", finished.all());
        }
        let mut command = process::hookwright(&["serve", "--listen", "127.0.0.1:0", "--proxy", "https://ann:canary@p"]);
        let finished = process::finish(&mut command).await;
        assert!(
            !finished.status.success() && finished.all().contains("--proxy (`proxy`)") && !finished.all().contains("canary"),
            "{}",
            finished.all()
        );
    });
}
