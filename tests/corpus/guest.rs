// What a plugin of every release does: `tests/guests/examples/corpus_*.rs` generate the bindings and include this.
// It uses every function of the interface, and answers with what it saw.

struct Guest;
export!(Guest);

use exports::hookwright::plugin::{answers, receive, transform};
use hookwright::plugin::{config, events, log, parameter_writes, parameters, secrets, state, types, webhooks};

fn text(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), text)
}

impl transform::Guest for Guest {
    fn apply(delivery: types::Delivery, events: Vec<types::Event>) -> Result<Option<types::Request>, types::Error> {
        let event = &events[0];
        match event.trigger.as_str() {
            "corpus.nothing" => return Ok(None),
            "corpus.rejected" => return Err(types::Error::Rejected("as asked".to_owned())),
            "corpus.later" => return Err(types::Error::RetryLater("as asked".to_owned())),
            _ => {}
        }
        log::write(log::Level::Info, "built");
        let signed = secrets::hmac_sha256("corpus-key", b"text").map(|mac| mac.len()).unwrap_or(0);
        let remembered = state::get("corpus").map_or(0, |value| value.len());
        let body = format!(
            "{{\"webhook\":{},\"session\":{},\"events\":{},\"trigger\":{},\"source\":{},\"data\":{},\"config\":{},\"a\":{},\"all\":{},\"mac\":{signed},\"state\":{remembered}}}",
            text(&delivery.webhook_name),
            optional(delivery.session.as_deref()),
            events.len(),
            text(&event.trigger),
            text(&event.source),
            event.data,
            config::get(),
            parameters::get("a").unwrap_or_else(|| "null".to_owned()),
            parameters::all().len(),
        );
        Ok(Some(types::Request {
            method: Some("PUT".to_owned()),
            path_and_query: Some("/corpus?x=1".to_owned()),
            headers: vec![("x-corpus".to_owned(), "yes".to_owned())],
            content_type: Some("application/json".to_owned()),
            body: Some(body.into_bytes()),
            bindings: vec![types::Binding { parameter: "bound".to_owned(), path: "$.answered".to_owned() }],
        }))
    }
}

impl answers::Guest for Guest {
    fn read(_: types::Delivery, answer: types::Answer) -> Result<types::Outcome, types::Error> {
        Ok(types::Outcome {
            parameters: vec![("status".to_owned(), Some(answer.status.to_string())), ("a".to_owned(), None)],
            output: Some(String::from_utf8_lossy(&answer.body).into_owned()),
        })
    }
}

impl receive::Guest for Guest {
    fn receive(call: types::Invocation) -> Result<types::Reply, types::Error> {
        for level in [log::Level::Debug, log::Level::Info, log::Level::Warn, log::Level::Error] {
            log::write(level, "called");
        }
        if let Some(session) = &call.session {
            let written = parameter_writes::set(session, "written", Some("1"));
            written.map_err(types::Error::Rejected)?;
        }
        let emission = events::Emission {
            trigger: "corpus.emitted".to_owned(),
            source: None,
            time_ms: None,
            data: format!("{{\"method\":{}}}", text(&call.method)),
            session: None,
            environment: None,
            attributes: Vec::new(),
        };
        let emitted = events::emit(&emission).map_err(types::Error::Rejected)?;
        state::set("corpus", b"12345").map_err(types::Error::Rejected)?;
        state::delete("nothing").map_err(types::Error::Rejected)?;
        let invoked = webhooks::invoke("corpus-target", &[("p".to_owned(), "2".to_owned())], "{\"d\":1}", "{}").map_err(types::Error::Rejected)?;
        let body = format!(
            "{{\"emitted\":{},\"delivered\":{},\"status\":{},\"output\":{},\"verified\":{},\"q\":{}}}",
            emitted.starts_with("evt_"),
            invoked.delivered,
            invoked.http_status.unwrap_or(0),
            invoked.output.unwrap_or_else(|| "null".to_owned()),
            call.verified,
            optional(call.query.first().map(|(_, value)| value.as_str())),
        );
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Ok(types::Reply { status: 201, headers, body: body.into_bytes() })
    }
}
