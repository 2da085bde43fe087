//! What must hold of an application that is asked who sends a request.

use super::{MAX_INTERVAL, ONE_DAY, ONE_HOUR, ONE_MILLI, ONE_SECOND, Problems, jwt};
use crate::forward::Forward;
use crate::timespan::Timespan;
use crate::web_address::{self, Way};

/// The most headers that are passed on.
const MAX_HEADERS: usize = 16;
/// Headers of one connection or one message, which say nothing about who sends it.
const OF_A_MESSAGE: [&str; 9] = [
    "accept",
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn check(problems: &mut Problems, forward: &Forward) {
    if let Err(error) = web_address::check(&forward.url, Way::Any) {
        problems.add("auth.forward.url", error.to_string());
    }
    problems.add_if(
        forward.headers.is_empty() || forward.headers.len() > MAX_HEADERS,
        "auth.forward.headers",
        "name 1 to 16 headers that say who sends a request",
    );
    for (index, name) in forward.headers.iter().enumerate() {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let lower = name.to_ascii_lowercase();
        problems.add_if(
            name.is_empty() || !name.bytes().all(legal) || OF_A_MESSAGE.contains(&lower.as_str()),
            &format!("auth.forward.headers[{index}]"),
            "is no header that says who sends a request; write one such as `cookie`",
        );
    }
    jwt::check_claims(problems, "auth.forward.claims", &forward.claims);
    jwt::check_grant(problems, "auth.forward.grant", &forward.grant);
    jwt::check_file(problems, "auth.forward.caFile", forward.ca_file.as_deref());
    let zero = Timespan::default();
    problems.time(
        "auth.forward.lifetime",
        forward.lifetime,
        ONE_SECOND..=ONE_DAY,
    );
    problems.time(
        "auth.forward.timeout",
        forward.timeout,
        ONE_MILLI..=MAX_INTERVAL,
    );
    problems.time("auth.forward.cache", forward.cache, zero..=ONE_HOUR);
    problems.size("auth.forward.cacheEntries", forward.cache_entries);
    problems.size("auth.forward.concurrency", forward.concurrency);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Config;

    fn problems(forward: &str) -> String {
        let yaml = format!("auth: {{forward: {forward}}}");
        match Config::from_sources(Some(("relay.yaml", &yaml)), &BTreeMap::new()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_application_needs_an_address_and_what_to_be_asked_with() {
        assert_eq!(problems("{url: 'http://app.shop.svc/session'}"), "");
        for (forward, says) in [
            ("{}", "url"),
            ("{url: 'app'}", "https://HOST"),
            ("{url: 'http://a:b@app'}", "password"),
            ("{url: 'http://app', headers: []}", "1 to 16"),
            (
                "{url: 'http://app', headers: [host]}",
                "no header that says",
            ),
            (
                "{url: 'http://app', headers: ['a b']}",
                "no header that says",
            ),
            (
                "{url: 'http://app', claims: {subject: ''}}",
                "names no claim",
            ),
            ("{url: 'http://app', grant: {publish: ['{a']}}", "brace"),
            ("{url: 'http://app', cacheEntries: 0}", "at least 1"),
            ("{url: 'http://app', concurrency: 0}", "at least 1"),
            ("{url: 'http://app', lifetime: 0s}", "lifetime"),
        ] {
            let found = problems(forward);
            assert!(found.contains(says), "{forward}: {found}");
        }
    }
}
