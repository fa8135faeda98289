//! Who makes a request: ArcGIS's tokens, roles and privileges, mapped to our tokens and scopes.
//!
//! A user name is the name of a token, and its password is the token itself. `generateToken` makes a token of both that expires no later
//! than the original. It is stored nowhere.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, Response,
    header::{AUTHORIZATION, COOKIE},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    asked::{Asked, Format, Place},
    page::{Field, Shown},
};
use crate::{
    model::{
        arcgis::{
            Form, epoch,
            rights::{self, Places, is_made_by, without_values},
        },
        problem::Problem,
        service::{ServiceKind, ServiceSpec},
        token::{self, Scope, TokenRecord},
        webhook::WebhookSpec,
    },
    server::{
        authorization,
        respond::{self, ApiError, Body},
    },
    services::Services,
};

/// The prefix of generated tokens.
const PREFIX: &str = "hwg_";
/// Lifetime of a generated token if `expiration` is not given, and the longest: 14 days.
const EXPIRATION_MINUTES_DEFAULT: u64 = 60;
const EXPIRATION_MINUTES_MAX: u64 = 14 * 24 * 60;
/// The header in which Esri's clients send a token if `Authorization` is used for something else.
const ESRI_AUTHORIZATION: &str = "x-esri-authorization";
/// The cookie of the HTML pages.
const COOKIE_NAME: &str = "agstoken";

/// The content of a generated token.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// The hash of the token it was generated from.
    of: String,
    /// When it expires, in milliseconds since 1970.
    until: i64,
}

/// A token, and how a request carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// In a parameter or a header, so the sender of the request knows it.
    Shown(String),
    /// In the cookie. A browser adds it to every request, whichever page caused the request.
    ByCookie(String),
}

impl Carried {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Shown(text) | Self::ByCookie(text) => text,
        }
    }
}

/// The token that a request carries: in a parameter, in a header, or in the cookie.
pub(super) fn token_in(headers: &HeaderMap, form: &Form) -> Option<Carried> {
    let header = [ESRI_AUTHORIZATION, AUTHORIZATION.as_str()].into_iter().find_map(|name| authorization::bearer(headers.get(name)));
    let cookie = || {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
        let mut ours = cookies.filter_map(|cookie| cookie.trim().split_once('=')).filter(|(name, _)| *name == COOKIE_NAME);
        let (_, value) = ours.next()?;
        // A page of a sibling host can add a second cookie, with which the user would act as somebody else.
        ours.all(|(_, other)| other == value).then_some(value)
    };
    let shown = form.text("token").or(header).map(|token| Carried::Shown(token.to_owned()));
    shown.or_else(|| cookie().map(|token| Carried::ByCookie(token.to_owned())))
}

/// The record of a token, generated or not.
pub(super) fn known(services: &Services, text: &str) -> Option<Arc<TokenRecord>> {
    let Some(generated) = text.strip_prefix(PREFIX) else { return authorization::known(services, &token::hash(text)) };
    let (claims, mac) = generated.split_once('.')?;
    let expected = mac_of(services, claims);
    if !bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_bytes(), mac.as_bytes())) {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    if claims.until <= epoch(services.clock.now()) {
        return None;
    }
    authorization::known(services, &claims.of)
}

fn mac_of(services: &Services, claims: &str) -> String {
    hex::encode(services.store.storage_key().keyed_hash("arcgis-token", claims.as_bytes()))
}

fn generated(services: &Services, record: &TokenRecord, until: Timestamp) -> String {
    let claims = Claims { of: record.hash.clone(), until: epoch(until) };
    let claims = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap_or_default());
    let mac = mac_of(services, &claims);
    format!("{PREFIX}{claims}.{mac}")
}

/// Checks a name and a token, and returns the token's record and the expiry for a generated token.
fn signed_in(asked: &Asked<'_>) -> Result<(Arc<TokenRecord>, Timestamp), ApiError> {
    let (name, password) = (asked.form.text("username"), asked.form.text("password"));
    let (Some(name), Some(password)) = (name, password) else {
        return Err(ApiError::invalid("/username", "`username`, a token's name, and `password`, the token itself"));
    };
    let minutes = asked.form.number("expiration", 1, u64::MAX).map_err(|problem: Problem| ApiError::problems(vec![problem]))?;
    let minutes = minutes.unwrap_or(EXPIRATION_MINUTES_DEFAULT).min(EXPIRATION_MINUTES_MAX);
    // A generated token cannot generate another one; otherwise access would never expire.
    let record = authorization::known(asked.services, &token::hash(password)).filter(|record| record.name.eq_ignore_ascii_case(name));
    let Some(record) = record else {
        let detail = "Invalid username or password: the user name is a token's name, its password the token itself";
        return Err(ApiError::Invalid { detail: "Unable to generate token.".to_owned(), problems: vec![Problem::new("", detail)] });
    };
    let lasting = SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(i64::MAX));
    let until = asked.services.clock.now().saturating_add(lasting).unwrap_or(Timestamp::MAX);
    Ok((Arc::clone(&record), record.expires_at.map_or(until, |end| end.min(until))))
}

