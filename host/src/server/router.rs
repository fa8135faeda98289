//! The table of all routes, and the look-up in it. A test checks the OpenAPI description against it.

use std::{collections::BTreeMap, sync::LazyLock};

use bytes::Bytes;
use http::{Method, Response, header::AUTHORIZATION, request::Parts};
use serde_json::Value;
use utoipa::OpenApi;

use super::{
    actions, arcgis, audit,
    authorization::authorize,
    body::RequestBody,
    caller::{Face, Sent},
    calls, codes, cx, deliveries, events, health,
    inbound::{self, CodePath},
    invoke, maintenance, metrics, openapi, plugins, profiles, receivers, recovery,
    request::{Asked, fields},
    respond::{Answer, ApiError, Body, ok, status_of},
    route::Route,
    secrets, services as known_services, sessions, templates, tokens, triggers, try_out, webhooks,
};
use crate::{finishing::to_the_end, model::token::Scope, services::Services, traces::Span};

macro_rules! routes {
    ($($method:ident $path:literal $scope:expr => $($handler:ident)::+;)*) => {
        vec![$(Route {
            method: Method::$method,
            path: $path,
            scope: $scope,
            upload: false,
            handler: |services, asked| Box::pin($($handler)::+(services, asked)),
        },)*]
    };
}

