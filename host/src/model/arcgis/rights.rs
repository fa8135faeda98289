//! What ArcGIS's privileges allow with a webhook. Their holders change what they made, and see of the others no value that may be a
//! credential. They write no credential but the secret of their own forms, so they cannot point anybody else's at another server.

use serde_json::Value;

use super::{OWNER_LABEL, label};
use crate::model::{
    problem::Problem,
    request::redact::redact_template_url,
    template::url::UrlTemplate,
    webhook::{AuthSpec, TlsSpec, TransformSpec, WebhookSpec},
};

/// Where a form has the URL and the secret.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The pointer of the URL.
    pub url: &'static str,
    /// The pointer of the secret.
    pub secret: &'static str,
}

/// Whether `name` made the webhook through ArcGIS's forms.
pub fn is_made_by(spec: &WebhookSpec, name: &str) -> bool {
    label(&spec.labels, OWNER_LABEL) == Some(name)
}

/// The document as it is shown to those who are no administrators: without the values of its URL's query.
pub fn without_values(spec: &WebhookSpec) -> WebhookSpec {
    let mut shown = spec.clone();
    shown.request.url = redact_template_url(&spec.request.url);
    shown
}

/// Whether `url` is the URL of `existing` as it is shown: written back so, it stays what it is.
pub(super) fn is_as_shown(existing: Option<&WebhookSpec>, url: &str) -> bool {
    existing.is_some_and(|existing| redact_template_url(&existing.request.url) == url)
}

/// What is wrong with a document for who is no administrator to write in place of `existing`.
pub fn problems(existing: Option<&WebhookSpec>, document: &Value, places: Places) -> Vec<Problem> {
    let before = existing.map(|existing| existing.request.url.as_str());
    let written = document["request"]["url"].as_str().unwrap_or_default();
    // What is no URL is left to the compiler, which says where it goes wrong.
    let Some(url) = UrlTemplate::parse(written).ok().filter(|_| before != Some(written)) else { return Vec::new() };
    let mut found = Vec::new();
    if !url.is_literal() {
        found.push(Problem::new(places.url, "references and functions are an administrator's to write: a payload URL has none"));
    }
    let Some(existing) = existing else { return found };
    if UrlTemplate::parse(&existing.request.url).is_ok_and(|before| before.destination() == url.destination()) {
        return found;
    }
    let given = beyond_the_form(existing);
    if !given.is_empty() {
        found.push(Problem::new(
            places.url,
            format!(
                "this is another server, and the webhook has {}, which an administrator gave it for the one it points at: an administrator \
                 points it elsewhere, or takes that off first",
                given.join(", ")
            ),
        ));
    }
    if existing.signing.as_ref().is_some_and(|signing| serde_json::to_value(signing).is_ok_and(|kept| kept == document["signing"])) {
        let detail =
            "the payload URL is at another server, which the secret was not given for: write the secret again, or leave it empty for none";
        found.push(Problem::new(places.secret, detail));
    }
    found
}