/// `generateToken`: makes a token that expires, from a name and a token.
pub(super) fn generate_token(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    let page = || {
        let fields = vec![
            Field::text("username", "Username", ""),
            Field::secret("password", "Password (the token)"),
            Field::text("expiration", "Expiration (minutes)", "60"),
        ];
        Shown::new("Generate Token", json!({})).with_form("Generate Token", fields)
    };
    if !asked.does()? {
        return Ok(page());
    }
    let (record, until) = signed_in(asked)?;
    let is_encrypted = asked.base().starts_with("https:");
    let token = generated(asked.services, &record, until);
    Ok(Shown::new("Generate Token", json!({ "token": token, "expires": epoch(until), "ssl": is_encrypted })))
}

/// The page for signing in.
pub(super) fn login(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    let fields = vec![
        Field::text("username", "Username", ""),
        Field::secret("password", "Password (the token)"),
        Field::hidden("redirect", &target(asked)),
    ];
    if !asked.does()? {
        return Ok(Shown::new("Login", json!({})).with_form("Login", fields));
    }
    let (record, until) = signed_in(asked)?;
    let seconds = until.duration_since(asked.services.clock.now()).as_secs().max(0);
    let secure = if asked.base().starts_with("https:") { "; Secure" } else { "" };
    let token = generated(asked.services, &record, until);
    let cookie = format!("{COOKIE_NAME}={token}; Path=/{}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", asked.context);
    Ok(Shown { cookie: Some(cookie), to: Some(target(asked)), ..Shown::new("Login", json!({ "success": true })) })
}

/// Signs out: deletes the cookie.
pub(super) fn logout(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    let cookie = format!("{COOKIE_NAME}=; Path=/{}; Max-Age=0; HttpOnly; SameSite=Strict", asked.context);
    let to = Some(asked.link("sharing/rest/login"));
    Ok(Shown { cookie: Some(cookie), to, ..Shown::new("Logout", json!({ "success": true })) })
}

/// Where to go after signing in: always a path below the context, never another site.
fn target(asked: &Asked<'_>) -> String {
    let wanted = asked.form.text("redirect").unwrap_or_default();
    let path = wanted.split(['?', '#']).next().unwrap_or_default();
    let is_ours = wanted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && Place::find(path).is_some_and(|place| place.context == asked.context);
    if is_ours { wanted.to_owned() } else { asked.link("sharing/rest/portals/self") }
}

/// Redirects a page's request without a valid token to the page for signing in.
pub(super) fn to_login(asked: &Asked<'_>) -> Response<Body> {
    let path = asked.link(&asked.path.join("/"));
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("redirect", &path).finish();
    respond::see_other(&format!("{}?{query}", asked.link("sharing/rest/login")))
}

/// Requires a valid token.
pub(super) fn anybody<'a>(asked: &'a Asked<'_>) -> Result<&'a TokenRecord, ApiError> {
    asked.who.as_deref().ok_or(ApiError::Unauthorized)
}

/// Requires a token that may list the services: with the scope `read`, or with a privilege for the webhooks of services.
pub(super) fn directory<'a>(asked: &'a Asked<'_>) -> Result<&'a TokenRecord, ApiError> {
    let who = anybody(asked)?;
    let sees = [Scope::Read, Scope::WebhooksFeature, Scope::WebhooksGeoprocessing, Scope::PublishServer];
    if sees.iter().any(|scope| who.allows(*scope)) { Ok(who) } else { Err(ApiError::Forbidden("read".to_owned())) }
}

/// Requires a token that may manage organization webhooks: an admin's, or one with the privilege.
pub(super) fn organization<'a>(asked: &'a Asked<'_>) -> Result<&'a TokenRecord, ApiError> {
    having(anybody(asked)?, &[Scope::WebhooksOrganization])
}

