//! What may be wrong with `verify` of a receiver, by field.

use http::HeaderName;

use super::spec::{TOLERANCE_S_MAX, VERIFY_SECRETS_MAX, VerifySpec};
use crate::model::{
    problem::Problem,
    signature::{Challenge, VerifyScheme},
};

/// All that is wrong, asked when a receiver is written.
pub(super) fn problems(spec: &VerifySpec) -> Vec<Problem> {
    let mut problems = of_keys(spec);
    problems.extend(of_rules(spec));
    problems.extend(of_handshake(spec));
    if spec.tolerance_s.is_some_and(|seconds| !(1..=TOLERANCE_S_MAX).contains(&seconds)) {
        problems.push(Problem::new("/verify/tolerance_s", format!("out of range: 1 to {TOLERANCE_S_MAX} seconds")));
    }
    problems
}

fn of_keys(spec: &VerifySpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let has_keys = spec.keys().next().is_some();
    if (spec.scheme == VerifyScheme::None) == has_keys {
        let field = if spec.secrets.is_empty() { "/verify/secret" } else { "/verify/secrets" };
        problems.push(Problem::new(field, "name the key as `$secret:name`, and only where a scheme asks for one"));
    }
    if spec.secret.is_some() && !spec.secrets.is_empty() {
        problems.push(Problem::new("/verify/secrets", "name the keys in `secret` or in `secrets`, not in both"));
    }
    if spec.secrets.len() > VERIFY_SECRETS_MAX {
        problems.push(Problem::new("/verify/secrets", format!("at most {VERIFY_SECRETS_MAX} keys, not {}", spec.secrets.len())));
    }
    problems
}

fn of_rules(spec: &VerifySpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if (spec.scheme == VerifyScheme::Hmac) != spec.hmac.is_some() {
        problems.push(Problem::new("/verify/hmac", "header, encoding and prefix belong to the scheme `hmac`, which needs them"));
    }
    if (spec.scheme == VerifyScheme::PublicKey) != spec.public_key.is_some() {
        problems.push(Problem::new("/verify/public_key", "header and algorithm belong to the scheme `public-key`, which needs them"));
    }
    for (name, rule, is_public) in [("hmac", &spec.hmac, false), ("public_key", &spec.public_key, true)] {
        for (field, detail) in rule.iter().flat_map(|rule| rule.problems(is_public)) {
            problems.push(Problem::new(format!("/verify/{name}/{field}"), detail));
        }
    }
    match &spec.token_header {
        Some(name) if spec.scheme == VerifyScheme::Token && name.parse::<HeaderName>().is_ok() => {}
        Some(_) if spec.scheme == VerifyScheme::Token => problems.push(Problem::new("/verify/token_header", "this is not a header name")),
        None if spec.scheme != VerifyScheme::Token => {}
        _ => problems.push(Problem::new("/verify/token_header", "name the header for the scheme `token`, and only for it")),
    }
    problems
}

fn of_handshake(spec: &VerifySpec) -> Vec<Problem> {
    let (mut problems, handshake) = (Vec::new(), spec.handshake());
    if (handshake == Challenge::Hub) != spec.challenge_token.is_some() {
        problems.push(Problem::new("/verify/challenge_token", "name the token as `$secret:name`, and only for the handshake `hub`"));
    }
    if handshake.needs_key() && (spec.keys().next().is_none() || spec.scheme == VerifyScheme::PublicKey) {
        problems.push(Problem::new("/verify/challenge", "this handshake is answered with a key; choose a scheme that has a secret one"));
    }
    if let Some(rule) = &spec.echo {
        if handshake != Challenge::Echo {
            problems.push(Problem::new("/verify/echo", "this belongs to the handshake `echo`"));
        }
        problems.extend(rule.problems().into_iter().map(|(field, detail)| Problem::new(format!("/verify/echo{field}"), detail)));
    }
    problems
}
