//! The story, step by step. Each step prints its input and its result, and fails if the result is wrong.

use std::path::Path;

use anyhow::{Context, ensure};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    page::{Page, Step},
    setup::Places,
    swap,
    vendors::{ERP_PATH, ITEMS, PLANS, ROADS},
    world::{Received, World},
};
use crate::cli::client::Api;

/// The agent's session, named as Dialogflow names sessions.
const SESSION: &str = "projects/demo/locations/eu/agents/shop/sessions/7";
/// The article the customer asks for. Its name needs escaping in a URL.
const ARTICLE: &str = "A-12/é";

/// Everything that the steps need.
pub struct Story<'a> {
    pub page: &'a Page,
    pub api: &'a Api,
    /// The vendors.
    pub world: &'a mut World,
    /// The URLs they call.
    pub places: &'a Places,
    pub data: &'a Path,
}

impl Story<'_> {
    pub async fn tell(&mut self) -> anyhow::Result<()> {
        let mut step = Step::begin(1, "An agent asks what is in stock: a code, a receiver, a webhook at the ERP");
        let done = self.agent_asks(&mut step).await;
        self.close(&step, done)?;
        let mut step = Step::begin(2, "An ArcGIS portal tells of two shared items: events, a scorer, a message to Slack");
        let done = self.portal_tells(&mut step).await;
        let button = self.close(&step, done)?;
        let mut step = Step::begin(3, "While it runs, the plugin that writes to Slack is replaced: by two scripts, and back");
        let done = swap::tell(&mut step, self.api, &mut self.world.slack).await;
        self.close(&step, done)?;
        let mut step = Step::begin(4, "The administrator clicks the button of the first message");
        let done = self.administrator_clicks(&mut step, &button).await;
        self.close(&step, done)
    }

    fn close<T>(&self, step: &Step, done: anyhow::Result<T>) -> anyhow::Result<T> {
        self.page.step(step, done.as_ref().err());
        done.with_context(|| format!("step {} of the demo is not as told", step.number))
    }

    async fn agent_asks(&mut self, step: &mut Step) -> anyhow::Result<()> {
        let asked = json!({
            "detectIntentResponseId": "4a1c", "text": format!("Do you have two {ARTICLE} in Lyon?"), "languageCode": "en",
            "fulfillmentInfo": { "tag": "check-stock" },
            "sessionInfo": { "session": SESSION, "parameters": { "article": ARTICLE, "depot": "LYON", "quantity": 2, "customer": "Ann" } },
        });
        step.say("agent", format!("→ POST {}   a Dialogflow WebhookRequest", path_of(&self.places.agent)));
        step.body(json!({ "fulfillmentInfo": asked["fulfillmentInfo"], "sessionInfo": asked["sessionInfo"] }).to_string());
        let headers = [("content-type", "application/json")];
        let answered = self.world.call(Method::POST, &self.places.agent, &headers, asked.to_string()).await?;
        ensure!(answered.status == 200, "the agent was answered {}: {}", answered.status, answered.body);

        let received = self.world.erp.next().await?;
        step.say("ERP", format!("← {}", received.line()));
        let wanted = format!("{ERP_PATH}?article=A-12%2F%C3%A9&depot=LYON");
        ensure!(received.arrived.target == wanted, "the ERP was asked {} instead of {wanted}", received.arrived.target);
        let body = json!({ "article": ARTICLE, "wanted": 2, "note": "for Ann" });
        ensure!(received.json()? == body, "the ERP got {} instead of {body}", received.body());
        step.body(received.body());
        verified(step, &received);
        step.more(format!("→ {} {}", received.said.status, String::from_utf8_lossy(&received.said.body)));

        let session = utf8_percent_encode(SESSION, NON_ALPHANUMERIC);
        let session = self.api.call(Method::GET, &format!("/v1/sessions/{session}/parameters"), None).await?;
        let stock = &answered.body["sessionInfo"]["parameters"]["stock"];
        ensure!(stock.is_u64() && session["parameters"]["stock"] == *stock, "bound {}, answered {stock}", session["parameters"]["stock"]);
        step.say("bound", format!("stock ← $.stock[0].available = {stock}, in the session …{}", &SESSION[SESSION.len() - 11..]));

        let text = &answered.body["fulfillmentResponse"]["messages"][0]["text"]["text"][0];
        ensure!(*text == format!("Yes: {stock} pieces of {ARTICLE} in LYON."), "the agent was told {text}");
        step.say("agent", format!("← {} a WebhookResponse: {text}", answered.status));
        step.body(json!({ "sessionInfo": answered.body["sessionInfo"] }).to_string());
        Ok(())
    }

    /// Returns the URL of the message's button.
    async fn portal_tells(&mut self, step: &mut Step) -> anyhow::Result<String> {
        self.portal_calls(step).await?;

        let asked = self.world.portal.next().await?;
        let slack = self.world.slack.next().await?;
        self.events_came_of_it(step).await?;
        self.file_was_written(step)?;
        step.say("portal", format!("← {}   the scorer may invoke this", asked.line()));
        ensure!(asked.arrived.target == format!("{ITEMS}{ROADS}?f=json"), "the portal was asked {}", asked.arrived.target);
        verified(step, &asked);
        step.more(format!("→ {} {}", asked.said.status, String::from_utf8_lossy(&asked.said.body)));

        step.say("Slack", format!("← {}   written by the plugin slack, the one in the binary", slack.line()));
        let message = slack.json()?;
        ensure!(message["text"] == "Shared publicly below the standards: Roads (30/100)", "Slack was told {}", message["text"]);
        let button = &message["blocks"][2]["elements"][0];
        let url = button["url"].as_str().context("the message has no button")?.to_owned();
        ensure!(url.starts_with(&self.places.unshare), "the button leads to {url}");
        step.body(json!({ "channel": message["channel"], "text": message["text"], "blocks": "…" }).to_string());
        step.more(format!("a button {} → {}", button["text"]["text"], path_of(&url)));
        verified(step, &slack);
        Ok(url)
    }

    async fn portal_calls(&self, step: &mut Step) -> anyhow::Result<()> {
        let portal = format!("{}/portal/", self.world.portal.url());
        let share = |id: &str, with: &str| {
            json!({ "username": "ann", "userId": "173d", "when": 1_543_192_196_500_u64, "operation": "share", "source": "item", "id": id,
                    "properties": { "sharedToGroups": [with] } })
        };
        let payload = json!({
            "info": { "webhookName": "shares", "webhookId": "72fe", "portalURL": portal, "when": 1_543_192_196_521_u64 },
            "events": [share(ROADS, "Everyone"), share(PLANS, "Organization")],
        })
        .to_string();
        step.say("portal", format!("→ POST {}   its webhook's payload, its secret as the header `secret`", path_of(&self.places.portal)));
        step.body(format!("{{\"info\":{{…}},\"events\":[{}, …]}}", share(ROADS, "Everyone")));
        step.more(format!("the second: item {PLANS}, shared with the organization alone"));
        let json = ("content-type", "application/json");
        let forged = self.world.call(Method::POST, &self.places.portal, &[json, ("secret", "a guess")], payload.clone()).await?;
        ensure!(forged.status == 401, "a wrong secret was answered {}", forged.status);
        let secret = ("secret", self.world.facts.portal_secret.as_str());
        let answered = self.world.call(Method::POST, &self.places.portal, &[json, secret], payload).await?;
        ensure!(answered.status == 200 && answered.body == json!({ "success": "true" }), "the portal was answered {}", answered.body);
        step.more(format!("← 200 {}", answered.body));
        step.good("verified by the host; with a wrong secret the same call got 401 and nothing came of it");
        Ok(())
    }

    async fn events_came_of_it(&self, step: &mut Step) -> anyhow::Result<()> {
        let page = self.api.call(Method::GET, "/v1/events?limit=20", None).await?;
        let events = page["data"].as_array().context("a page of events")?;
        let of =
            |trigger: &str| events.iter().find(|event| event["trigger"] == trigger).with_context(|| format!("there is no event {trigger}"));
        let (roads, plans) = (format!("/items/{ROADS}/share"), format!("/items/{PLANS}/share"));
        for (trigger, webhooks, because) in [
            (roads.as_str(), json!(["public-shares"]), "its filter lets through what Everyone may see"),
            (plans.as_str(), json!([]), "the filter holds it back"),
            ("standards.failed", json!(["slack"]), "its selector is standards.*"),
        ] {
            let event = of(trigger)?;
            let id = event["id"].as_str().unwrap_or_default();
            let event = self.api.call(Method::GET, &format!("/v1/events/{id}"), None).await?;
            let owed: Value = event["deliveries"].as_array().into_iter().flatten().map(|delivery| delivery["webhook"].clone()).collect();
            ensure!(owed == webhooks, "the event {trigger} is owed to {owed} instead of {webhooks}");
            let to = owed[0].as_str().unwrap_or("nobody");
            step.say(if trigger == roads { "events" } else { "" }, format!("{trigger} → {to}: {because}"));
        }
        let failed = &of("standards.failed")?["data"];
        let missing = failed["missing"].to_string().replace(['[', ']', '"'], "").replace(',', ", ");
        step.say("scorer", format!("got the payload at a code of its own, and says: {} of 100, missing {missing}", failed["score"]));
        Ok(())
    }

    /// Checks the file that the scorer writes into its granted directory.
    fn file_was_written(&self, step: &mut Step) -> anyhow::Result<()> {
        let directory = self.data.join("plugin-data").join("item-standards");
        let mut files = std::fs::read_dir(&directory).with_context(|| format!("there is no {}", directory.display()))?;
        let path = files.next().context("the scorer wrote no file")??.path();
        ensure!(files.next().is_none(), "the scorer wrote more than one file");
        let text = std::fs::read_to_string(&path)?;
        let payload: Value = serde_json::from_str(&text).context("the scorer's file is no payload")?;
        ensure!(payload["events"][0]["id"] == ROADS && payload["events"].as_array().map(Vec::len) == Some(1), "the scorer kept {text}");
        let name = path.strip_prefix(self.data).unwrap_or(&path).display().to_string();
        step.more(format!("keeps it in the directory it is granted: DATA/{name}, {} bytes", text.len()));
        Ok(())
    }

    async fn administrator_clicks(&mut self, step: &mut Step, button: &str) -> anyhow::Result<()> {
        step.say("person", format!("→ GET {}   no plugin behind it: a declared reply", path_of(button)));
        let answered = self.world.call(Method::GET, button, &[], String::new()).await?;
        ensure!(answered.status == 200, "the click was answered {}: {}", answered.status, answered.body);
        step.more(format!("← {} {}", answered.status, answered.body));
        let received = self.world.portal.next().await?;
        step.say("event", "unshare.requested, declared by the receiver → webhook take-back");
        step.say("portal", format!("← {}   {}", received.line(), received.body()));
        ensure!(received.line() == format!("POST {ITEMS}{ROADS}/share"), "the portal was told {}", received.line());
        ensure!(received.body() == "everyone=false&org=true&f=json", "the portal was told {}", received.body());
        verified(step, &received);
        Ok(())
    }
}

/// Prints what an endpoint found out when it verified a delivery.
pub fn verified(step: &mut Step, received: &Received) {
    let id = received.verified.as_deref().unwrap_or_default();
    let token = if received.arrived.header("authorization").is_some() { "; bearer token right" } else { "" };
    step.good(format!("signature verified by the endpoint: v1 HMAC-SHA256 of {id}{token}"));
}

fn path_of(url: &str) -> &str {
    url.splitn(4, '/').nth(3).map_or(url, |rest| &url[url.len() - rest.len() - 1..])
}