/// Makes a table of routes, and the description of their handlers.
macro_rules! described_routes {
    ($(#[$meta:meta])* $table:ident, $description:ident { $($method:ident $path:literal $scope:expr => $($handler:ident)::+;)* }) => {
        $(#[$meta])*
        fn $table() -> Vec<Route> {
            routes! { $($method $path $scope => $($handler)::+;)* }
        }

        /// What the handlers of the routes say about themselves.
        #[derive(OpenApi)]
        #[openapi(paths($($($handler)::+),*))]
        struct $description;
    };
}

const ADMIN: Option<Scope> = Some(Scope::Admin);

const READ: Option<Scope> = Some(Scope::Read);

const PLUGINS: Option<Scope> = Some(Scope::PluginsWrite);

described_routes! {
    own_routes, Described {
        GET "/healthz" None => health::healthz;
        GET "/readyz" None => health::readyz;
        GET "/metrics" READ => metrics::get;
        GET "/openapi.json" None => document;
        GET "/openapi-arcgis.json" None => arcgis::description::document;
        GET "/openapi-v3.json" None => cx_document;
        POST "/v1/events" Some(Scope::EventsWrite) => events::post;
        GET "/v1/events" READ => events::list;
        GET "/v1/events/{id}" READ => events::get;
        DELETE "/v1/events/{id}" ADMIN => events::delete;
        GET "/v1/webhooks" READ => webhooks::list;
        POST "/v1/webhooks" ADMIN => webhooks::post;
        PUT "/v1/webhooks/{name}" ADMIN => webhooks::put;
        GET "/v1/webhooks/{name}" READ => webhooks::get;
        PATCH "/v1/webhooks/{name}" ADMIN => webhooks::patch;
        DELETE "/v1/webhooks/{name}" ADMIN => webhooks::delete;
        POST "/v1/webhooks/{name}/activate" ADMIN => webhooks::activate;
        POST "/v1/webhooks/{name}/deactivate" ADMIN => webhooks::deactivate;
        POST "/v1/webhooks/{name}/filter-test" READ => webhooks::filter_test;
        POST "/v1/webhooks/{name}/invoke" Some(Scope::Invoke) => invoke::invoke;
        POST "/v1/webhooks/{name}/preview" READ => invoke::preview;
        POST "/v1/webhooks/{name}/test" ADMIN => invoke::test;
        POST "/v1/webhooks/{name}/check" ADMIN => invoke::check;
        GET "/v1/templates" READ => templates::list;
        GET "/v1/templates/{name}" READ => templates::get;
        GET "/v1/triggers" READ => triggers::list;
        GET "/v1/services" READ => known_services::list;
        PUT "/v1/services/{name}" ADMIN => known_services::put;
        GET "/v1/services/{name}" READ => known_services::get;
        PATCH "/v1/services/{name}" ADMIN => known_services::patch;
        DELETE "/v1/services/{name}" ADMIN => known_services::delete;
        PUT "/v1/services/{folder}/{name}" ADMIN => known_services::put_in_folder;
        GET "/v1/services/{folder}/{name}" READ => known_services::get_in_folder;
        PATCH "/v1/services/{folder}/{name}" ADMIN => known_services::patch_in_folder;
        DELETE "/v1/services/{folder}/{name}" ADMIN => known_services::delete_in_folder;
        GET "/v1/tokens" ADMIN => tokens::list;
        POST "/v1/tokens" ADMIN => tokens::post;
        DELETE "/v1/tokens/{id}" ADMIN => tokens::delete;
        POST "/v1/tokens/{id}/rotate" ADMIN => tokens::rotate;
        GET "/v1/audit" ADMIN => audit::list;
        POST "/v1/webhooks/{name}/recover" ADMIN => recovery::recover;
        POST "/v1/webhooks/{name}/replay" ADMIN => recovery::replay;
        GET "/v1/profiles" READ => profiles::list;
        GET "/v1/profiles/{name}" READ => profiles::get;
        PATCH "/v1/profiles/{name}" ADMIN => profiles::patch;
        GET "/v1/deliveries" READ => deliveries::list;
        GET "/v1/deliveries/{id}" READ => deliveries::get;
        POST "/v1/deliveries/{id}/resend" ADMIN => deliveries::resend;
        POST "/v1/deliveries/{id}/cancel" ADMIN => deliveries::cancel;
        GET "/v1/calls" READ => calls::list;
        GET "/v1/calls/{id}" READ => calls::get;
        POST "/v1/calls/{id}/rerun" ADMIN => calls::rerun::one;
        GET "/v1/calls/rerun" READ => calls::rerun::outlook;
        POST "/v1/calls/rerun" ADMIN => calls::rerun::many;
        GET "/v1/sessions/{id}/parameters" READ => sessions::get;
        PATCH "/v1/sessions/{id}/parameters" ADMIN => sessions::patch;
        DELETE "/v1/sessions/{id}/parameters" ADMIN => sessions::delete;
        GET "/v1/secrets" READ => secrets::list;
        PUT "/v1/secrets/{name}" ADMIN => secrets::put;
        DELETE "/v1/secrets/{name}" ADMIN => secrets::delete;
        GET "/v1/plugins" READ => plugins::list;
        GET "/v1/plugins/{name}" READ => plugins::get;
        PUT "/v1/plugins/{name}" PLUGINS => plugins::put;
        GET "/v1/plugins/{name}/versions/{version}" PLUGINS => plugins::version;
        DELETE "/v1/plugins/{name}" PLUGINS => plugins::delete;
        POST "/v1/plugins/{name}/activate" PLUGINS => plugins::activate;
        POST "/v1/plugins/{name}/try" PLUGINS => try_out::try_out;
        POST "/v1/plugins/{name}/compare" PLUGINS => try_out::compare;
        PUT "/v1/plugins/{name}/config" PLUGINS => plugins::put_config;
        PUT "/v1/plugins/{name}/grants" ADMIN => plugins::put_grants;
        GET "/v1/plugins/{name}/limits" READ => plugins::conduct::limits;
        PUT "/v1/plugins/{name}/limits" ADMIN => plugins::conduct::put_limits;
        POST "/v1/plugins/{name}/rollback" PLUGINS => plugins::conduct::rollback;
        PUT "/v1/plugins/{name}/rollback" PLUGINS => plugins::conduct::put_rollback;
        POST "/v1/plugins/{name}/resume" PLUGINS => plugins::conduct::resume;
        GET "/v1/plugins/{name}/history" READ => plugins::conduct::history;
        GET "/v1/receivers" READ => receivers::list;
        PUT "/v1/receivers/{name}" ADMIN => receivers::put;
        GET "/v1/receivers/{name}" READ => receivers::get;
        PATCH "/v1/receivers/{name}" ADMIN => receivers::patch;
        DELETE "/v1/receivers/{name}" ADMIN => receivers::delete;
        POST "/v1/receivers/{name}/codes" ADMIN => codes::post;
        GET "/v1/receivers/{name}/codes" ADMIN => codes::list;
        DELETE "/v1/receivers/{name}/codes/{id}" ADMIN => codes::delete;
        POST "/v1/receivers/{name}/codes/mail" ADMIN => codes::mail;
        GET "/v1/refusals" READ => codes::refusals;
        GET "/v1/actions" READ => actions::list;
        PUT "/v1/actions/{name}" ADMIN => actions::put;
        GET "/v1/actions/{name}" READ => actions::get;
        DELETE "/v1/actions/{name}" ADMIN => actions::delete;
        POST "/v1/backup" ADMIN => maintenance::post_backup;
        GET "/v1/backup" READ => maintenance::get_backup;
        POST "/v1/compact" ADMIN => maintenance::post_compact;
        GET "/v1/compact" READ => maintenance::get_compact;
    }
}

/// All routes of the API. Codes are matched elsewhere, because the path before them is free.
pub fn routes() -> Vec<Route> {
    let mut routes = own_routes();
    for route in &mut routes {
        route.upload = route.method == Method::PUT && route.path == "/v1/plugins/{name}";
    }
    routes
}

/// The routes of Dialogflow CX's API, in both versions. They have their own error format.
pub fn cx_routes() -> Vec<Route> {
    routes! {
        GET "/v3/projects/{project}/locations/{location}/agents/{agent}/webhooks" READ => cx::list;
        POST "/v3/projects/{project}/locations/{location}/agents/{agent}/webhooks" ADMIN => cx::create;
        GET "/v3/projects/{project}/locations/{location}/agents/{agent}/webhooks/{webhook}" READ => cx::get;
        PATCH "/v3/projects/{project}/locations/{location}/agents/{agent}/webhooks/{webhook}" ADMIN => cx::patch;
        DELETE "/v3/projects/{project}/locations/{location}/agents/{agent}/webhooks/{webhook}" ADMIN => cx::delete;
        GET "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/webhooks" READ => cx::list;
        POST "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/webhooks" ADMIN => cx::create;
        GET "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/webhooks/{webhook}" READ => cx::get;
        PATCH "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/webhooks/{webhook}" ADMIN => cx::patch;
        DELETE "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/webhooks/{webhook}" ADMIN => cx::delete;
        GET "/v3/projects/{project}/locations/{location}/agents/{agent}/environments" READ => cx::environments::list;
        POST "/v3/projects/{project}/locations/{location}/agents/{agent}/environments" ADMIN => cx::environments::create;
        GET "/v3/projects/{project}/locations/{location}/agents/{agent}/environments/{environment}" READ => cx::environments::get;
        PATCH "/v3/projects/{project}/locations/{location}/agents/{agent}/environments/{environment}" ADMIN => cx::environments::patch;
        DELETE "/v3/projects/{project}/locations/{location}/agents/{agent}/environments/{environment}" ADMIN => cx::environments::delete;
        GET "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/environments" READ => cx::environments::list;
        POST "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/environments" ADMIN => cx::environments::create_beta;
        GET "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/environments/{environment}" READ => cx::environments::get;
        PATCH "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/environments/{environment}" ADMIN => cx::environments::patch_beta;
        DELETE "/v3beta1/projects/{project}/locations/{location}/agents/{agent}/environments/{environment}" ADMIN => cx::environments::delete;
    }
}

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| openapi::describe(&routes(), Described::openapi()));
static CX_DESCRIPTION: LazyLock<Value> = LazyLock::new(|| cx::description::describe(&cx_routes()));

/// The description of [`routes`] as JSON.
pub fn description() -> &'static Value {
    &DESCRIPTION
}

