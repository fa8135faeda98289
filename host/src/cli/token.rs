//! `hookwright token`: the tokens of the API and their scopes.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::{
    at::{At, segment},
    output::{cell, facts, time},
    runtime::block_on,
};

/// Tokens for the API. A token allows what its scopes say, until it expires or is revoked.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Create a token. Its text is shown only once, because the host keeps only its hash.
    #[command(after_help = "Examples:\n  hookwright token create crm --scope events:write\n  \
        hookwright token create dashboards --scope read --expires 90d\n\n\
        Scopes: admin, read, events:write, invoke, plugins:write; of ArcGIS: webhooks:organization, webhooks:geoprocessing,\n\
        webhooks:feature, publish:server.")]
    Create {
        /// The token's name; it must be unique.
        name: String,
        /// A scope of the token; repeat for more.
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Requests the token may make in a minute [default: the host's default].
        #[arg(long, value_name = "REQUESTS")]
        per_minute: Option<u32>,
        /// When the token expires: a time (RFC 3339), or its lifetime, such as `12h` or `90d` [default: when it is revoked].
        #[arg(long, value_parser = end)]
        expires: Option<End>,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// List tokens, without their text.
    #[command(after_help = "Example:\n  hookwright token list")]
    List(At),
    /// Rotate a token: create a new one with the same name, scopes and rate limit. Its text is shown only once.
    #[command(after_help = "Example:\n  hookwright token rotate tok_3f2a9c01d5e6b7a8c9d0 --overlap-seconds 3600")]
    Rotate {
        /// The identifier of the old token, `tok_...`.
        id: String,
        /// How long the old token stays valid, in seconds [default: it ends at once].
        #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
        overlap_seconds: u32,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
    /// Revoke a token. From now on it allows nothing.
    #[command(after_help = "Example:\n  hookwright token revoke tok_06h1h7gqv0zef9www3vn67kb84")]
    Revoke {
        /// The token's identifier, `tok_...`.
        id: String,
        /// The host to use.
        #[command(flatten)]
        at: At,
    },
}

/// When a token expires.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// At this time.
    At(Timestamp),
    /// After this number of hours.
    Hours(i64),
}

fn end(text: &str) -> Result<End, String> {
    if let Ok(time) = text.parse() {
        return Ok(End::At(time));
    }
    let lives = [("h", 1), ("d", 24)].iter().find_map(|(unit, hours)| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*hours)
    });
    match lives {
        Some(hours) if hours > 0 => Ok(End::Hours(hours)),
        _ => Err("a time such as 2030-01-01T00:00:00Z, or how long it lives, such as `12h` or `90d`".to_owned()),
    }
}

impl End {
    fn time(self) -> anyhow::Result<Timestamp> {
        match self {
            Self::At(time) => Ok(time),
            Self::Hours(hours) => Ok(Timestamp::now().checked_add(Span::new().try_hours(hours)?)?),
        }
    }
}

impl Token {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            match self {
                Self::Create { name, scopes, per_minute, expires, at } => {
                    let expires = expires.map(End::time).transpose()?;
                    let body = json!({ "name": name, "scopes": scopes, "requests_per_minute": per_minute, "expires": expires });
                    let made = at.open()?.call(Method::POST, "/v1/tokens", Some(&body)).await?;
                    at.show(&made, told)
                }
                Self::List(at) => {
                    let list = at.open()?.call(Method::GET, "/v1/tokens", None).await?;
                    at.show_list(&list, &["ID", "NAME", "SCOPES", "MADE", "ENDS"], |token| {
                        let texts = ["/id", "/name", "/scopes"].map(|part| cell(token, part));
                        [texts.to_vec(), vec![time(token, "/created_at"), time(token, "/expires_at")]].concat()
                    })
                }
                Self::Rotate { id, overlap_seconds, at } => {
                    let body = json!({ "overlap_seconds": overlap_seconds });
                    let made = at.open()?.call(Method::POST, &format!("/v1/tokens/{}/rotate", segment(&id)), Some(&body)).await?;
                    at.show(&made, told)
                }
                Self::Revoke { id, at } => at.delete(&format!("/v1/tokens/{}", segment(&id)), &format!("token {id}")).await,
            }
        })
    }
}

fn told(made: &Value) -> String {
    let shown = facts(&[
        ("id", cell(made, "/id")),
        ("name", cell(made, "/name")),
        ("scopes", cell(made, "/scopes")),
        ("ends", time(made, "/expires_at")),
    ]);
    format!("{shown}\n\n{}\n\nThis is shown once: the host keeps only its hash.", cell(made, "/token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_length_of_life() {
        assert!(matches!(end("2030-01-01T00:00:00Z"), Ok(End::At(_))));
        assert!(matches!(end("90d"), Ok(End::Hours(2160))));
        for wrong in ["", "d", "-1h", "0h", "90", "99999999999999999999d", "9223372036854775807d"] {
            assert!(end(wrong).is_err(), "{wrong}");
        }
    }
}
