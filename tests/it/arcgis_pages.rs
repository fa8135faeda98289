//! The pages of ArcGIS's directory in a real browser.

use hookwright_tests::{Endpoint, TestHost, browser, host::TOKEN, interop, run};
use serde_json::{Value, json};

#[test]
fn an_administrator_manages_a_webhook_with_a_browser() {
    run(async {
        let Some(browser) = browser() else { return };
        let host = TestHost::start().await;
        let endpoint = Endpoint::start().await;
        // Takes screenshots for people if HOOKWRIGHT_TEST_SCREENSHOTS names a directory.
        let picture = |name: &str| std::env::var("HOOKWRIGHT_TEST_SCREENSHOTS").ok().map(|directory| format!("{directory}/{name}.png"));
        let asked = json!({
            "browser": browser, "url": host.client.url("").trim_end_matches('/'), "name": "HOOKWRIGHT_ADMIN_TOKEN", "token": TOKEN, "hook": endpoint.url("/hook"),
            "screenshot": picture("webhook"), "form_screenshot": picture("create-webhook"),
        });
        let said: Value = serde_json::from_str(&interop("node", "pages.mjs", &asked).await).expect("JSON");
        assert_eq!(said["failed"], Value::Null, "{said:#}");
        let says = |field: &str, text: &str| assert!(said[field].as_str().is_some_and(|said| said.contains(text)), "{field}: {said:#}");
        says("asked_who", "Login");
        says("signed_in", "Portal Self");
        says("refused", "the operation on any object is `/items/share`");
        for text in ["Shared items", "/items/share", "isActive\ttrue", "(redacted)"] {
            says("created", text);
        }
        assert!(!said.to_string().contains("shared-value"), "the secret is never shown: {said:#}");
        says("updated", "events");
        assert!(said["updated"].as_str().is_some_and(|said| !said.contains("/items/share")), "{said:#}");
        says("deactivated", "isActive\tfalse");
        says("log", "total\t0");
        says("deleted", "total\t0");
        says("signed_out", "Login");
        // An error page has the status of its error, and the browser reports that. It must not report anything else.
        let complaints = said["complaints"].as_array().expect("complaints");
        assert!(complaints.iter().all(|complaint| complaint.as_str().is_some_and(|text| text.contains("400"))), "{complaints:?}");
        let knocked = endpoint.seen();
        assert_eq!(knocked.len(), 2, "at creation and at update: {knocked:?}");
    });
}
