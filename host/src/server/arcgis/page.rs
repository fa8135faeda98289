//! The HTML pages of ArcGIS's APIs: JSON as a table, with links and forms. They contain no script and load nothing.

use std::fmt::Write;

use serde_json::Value;

use super::asked::Asked;

/// An answer, for JSON and for HTML.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) title: String,
    /// The JSON answer.
    pub(super) value: Value,
    /// Links of the page: label and address.
    pub(super) links: Vec<(String, String)>,
    /// The form of the page: its title and fields.
    pub(super) form: Option<(&'static str, Vec<Field>)>,
    /// Where a page redirects to instead.
    pub(super) to: Option<String>,
    /// A cookie to set.
    pub(super) cookie: Option<String>,
}

impl Shown {
    pub(super) fn new(title: impl Into<String>, value: Value) -> Self {
        Self { title: title.into(), value, links: Vec::new(), form: None, to: None, cookie: None }
    }

    pub(super) fn link(mut self, label: impl Into<String>, to: impl Into<String>) -> Self {
        self.links.push((label.into(), to.into()));
        self
    }

    pub(super) fn with_form(mut self, submit: &'static str, fields: Vec<Field>) -> Self {
        self.form = Some((submit, fields));
        self
    }
}

/// One field of a form.
#[derive(Clone, Debug)]
pub(super) struct Field {
    name: String,
    label: String,
    value: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Text,
    Secret,
    Hidden,
    Area,
    Choice(Vec<(&'static str, &'static str)>),
}

impl Field {
    fn new(name: &str, label: &str, value: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), label: label.to_owned(), value: value.to_owned(), kind }
    }

    pub(super) fn text(name: &str, label: &str, value: &str) -> Self {
        Self::new(name, label, value, Kind::Text)
    }

    pub(super) fn secret(name: &str, label: &str) -> Self {
        Self::new(name, label, "", Kind::Secret)
    }

    pub(super) fn hidden(name: &str, value: &str) -> Self {
        Self::new(name, "", value, Kind::Hidden)
    }

    pub(super) fn area(name: &str, label: &str, value: &str) -> Self {
        Self::new(name, label, value, Kind::Area)
    }

    pub(super) fn choice(name: &str, label: &str, of: &[(&'static str, &'static str)], value: &str) -> Self {
        Self::new(name, label, value, Kind::Choice(of.to_vec()))
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1b1b1b;background:#fff}\
header,main{max-width:60rem;margin:0 auto;padding:0.8rem 1.2rem}header{border-bottom:1px solid #c8c8c8;display:flex;gap:1rem;flex-wrap:wrap}\
header nav{flex:1}h1{font-size:1.4rem;margin:0.4rem 0 1rem}h2{font-size:1rem;margin:1.6rem 0 0.4rem}a{color:#00619b}\
table{border-collapse:collapse;width:100%}th,td{border:1px solid #d5d5d5;padding:0.3rem 0.6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
th{font-weight:600;background:#f4f4f4;width:14rem}td table th{width:12rem}label{display:block;font-weight:600;margin:0.8rem 0 0.2rem}\
input,select,textarea{font:inherit;width:100%;max-width:44rem;padding:0.35rem;border:1px solid #767676;box-sizing:border-box}textarea{min-height:4rem}\
button{display:block;font:inherit;margin-top:1.2rem;padding:0.4rem 1.2rem;border:0;background:#00619b;color:#fff;cursor:pointer}ul{padding-left:1.2rem}td ul{margin:0}";

pub(super) fn write(asked: &Asked<'_>, shown: &Shown) -> String {
    let mut html = String::new();
    let title = escaped(&shown.title);
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>{}</header>\n<main>\n<h1>{title}</h1>\n",
        header(asked)
    );
    if !is_empty(&shown.value) {
        html.push_str(&table(&shown.value));
    }
    if let Some((submit, fields)) = &shown.form {
        html.push_str(&form(submit, fields));
    }
    if !shown.links.is_empty() {
        html.push_str("<h2>Child resources and operations</h2>\n<ul>\n");
        for (label, to) in &shown.links {
            let _ = writeln!(html, "<li><a href=\"{}\">{}</a></li>", escaped(to), escaped(label));
        }
        html.push_str("</ul>\n");
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// The links to the pages above this one, and the name of the user.
fn header(asked: &Asked<'_>) -> String {
    let mut html = String::from("<nav>");
    let mut path = String::new();
    for (index, segment) in asked.path.iter().enumerate() {
        path = if path.is_empty() { segment.clone() } else { format!("{path}/{segment}") };
        // Some path prefixes, such as `sharing` and `portals`, have no page.
        let is_page = !matches!(path.as_str(), "sharing" | "sharing/rest/portals" | "sharing/rest/community" | "admin/services/webhooks");
        let divider = if index > 0 { " &gt; " } else { "" };
        let _ = match is_page {
            true => write!(html, "{divider}<a href=\"{}\">{}</a>", escaped(&asked.link(&path)), escaped(segment)),
            false => write!(html, "{divider}{}", escaped(segment)),
        };
    }
    html.push_str("</nav>");
    match asked.signed_in_as() {
        Some(name) => {
            let _ = write!(html, "<span>{} | <a href=\"{}\">Logout</a></span>", escaped(name), escaped(&asked.link("sharing/rest/logout")));
        }
        None => {
            let _ = write!(html, "<span><a href=\"{}\">Login</a></span>", escaped(&asked.link("sharing/rest/login")));
        }
    }
    html
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A value as HTML: objects as tables, lists as lists, the rest as text.
fn table(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut html = String::from("<table>\n");
            for (name, value) in fields {
                let _ = writeln!(html, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(name), table(value));
            }
            html.push_str("</table>\n");
            html
        }
        Value::Array(items) => {
            let items: String = items.iter().map(|item| format!("<li>{}</li>", table(item))).collect();
            format!("<ul>{items}</ul>")
        }
        Value::String(text) => escaped(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn form(submit: &str, fields: &[Field]) -> String {
    let mut html = String::from("<form method=\"post\">\n");
    for Field { name, label, value, kind } in fields {
        let (name, label, value) = (escaped(name), escaped(label), escaped(value));
        if !matches!(kind, Kind::Hidden) {
            let _ = write!(html, "<label for=\"{name}\">{label}</label>");
        }
        let _ = match kind {
            Kind::Text => writeln!(html, "<input id=\"{name}\" name=\"{name}\" value=\"{value}\">"),
            Kind::Secret => writeln!(html, "<input id=\"{name}\" name=\"{name}\" type=\"password\" autocomplete=\"off\">"),
            Kind::Hidden => writeln!(html, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"),
            Kind::Area => writeln!(html, "<textarea id=\"{name}\" name=\"{name}\">{value}</textarea>"),
            Kind::Choice(options) => {
                let option = |(word, text): &(&str, &str)| {
                    let selected = if escaped(word) == value { " selected" } else { "" };
                    format!("<option value=\"{}\"{selected}>{}</option>", escaped(word), escaped(text))
                };
                writeln!(html, "<select id=\"{name}\" name=\"{name}\">{}</select>", options.iter().map(option).collect::<String>())
            }
        };
    }
    html.push_str(
        "<label for=\"f\">Format</label><select id=\"f\" name=\"f\"><option value=\"html\">HTML</option><option value=\"json\">JSON</option><option value=\"pjson\">PJSON</option></select>\n",
    );
    let _ = writeln!(html, "<button type=\"submit\">{}</button>\n</form>", escaped(submit));
    html
}

/// Escapes text for HTML, also for attributes in quotes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
