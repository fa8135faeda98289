//! A built request as it is kept for later attempts, and whether it may still be sent.
//!
//! It is kept without credentials; those of the moment are put on at each attempt. So they go where it goes, and it may go only where the
//! webhook points at that moment.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::BuiltRequest;
use crate::model::template::url::UrlTemplate;

/// A built request as it is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    request: &'a BuiltRequest,
    origin: String,
    credentials: &'a str,
}

/// A built request as it was kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KeptRequest {
    /// The request.
    #[serde(flatten)]
    pub request: BuiltRequest,
    /// Where it goes. Versions before 0.2 did not write it: then the URL alone says it.
    #[serde(default)]
    origin: Option<String>,
    /// The version of the credentials it was built for ([`crate::model::webhook::Webhook::credentials_version`]); empty before 0.2.
    #[serde(default)]
    credentials: String,
}

/// What becomes of a kept request at an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The same bytes are sent again.
    SentAgain,
    /// The same bytes are sent again, with credentials that were changed since it was built.
    SignedOtherwise,
    /// The webhook points elsewhere: the request is built again for there.
    BuiltAgain,
}

impl BuiltRequest {
    /// As it is kept, for a webhook whose URL leads to `origin`, built for this version of its credentials.
    pub fn to_keep(&self, origin: String, credentials: &str) -> Option<Value> {
        serde_json::to_value(Written { request: self, origin, credentials }).ok()
    }
}

impl KeptRequest {
    /// Reads what was kept, also by versions before 0.2.
    pub fn read(kept: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(kept)
    }

    /// What becomes of it for a webhook with this URL and this version of its credentials.
    pub fn fate(&self, url: &UrlTemplate, credentials: &str) -> Fate {
        // The URL is what would be called: what was written beside it can only add a reason to build again.
        let leads_there = Url::parse(&self.request.url).is_ok_and(|kept| url.leads_to(&kept));
        match leads_there && self.origin.as_ref().is_none_or(|origin| *origin == url.destination()) {
            false => Fate::BuiltAgain,
            true if self.credentials == credentials => Fate::SentAgain,
            true => Fate::SignedOtherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn built() -> BuiltRequest {
        BuiltRequest {
            shown_url: None,
            spelt_out: Vec::new(),
            method: "POST".to_owned(),
            url: "https://h.example/a?x=1".to_owned(),
            headers: vec![("x-a".to_owned(), "b".to_owned())],
            body: vec![0, 255],
            bindings: Vec::new(),
        }
    }

    fn fate(kept: &Value, url: &str, credentials: &str) -> Fate {
        KeptRequest::read(kept).expect("kept").fate(&UrlTemplate::parse(url).expect("a URL"), credentials)
    }

    #[test]
    fn what_is_kept_comes_back_whole() {
        let kept = built().to_keep("https://h.example".to_owned(), "v1").expect("written");
        assert_eq!((&kept["origin"], &kept["credentials"]), (&json!("https://h.example"), &json!("v1")));
        assert_eq!(KeptRequest::read(&kept).expect("read").request, built());
    }

    #[test]
    fn it_is_sent_again_to_its_own_origin_alone() {
        let kept = built().to_keep("https://h.example".to_owned(), "v1").expect("written");
        assert_eq!(fate(&kept, "https://H.example:443/other", "v1"), Fate::SentAgain);
        assert_eq!(fate(&kept, "https://h.example/other", "v2"), Fate::SignedOtherwise);
        for other in ["http://h.example/a?x=1", "https://h.example:8443/a?x=1", "https://g.example/a?x=1", "mailto:a@h.example"] {
            assert_eq!(fate(&kept, other, "v1"), Fate::BuiltAgain, "{other}");
        }
        // Two words that contradict each other are believed by nobody.
        let forged = built().to_keep("https://g.example".to_owned(), "v1").expect("written");
        assert_eq!(fate(&forged, "https://h.example/a", "v1"), Fate::BuiltAgain);
        assert_eq!(fate(&forged, "https://g.example/a", "v1"), Fate::BuiltAgain);
    }

    #[test]
    fn of_what_an_older_version_kept_the_url_says_where_it_goes() {
        let kept = serde_json::to_value(built()).expect("written");
        assert_eq!(fate(&kept, "https://h.example/", "v1"), Fate::SignedOtherwise);
        assert_eq!(fate(&kept, "https://g.example/", "v1"), Fate::BuiltAgain);
    }
}
