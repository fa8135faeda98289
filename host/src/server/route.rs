//! A route of the API: path, method, scope and handler.

use futures::future::BoxFuture;
use http::Method;

use super::{request::Asked, respond::Answer};
use crate::{model::token::Scope, services::Services};

/// The function that answers a route.
pub type Handler = fn(Services, Asked) -> BoxFuture<'static, Answer>;

#[derive(Clone)]
pub struct Route {
    pub method: Method,
    /// The path pattern, with `{...}` for values.
    pub path: &'static str,
    /// The scope that a token needs; `None`: no token is needed.
    pub scope: Option<Scope>,
    /// Whether the body may be as long as a plugin, instead of as long as the limit for API requests.
    pub(super) upload: bool,
    pub(super) handler: Handler,
}

/// The route's identifier in the description, such as `put_webhooks_name`. It is unique because method and path are.
pub fn operation_id(route: &Route) -> String {
    let words = route.path.split('/').filter(|word| !word.is_empty() && *word != "v1");
    let name: Vec<_> = words.map(|word| word.trim_matches(['{', '}']).replace(['-', '.'], "_")).collect();
    format!("{}_{}", route.method.as_str().to_lowercase(), name.join("_"))
}