/// Requires a token that may change the settings of all service webhooks.
pub(super) fn administrator<'a>(asked: &'a Asked<'_>) -> Result<&'a TokenRecord, ApiError> {
    having(anybody(asked)?, &[Scope::Admin])
}

/// Requires a token that may manage the webhooks of a service: an admin's, or one with the privilege for this kind of service. If the
/// service has owners, the token must be one of them. For geoprocessing, the privilege for publishing server-based layers is needed as
/// well.
pub(super) fn service<'a>(asked: &'a Asked<'_>, kind: ServiceKind, service: &ServiceSpec) -> Result<&'a TokenRecord, ApiError> {
    let who = having(anybody(asked)?, privileges(kind))?;
    if who.allows(Scope::Admin) || service.is_owned_by(&who.name) {
        Ok(who)
    } else {
        Err(ApiError::Forbidden(format!("admin, or being one of the owners of `{}`", service.name)))
    }
}

/// Whether the caller may change this webhook and read its log: an admin may, and its creator.
pub(super) fn may_change(asked: &Asked<'_>, spec: &WebhookSpec) -> bool {
    asked.who.as_ref().is_some_and(|who| who.allows(Scope::Admin) || is_made_by(spec, &who.name))
}

/// Requires that [`may_change`] is true.
pub(super) fn change(asked: &Asked<'_>, spec: &WebhookSpec) -> Result<(), ApiError> {
    if may_change(asked, spec) { Ok(()) } else { Err(ApiError::Forbidden("admin, or having made the webhook".to_owned())) }
}

/// A webhook's document as the caller may see it.
pub(super) fn visible<'s>(asked: &Asked<'_>, spec: &'s WebhookSpec) -> Cow<'s, WebhookSpec> {
    match asked.who.as_ref().is_some_and(|who| who.allows(Scope::Admin)) {
        true => Cow::Borrowed(spec),
        false => Cow::Owned(without_values(spec)),
    }
}

/// Refuses a document of somebody who is no admin, if it would send other people's credentials to another server.
pub(super) fn writable(asked: &Asked<'_>, existing: Option<&WebhookSpec>, document: &Value, places: Places) -> Result<(), ApiError> {
    if asked.who.as_ref().is_some_and(|who| who.allows(Scope::Admin)) {
        return Ok(());
    }
    let found = rights::problems(existing, document, places);
    if found.is_empty() { Ok(()) } else { Err(ApiError::problems(found)) }
}

/// The privileges that are needed to manage the webhooks of a kind of service.
fn privileges(kind: ServiceKind) -> &'static [Scope] {
    match kind {
        ServiceKind::FeatureServer => &[Scope::WebhooksFeature],
        ServiceKind::GpServer => &[Scope::WebhooksGeoprocessing, Scope::PublishServer],
    }
}

fn having<'a>(who: &'a TokenRecord, scopes: &[Scope]) -> Result<&'a TokenRecord, ApiError> {
    match scopes.iter().find(|scope| !who.allows(**scope)) {
        None => Ok(who),
        Some(missing) => Err(ApiError::Forbidden(json!(missing).as_str().unwrap_or_default().to_owned())),
    }
}

/// ArcGIS's names for a token's role and privileges.
pub(super) fn role(who: &TokenRecord) -> (&'static str, Vec<&'static str>) {
    let named = [
        (Scope::WebhooksOrganization, "portal:admin:manageWebhooks"),
        (Scope::WebhooksGeoprocessing, "portal:publisher:createGeoprocessingWebhook"),
        (Scope::WebhooksFeature, "portal:publisher:createFeatureLayerWebhook"),
        (Scope::PublishServer, "portal:publisher:publishServerServices"),
    ];
    let privileges: Vec<_> = named.into_iter().filter(|(scope, _)| who.allows(*scope)).map(|(_, name)| name).collect();
    let role = if who.allows(Scope::Admin) {
        "org_admin"
    } else if [Scope::WebhooksGeoprocessing, Scope::WebhooksFeature, Scope::PublishServer].iter().all(|scope| who.allows(*scope)) {
        "org_publisher"
    } else {
        "org_user"
    };
    (role, privileges)
}

impl Asked<'_> {
    /// The name of the user who signed in, for the HTML pages.
    pub(super) fn signed_in_as(&self) -> Option<&str> {
        self.who.as_deref().filter(|_| self.format == Format::Html).map(|who| who.name.as_str())
    }
}
