//! What must hold of `cors`.

use super::{ONE_DAY, Problems};
use crate::cors::Cors;
use crate::origin_pattern::OriginPattern;
use crate::timespan::Timespan;

/// The most origins of one relay: each is compared for each request of a page.
const MAX_ORIGINS: usize = 1_000;

pub(super) fn check(problems: &mut Problems, cors: &Cors) {
    problems.add_if(
        cors.origins.len() > MAX_ORIGINS,
        "cors.origins",
        "has more than 1000 entries; use subdomains, as in `https://*.example.com`",
    );
    for (index, text) in cors.origins.iter().enumerate() {
        let path = format!("cors.origins[{index}]");
        match OriginPattern::parse(text) {
            Err(error) => problems.add(path, error.to_string()),
            Ok(pattern) => problems.add_if(
                cors.credentials && !pattern.is_named(),
                &path,
                "means pages that nobody vouches for, and `credentials` would let them act as the \
                 user; name the origins, or turn `credentials` off",
            ),
        }
    }
    problems.add_if(
        cors.methods.is_empty(),
        "cors.methods",
        "names none; write those that pages may use, or remove the key",
    );
    check_names(problems, "cors.headers", &cors.headers, |name| {
        name.strip_suffix('*').unwrap_or(name)
    });
    check_names(
        problems,
        "cors.exposedHeaders",
        &cors.exposed_headers,
        |name| name,
    );
    problems.time("cors.maxAge", cors.max_age, Timespan::default()..=ONE_DAY);
}

/// `text` is the part of an entry that must be made of a header's characters (RFC 9110, 5.6.2).
fn check_names(problems: &mut Problems, path: &str, names: &[String], text: impl Fn(&str) -> &str) {
    for (index, name) in names.iter().enumerate() {
        let legal = !name.is_empty()
            && name.len() <= super::MAX_NAME_BYTES
            && text(name)
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b));
        problems.add_if(
            !legal,
            &format!("{path}[{index}]"),
            "is no name of a header; write one such as `Content-Type`",
        );
    }
}