/// What a webhook has that none of ArcGIS's forms writes, and that goes along with a request or acts on its answer.
fn beyond_the_form(spec: &WebhookSpec) -> Vec<&'static str> {
    let is_forms = |transform: &TransformSpec| match transform {
        TransformSpec::Name(plugin) => *plugin == spec.profile,
        TransformSpec::Full(full) => full.plugin == spec.profile,
    };
    let has = [
        ("`auth`", spec.auth.as_ref().is_some_and(|auth| *auth != AuthSpec::None {})),
        ("`tls`", spec.tls.as_ref().is_some_and(|tls| *tls != TlsSpec::default())),
        ("`resolve`", !spec.resolve.is_empty()),
        ("`environments`", !spec.environments.is_empty()),
        ("`request.headers`", !spec.request.headers.is_empty()),
        ("`request.body`", spec.request.body.is_some()),
        ("`bindings`", !spec.bindings.is_empty()),
        ("a `transform` of its own", !spec.transform.as_ref().is_none_or(is_forms)),
    ];
    has.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLACES: Places = Places { url: "/url", secret: "/secret" };

    fn spec(more: Value) -> WebhookSpec {
        let mut document = json!({ "name": "w", "profile": "arcgis-organization", "labels": { "arcgis/owner": "ann" },
            "transform": { "plugin": "arcgis-organization", "config": {} }, "request": { "url": "https://h.example/a?sig=1" } });
        crate::model::merge_patch::merge(&mut document, &more);
        serde_json::from_value(document).expect("a webhook")
    }

    /// Pointers of what is wrong with this patch of a webhook, for who is no administrator.
    fn wrong(existing: &WebhookSpec, patch: Value) -> Vec<String> {
        let mut document = serde_json::to_value(existing).expect("a document");
        crate::model::merge_patch::merge(&mut document, &patch);
        problems(Some(existing), &document, PLACES).into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn a_webhook_is_theirs_who_made_it_by_a_form() {
        let made = spec(json!({}));
        assert!(is_made_by(&made, "ann") && !is_made_by(&made, "bob"));
        assert!(!is_made_by(&spec(json!({ "labels": null })), ""));
        assert_eq!(without_values(&made).request.url, "https://h.example/a?sig=redacted");
        assert!(is_as_shown(Some(&made), "https://h.example/a?sig=redacted") && !is_as_shown(None, "https://h.example/a?sig=redacted"));
    }

    #[test]
    fn another_server_never_gets_what_somebody_else_gave() {
        let elsewhere = json!({ "request": { "url": "https://thief.example/" } });
        assert_eq!(wrong(&spec(json!({})), elsewhere.clone()), Vec::<String>::new());
        for more in [
            json!({ "auth": { "kind": "bearer", "token": "$secret:crown" } }),
            json!({ "tls": { "client_certificate": { "certificate": "c", "key": "$secret:crown" } } }),
            json!({ "resolve": { "thief.example": "10.0.0.7:443" } }),
            json!({ "environments": { "staging": { "auth": { "kind": "bearer", "token": "$secret:crown" } } } }),
            json!({ "request": { "headers": { "x-key": "k" } } }),
            json!({ "request": { "body": "k" } }),
            json!({ "bindings": { "a": "$.a" } }),
            json!({ "transform": { "plugin": "mine" } }),
        ] {
            let existing = spec(more.clone());
            assert_eq!(wrong(&existing, elsewhere.clone()), ["/url"], "{more}");
            for same in ["https://h.example/b", "https://H.example:443/"] {
                assert_eq!(wrong(&existing, json!({ "request": { "url": same } })), Vec::<String>::new(), "{more} {same}");
            }
            assert_eq!(wrong(&existing, json!({ "request": { "url": "http://h.example/a" } })), ["/url"], "{more}");
        }
    }

    #[test]
    fn a_secret_goes_to_another_server_only_where_it_is_given_again() {
        let existing = spec(json!({ "signing": { "scheme": "esri-organization", "secrets": ["$secret:shared"] } }));
        let with = |signing: Value| json!({ "request": { "url": "https://thief.example/" }, "signing": signing });
        assert_eq!(wrong(&existing, json!({ "request": { "url": "https://thief.example/" } })), ["/secret"]);
        assert_eq!(wrong(&existing, with(json!(null))), Vec::<String>::new());
        assert_eq!(wrong(&existing, with(json!({ "scheme": null, "secrets": [{ "inline": "new" }] }))), Vec::<String>::new());
        assert_eq!(wrong(&existing, json!({ "labels": { "arcgis/name": "x" } })), Vec::<String>::new());
    }

    #[test]
    fn references_in_a_url_are_an_administrators() {
        let document = json!({ "request": { "url": "https://thief.example/?t=$session.params.token" } });
        assert_eq!(problems(None, &document, PLACES).len(), 1);
        assert_eq!(wrong(&spec(json!({})), document), ["/url"]);
        let existing = spec(json!({ "request": { "url": "https://h.example/?t=$session.params.token" } }));
        assert_eq!(wrong(&existing, json!({})), Vec::<String>::new(), "what stands there stays");
    }
}
