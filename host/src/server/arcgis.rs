//! `/{context}/sharing/rest/...` and `/{context}/admin/...`: ArcGIS's REST APIs for organization and service webhooks. They show and
//! change the same webhooks as `/v1`.
//!
//! `Place` finds the address, `route` chooses what answers it, `page` writes an answer as HTML.

use http::{Method, Response, header::CONTENT_TYPE, request::Parts};

use super::{
    audit,
    body::RequestBody,
    origin::{self, Page},
    request::fields,
    respond::{self, ApiError, Body},
};
use crate::{finishing::to_the_end, model::arcgis::Form, services::Services};

mod access;
mod asked;
pub mod description;
mod log;
mod organization;
mod outcome;
mod page;
mod portal;
mod service;

use access::Carried;
pub use asked::Place;
use asked::{Asked, Format};
use page::Shown;

/// Answers one request. We look for a token in the head first and only then in the form, because an unauthenticated form is read only in
/// part.
pub async fn answer(services: &Services, place: Place, parts: &Parts, body: &mut RequestBody) -> Response<Body> {
    // Other methods have no meaning in these APIs.
    if ![Method::GET, Method::HEAD, Method::POST].contains(&parts.method) {
        return ApiError::MethodNotAllowed("GET, HEAD, POST".to_owned()).into_response();
    }
    let (query, mut wrong) = match fields(parts.uri.query().unwrap_or_default().as_bytes(), services.limits.http.fields_max) {
        Ok(query) => (query, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut form = Form(query);
    let page = origin::of(&parts.headers, services);
    if parts.method == Method::POST
        && wrong.is_none()
        && let Err(error) = take_form(services, &place, parts, body, &mut form).await
    {
        wrong = Some(error);
    }
    let format = match form.text("f").map(str::to_ascii_lowercase).as_deref() {
        None | Some("html") => Ok(Format::Html),
        Some("json") => Ok(Format::Json),
        Some("pjson") => Ok(Format::Pjson),
        Some(other) => Err(ApiError::invalid("/f", format!("`html`, `json` or `pjson`, not `{other}`"))),
    };
    let shown_format = *format.as_ref().unwrap_or(&Format::Json);
    let token = access::token_in(&parts.headers, &form);
    let who = token.as_ref().and_then(|token| access::known(services, token.text()));
    let acting = who.as_ref().map_or_else(|| services.clone(), |who| services.on_behalf(audit::origin(parts, who)));
    let allowed = wrong.map_or(Ok(()), Err).and(is_own(&place, &parts.method, token.as_ref(), &page));
    let paced = who.as_ref().map_or(Ok(()), |who| {
        services.pace.take(who, services.limits.token_requests_per_minute_max, services.clock.now()).map_err(ApiError::from)
    });
    let (method, headers, has_token) = (parts.method.clone(), parts.headers.clone(), token.is_some());
    let working = async move {
        let method = if method == Method::HEAD { Method::GET } else { method };
        let Place { context, path } = place;
        let asked = Asked { services: &acting, method, headers, context, path, form, format: shown_format, who, has_token };
        let shown = match paced.and(allowed).and(format.map(drop)) {
            Ok(()) => route(&asked).await,
            Err(error) => Err(error),
        };
        match shown {
            Ok(shown) => written(&asked, shown),
            Err(ApiError::Unauthorized) if asked.format == Format::Html => access::to_login(&asked),
            Err(error) => refused(&asked, error),
        }
    };
    // Every change is a POST. It is finished even if the client disconnects.
    if parts.method == Method::POST { to_the_end(&services.tasks, working).await } else { working.await }
}

/// Refuses a request that a page of another site could make a browser send with the user's cookie. That concerns every request that only
/// the cookie allows, and signing in or out. Current browsers say where a request comes from. A client that does not say it may sign in;
/// for everything else it must send its token itself.
fn is_own(place: &Place, method: &Method, token: Option<&Carried>, page: &Page) -> Result<(), ApiError> {
    let by_cookie = matches!(token, Some(Carried::ByCookie(_)));
    let acts = method == Method::POST && (by_cookie || place.changes_the_cookie());
    let signs_out = by_cookie && place.changes_the_cookie();
    match page {
        Page::Elsewhere(what) if acts || signs_out => Err(ApiError::Foreign(format!(
            "{what}, and what a cookie allows is done for pages of this site alone; a program sends its token in a header or as `token`"
        ))),
        Page::Unsaid if method == Method::POST && by_cookie && !place.changes_the_cookie() => Err(ApiError::Foreign(
            "there is neither `Origin` nor `Sec-Fetch-Site` to say which page sent it, and what a cookie allows is done for pages of this \
             site alone; a program sends its token in a header or as `token`"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Adds the parameters in the body to `form`. Pages, clients and `curl -d` send forms. If the head carries no valid token, we read only
/// the first bytes of the form to find a token there. If they hold none, they still say in which format to answer.
async fn take_form(services: &Services, place: &Place, parts: &Parts, body: &mut RequestBody, form: &mut Form) -> Result<(), ApiError> {
    let media = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !["", "application/x-www-form-urlencoded"].contains(&media.as_str()) && !body.is_empty() {
        return Err(ApiError::UnsupportedMedia(format!("parameters are `application/x-www-form-urlencoded`, not `{media}`")));
    }
    let (fields_max, bytes_max) = (services.limits.http.fields_max, services.limits.request_bytes_max);
    let strangers_max = services.limits.http.stranger_form_bytes_max.min(bytes_max);
    // The cookie does not count in a request that a page of another site sent.
    let token = access::token_in(&parts.headers, form)
        .filter(|token| matches!(token, Carried::Shown(_)) || origin::of(&parts.headers, services) == Page::Ours);
    let mut who = token.and_then(|token| access::known(services, token.text()));
    if who.is_none() && !place.asks_who() && !body.begin(strangers_max, None).await? {
        // The field after the last `&` may be incomplete.
        let read = body.so_far();
        let whole = read.iter().rposition(|byte| *byte == b'&').unwrap_or_default();
        let begun = Form(fields(&read[..whole], fields_max)?);
        who = begun.text("token").and_then(|token| access::known(services, token));
        if who.is_none() {
            form.0.extend(begun.0);
            return Err(ApiError::WhoseForm(strangers_max));
        }
    }
    let max = if who.is_some() { bytes_max } else { strangers_max };
    form.0.extend(fields(&body.read(max, who.as_deref()).await?, fields_max)?);
    Ok(())
}

/// Chooses the handler for a path. The paths are those of the tables in "Webhooks" of both APIs' documentation.
async fn route(asked: &Asked<'_>) -> Result<Shown, ApiError> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["sharing", "rest"] => portal::root(asked),
        ["sharing", "rest", "info"] => portal::info(asked),
        ["sharing", "rest", "generateToken"] | ["admin", "generateToken"] => access::generate_token(asked),
        ["sharing", "rest", "login"] => access::login(asked),
        ["sharing", "rest", "logout"] => access::logout(asked),
        ["sharing", "rest", "community", "self"] => portal::user(asked, None),
        ["sharing", "rest", "community", "users", name] => portal::user(asked, Some(name)),
        ["sharing", "rest", "portals", id] => portal::portal(asked, id),
        ["sharing", "rest", "portals", id, "webhooks", rest @ ..] => organization::answer(asked, id, rest).await,
        ["admin"] => service::root(asked),
        ["admin", "services"] => service::services(asked, None),
        ["admin", "services", "webhooks", "settings"] => service::settings(asked).await,
        ["admin", "services", folder] if !folder.contains('.') => service::services(asked, Some(folder)),
        ["admin", "services", service] => service::service(asked, service),
        ["admin", "services", service, "webhooks", rest @ ..] => service::answer(asked, service, rest).await,
        ["admin", "services", folder, service] => service::service(asked, &format!("{folder}/{service}")),
        ["admin", "services", folder, service, "webhooks", rest @ ..] => service::answer(asked, &format!("{folder}/{service}"), rest).await,
        _ => Err(ApiError::NotFound(format!("resource `/{}/{}`", asked.context, asked.path.join("/")))),
    }
}

fn written(asked: &Asked<'_>, shown: Shown) -> Response<Body> {
    let cookie = shown.cookie.clone();
    let mut response = match (asked.format, &shown.to) {
        (Format::Html, Some(to)) => respond::see_other(to),
        (Format::Html, None) => respond::page(page::write(asked, &shown)),
        (Format::Json, _) => respond::json(&shown.value),
        (Format::Pjson, _) => respond::pretty(&shown.value),
    };
    if let Some(cookie) = cookie {
        respond::set_cookie(&mut response, &cookie);
    }
    response
}

/// Writes an error in the format the caller asked for. In JSON, ArcGIS always answers 200 and puts the error's code into the body.
fn refused(asked: &Asked<'_>, error: ApiError) -> Response<Body> {
    let (status, error) = error.into_arcgis(asked.has_token);
    match asked.format {
        Format::Html => respond::page_with(status, page::write(asked, &Shown::new("Error", error))),
        Format::Json => respond::json(&error),
        Format::Pjson => respond::pretty(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::{outcome::Slice, *};

    #[test]
    fn addresses_of_both_apis_are_found_below_any_context() {
        let place = Place::find("/portal/sharing/rest/portals/self/webhooks/").expect("a place");
        assert_eq!((place.context.as_str(), place.path.join("/").as_str()), ("portal", "sharing/rest/portals/self/webhooks"));
        let place = Place::find("/server/admin/services/My%20Folder/Water.FeatureServer").expect("a place");
        assert_eq!(place.path, ["admin", "services", "My Folder", "Water.FeatureServer"]);
        for other in ["/v1/admin", "/v1/sharing/rest", "/portal/sharing", "/portal", "/", "/portal//admin", "/console/admin"] {
            assert_eq!(Place::find(other), None, "{other}");
        }
    }

    #[test]
    fn a_context_is_written_as_it_is_and_leads_nowhere_else() {
        let longest = "x".repeat(asked::CONTEXT_CHARS_MAX);
        for context in ["portal", "arcgis-11.3", "~me", "a_b", longest.as_str()] {
            assert_eq!(Place::find(&format!("/{context}/admin")).map(|place| place.context).as_deref(), Some(context));
        }
        let longer = format!("{longest}x");
        let others = [
            "%2Fevil.example",
            "%5Cevil.example",
            "%2F%2Fevil.example",
            "portal%3B%20Domain=example.com",
            "portal;x",
            "a%20b",
            "%70ortal",
            "..",
            ".",
            "%2e%2e",
            "caf\u{e9}",
            "a:b",
            "a@b",
            "a\\b",
            "a=b",
            "a,b",
            longer.as_str(),
        ];
        for context in others {
            for path in ["admin", "sharing/rest/login", "sharing/rest/portals/self"] {
                assert_eq!(Place::find(&format!("/{context}/{path}")), None, "{context}");
            }
        }
        for up in ["..", "%2e%2E", "."] {
            assert_eq!(Place::find(&format!("/portal/admin/{up}/x")), None, "{up}");
        }
    }

    #[test]
    fn pages_of_a_list_are_counted_from_one() {
        let form = |start: &str, num: &str| Form(vec![("start".into(), start.into()), ("num".into(), num.into())]);
        let slice =
            |start, num, total| Slice::of(&form(start, num), total).map(|slice| (slice.take(1..=total), slice.next)).expect("a slice");
        assert_eq!(slice("1", "2", 5), (vec![1, 2], 3));
        assert_eq!(slice("3", "2", 5), (vec![3, 4], 5));
        assert_eq!(slice("5", "2", 5), (vec![5], -1));
        assert_eq!(slice("4", "2", 5), (vec![4, 5], -1));
        assert_eq!(slice("", "", 0), (vec![], -1));
        assert!(Slice::of(&form("0", "2"), 5).is_err());
    }
}