/// The description of [`cx_routes`] as JSON.
pub fn cx_description() -> &'static Value {
    &CX_DESCRIPTION
}

/// Get this description.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn document(_services: Services, _asked: Asked) -> Answer {
    ok(description())
}

/// Get the description of Dialogflow CX's API.
#[utoipa::path(get, path = "/openapi-v3.json", tag = "health", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn cx_document(_services: Services, _asked: Asked) -> Answer {
    ok(cx_description())
}

/// The routes, in a form that can be searched by path.
pub struct Router {
    paths: matchit::Router<BTreeMap<String, Route>>,
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl Router {
    /// All routes of the API.
    pub fn new() -> Self {
        let mut by_path: BTreeMap<&str, BTreeMap<String, Route>> = BTreeMap::new();
        for route in routes().into_iter().chain(cx_routes()) {
            by_path.entry(route.path).or_default().insert(route.method.to_string(), route);
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            if let Err(error) = paths.insert(path, methods) {
                tracing::error!(%error, path, "a route cannot be added");
            }
        }
        Self { paths }
    }

    /// Answers one request.
    pub async fn answer(
        &self,
        services: Services,
        code: Option<CodePath>,
        parts: Parts,
        body: &mut RequestBody,
        sent: Sent,
    ) -> Response<Body> {
        if !may_ask(sent.face, code.is_some(), parts.uri.path()) {
            return ApiError::NotFound(format!("address `{}` here", parts.uri.path())).into_response();
        }
        if let Some(path) = code {
            return inbound::answer(services, path, parts, body, sent).await;
        }
        if let Some(place) = arcgis::Place::find(parts.uri.path()) {
            return arcgis::answer(&services, place, &parts, body).await;
        }
        let is_google = parts.uri.path().starts_with("/v3");
        match self.route(services, parts, body).await {
            Ok(response) => response,
            Err(error) if is_google => error.into_google(),
            Err(error) => error.into_response(),
        }
    }

    async fn route(&self, services: Services, parts: Parts, body: &mut RequestBody) -> Answer {
        let found = self.paths.at(parts.uri.path()).map_err(|_| ApiError::NotFound(format!("address `{}`", parts.uri.path())))?;
        let head_as_get = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
        let route = found
            .value
            .get(head_as_get.as_str())
            .ok_or_else(|| ApiError::MethodNotAllowed(found.value.keys().cloned().collect::<Vec<_>>().join(", ")))?;
        // Check the token first, so that a stranger does not even learn whether the body is valid.
        let token = match route.scope {
            None => None,
            Some(scope) => Some(authorize(&services, parts.headers.get(AUTHORIZATION), scope)?),
        };
        let services = match token.as_ref().filter(|_| route.scope.is_some_and(audit::concerns_admins)) {
            None => services,
            Some(token) => services.on_behalf(audit::origin(&parts, token)),
        };
        let mut path = Vec::new();
        for (_, value) in found.params.iter() {
            let decoded = percent_encoding::percent_decode_str(value).decode_utf8();
            path.push(decoded.map_err(|_| ApiError::NotFound("address of that spelling".to_owned()))?.into_owned());
        }
        let max = if route.upload { services.limits.plugin_bytes_max } else { services.limits.request_bytes_max };
        let query = fields(parts.uri.query().unwrap_or_default().as_bytes(), services.limits.http.fields_max)?;
        // Routes without a scope take no body, and a GET needs none.
        let body = match &token {
            Some(token) if route.method != Method::GET => body.read(max, Some(token)).await?,
            _ => Bytes::new(),
        };
        let deed = audit::changes_something(&route.method, route.path, route.scope).then(|| audit::plain(&route.method, route.path, &path));
        // The work on an upload stops when its client disconnects. The upload handler itself makes sure that changes are finished.
        let outlasts_client = deed.is_some() && !route.upload;
        let (store, tasks) = (services.store.clone(), services.tasks.clone());
        // Health checks and metrics are not traced.
        let mut span = match route.path.starts_with("/v1/") {
            true => services.traces.server(&parts.headers, &parts.method, route.path),
            false => Span::passing(None),
        };
        let trace = span.context().cloned();
        let asked = Asked { path, query, headers: parts.headers, body, token, trace };
        let answering = (route.handler)(services, asked);
        let working = async move {
            let answer = answering.await?;
            // A change of a document was recorded together with the change. Only other actions are recorded here.
            if let Some(deed) = deed.filter(|_| !store.has_noted()) {
                store.note(deed).await?;
            }
            Ok(answer)
        };
        let answer = if outlasts_client { to_the_end(&tasks, working).await } else { working.await };
        span.answered(status_of(&answer));
        answer
    }
}

/// Whether a listener with this face answers this path. `is_code`: the path names a code.
fn may_ask(face: Face, is_code: bool, path: &str) -> bool {
    match face {
        Face::Everything => true,
        Face::Public => is_code || ["/healthz", "/readyz"].contains(&path),
        Face::Admin => !is_code,
    }
}
