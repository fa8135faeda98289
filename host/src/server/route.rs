//! One address and method, and what answers it.

use futures::future::BoxFuture;
use http::Method;

use super::{request::Asked, respond::Answer};
use crate::{model::token::Scope, services::Services};

/// What answers a route.
pub type Handler = fn(Services, Asked) -> BoxFuture<'static, Answer>;

/// One address and method.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{...}`.
    pub path: &'static str,
    /// What a token must allow; `None`: open.
    pub scope: Option<Scope>,
    /// Bytes of a body; `None`: what the limits say for API requests.
    pub(super) upload: bool,
    pub(super) handler: Handler,
}

/// `put_webhooks_name`: unique, because method and path are.
pub fn operation_id(route: &Route) -> String {
    let words = route.path.split('/').filter(|word| !word.is_empty() && *word != "v1");
    let name: Vec<_> = words.map(|word| word.trim_matches(['{', '}']).replace(['-', '.'], "_")).collect();
    format!("{}_{}", route.method.as_str().to_lowercase(), name.join("_"))
}
