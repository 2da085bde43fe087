//! What must hold of certificates that are credentials.

use super::{Problems, check_patterns};
use crate::auth::Auth;
use crate::client_certificates::CertificateRule;
use crate::tls::{ClientAuth, Tls};

/// The longest name in a certificate that a rule looks for, in bytes.
const MAX_CERTIFICATE_NAME: usize = 1_000;

pub(super) fn check(problems: &mut Problems, auth: &Auth, tls: Option<&Tls>) {
    let asked = tls.is_some_and(|tls| tls.client_auth != ClientAuth::None);
    problems.add_if(
        !auth.certificates.is_empty() && !asked,
        "auth.certificates",
        "has no effect while clients are not asked for certificates; set `tls.clientAuth` to \
         `optional` or `required`, with `tls.clientCa`",
    );
    for (index, rule) in auth.certificates.iter().enumerate() {
        let path = format!("auth.certificates[{index}]");
        check_rule(problems, &path, rule);
        let named = auth.tokens.iter().any(|token| token.name == rule.name);
        let twice = auth.certificates[..index].iter().any(|earlier| {
            earlier.name == rule.name
                || (&earlier.subject, &earlier.san) == (&rule.subject, &rule.san)
        });
        problems.add_if(
            named || twice,
            &path,
            "has the name of a token, or the name or the certificate of an earlier rule; give each \
             once",
        );
    }
}

fn check_rule(problems: &mut Problems, path: &str, rule: &CertificateRule) {
    problems.name(&format!("{path}.name"), &rule.name);
    problems.add_if(
        rule.subject.is_some() == rule.san.is_some(),
        path,
        "write either `subject` or `san`",
    );
    for (field, text) in [("subject", &rule.subject), ("san", &rule.san)] {
        let wrong = text.as_ref().is_some_and(|text| {
            !(1..=MAX_CERTIFICATE_NAME).contains(&text.len()) || text.chars().any(char::is_control)
        });
        problems.add_if(
            wrong,
            &format!("{path}.{field}"),
            "write 1 to 1000 bytes without control characters",
        );
    }
    check_patterns(problems, &format!("{path}.publish"), &rule.publish);
    check_patterns(problems, &format!("{path}.subscribe"), &rule.subscribe);
    problems.add_if(
        rule.publish.is_empty() && rule.subscribe.is_empty() && rule.manage.is_empty(),
        path,
        "allows nothing; say what its holder may publish to, subscribe to or manage",
    );
}

#[cfg(test)]
mod tests {
    use crate::{Auth, CertificateRule, ClientAuth, Config, StaticToken, Tls};

    fn rule(name: &str, subject: Option<&str>, san: Option<&str>) -> CertificateRule {
        CertificateRule {
            name: name.to_owned(),
            subject: subject.map(str::to_owned),
            san: san.map(str::to_owned),
            publish: vec!["orders.**".to_owned()],
            subscribe: Vec::new(),
            manage: Vec::new(),
        }
    }

    fn problems(certificates: Vec<CertificateRule>, client_auth: Option<ClientAuth>) -> String {
        let token = StaticToken {
            name: "token".to_owned(),
            sha256: "0".repeat(64),
            publish: vec!["**".to_owned()],
            subscribe: Vec::new(),
            manage: Vec::new(),
            subject: None,
            expires: None,
        };
        let auth = Auth {
            tokens: vec![token],
            certificates,
            ..Auth::default()
        };
        let tls = client_auth.map(|client_auth| Tls {
            client_auth,
            client_ca: (client_auth != ClientAuth::None).then(|| "ca.pem".to_owned()),
            ..Tls::new("a", "b")
        });
        let config = Config {
            auth: Some(auth),
            tls,
            ..Config::default()
        };
        let found = config.validate().err().unwrap_or_default();
        let lines = found.iter().map(ToString::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_rule_needs_clients_that_are_asked_for_certificates() {
        let rules = || vec![rule("a", Some("CN=a"), None), rule("b", None, Some("a"))];
        for asked in [ClientAuth::Optional, ClientAuth::Required] {
            assert_eq!(problems(rules(), Some(asked)), "");
        }
        for asked in [None, Some(ClientAuth::None)] {
            assert!(problems(rules(), asked).contains("set `tls.clientAuth`"));
        }
    }

    #[test]
    fn a_rule_says_one_name_that_no_other_rule_says_and_allows_something() {
        let found = |rules| problems(rules, Some(ClientAuth::Required));
        for (subject, san) in [(None, None), (Some("CN=a"), Some("a"))] {
            assert!(found(vec![rule("a", subject, san)]).contains("either `subject` or `san`"));
        }
        let a = || rule("a", Some("CN=a"), None);
        for other in [
            rule("a", Some("CN=b"), None),
            rule("b", Some("CN=a"), None),
            rule("token", Some("CN=b"), None),
        ] {
            assert!(found(vec![a(), other]).contains("auth.certificates[1]: has the name"));
        }
        assert!(found(vec![rule("a", Some(""), None)]).contains("[0].subject: write 1 to 1000"));
        let idle = CertificateRule {
            publish: Vec::new(),
            ..a()
        };
        assert!(found(vec![idle]).contains("allows nothing"));
    }
}
