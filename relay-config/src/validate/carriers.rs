//! What must hold of where a request may carry a token.

use super::Problems;
use crate::auth::Auth;

/// Parameters that `GET /v1/events` has already.
const PARAMETERS: [&str; 6] = [
    "channel",
    "lastEventId",
    "from",
    "heartbeat",
    "connected",
    "client",
];

pub(super) fn check(problems: &mut Problems, auth: &Auth) {
    if let Some(cookie) = &auth.cookie {
        problems.add_if(
            !is_name(&cookie.name),
            "auth.cookie.name",
            "is no name of a cookie; write 1 to 100 letters, digits, `-` and `_`",
        );
    }
    if let Some(parameter) = &auth.query_parameter {
        problems.add_if(
            !is_name(parameter)
                || parameter.starts_with('_')
                || PARAMETERS.contains(&parameter.as_str()),
            "auth.queryParameter",
            "is no free name of a parameter; write letters, digits, `-` and `_`, such as `token`",
        );
    }
}

fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use crate::{Auth, Config, Cookie};

    #[test]
    fn carriers_have_names_that_nothing_else_has() {
        let legal = |cookie: &str, parameter: &str| {
            let auth = Auth {
                cookie: Some(Cookie {
                    name: cookie.to_owned(),
                }),
                query_parameter: Some(parameter.to_owned()),
                ..Auth::default()
            };
            let config = Config {
                auth: Some(auth),
                ..Config::default()
            };
            config.validate().is_ok()
        };
        assert!(legal("__Host-sse", "token"));
        for (cookie, parameter) in [
            ("", "token"),
            ("a b", "token"),
            ("a=b", "token"),
            ("a", "channel"),
            ("a", "_token"),
            ("a", "filter.x"),
            ("a", ""),
        ] {
            assert!(!legal(cookie, parameter), "{cookie} {parameter}");
        }
    }
}
