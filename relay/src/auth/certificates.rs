//! Certificates of clients that are known in advance, by one of their names.

use super::{Evidence, Identity, Refused, patterns};
use crate::{cursor::UnixMillis, grant::Grant, tls::client_certificate::ClientCertificate};
use relay_config::CertificateRule;
use std::sync::Arc;

/// A certificate that is known in advance.
pub struct KnownCertificate {
    pub name: Arc<str>,
    pub(super) by: By,
    pub grant: Grant,
}

/// What it is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum By {
    Subject(Box<str>),
    Further(Box<str>),
    /// By nothing, which only a rule is that was not validated.
    Nothing,
}

impl KnownCertificate {
    /// Who shows it may do what everybody may, and what the rule says.
    pub fn new(rule: &CertificateRule, everybody: &Grant) -> KnownCertificate {
        KnownCertificate {
            name: rule.name.as_str().into(),
            by: match (&rule.subject, &rule.san) {
                (Some(subject), None) => By::Subject(subject.as_str().into()),
                (None, Some(name)) => By::Further(name.as_str().into()),
                (Some(_), Some(_)) | (None, None) => By::Nothing,
            },
            grant: Grant {
                publish: [patterns(&rule.publish), everybody.publish.clone()].concat(),
                subscribe: [patterns(&rule.subscribe), everybody.subscribe.clone()].concat(),
                manage: rule.manage.iter().copied().collect(),
                ..Grant::default()
            },
        }
    }

    fn is(&self, certificate: &ClientCertificate) -> bool {
        match &self.by {
            By::Subject(subject) => !subject.is_empty() && *subject == certificate.subject,
            By::Further(name) => certificate.names.contains(name),
            By::Nothing => false,
        }
    }

    /// Who shows this certificate. A connection may live longer than what opened it: what it allows
    /// ends with it.
    pub fn identity(
        &self,
        certificate: &ClientCertificate,
        now: UnixMillis,
    ) -> Result<Identity, Refused> {
        let grant = Grant {
            expires: Some(certificate.expires),
            ..self.grant.clone()
        };
        if grant.has_ended(now) {
            return Err(Refused::Expired);
        }
        Ok(Identity {
            grant: Arc::new(grant),
            from: Evidence::Certificate(self.name.clone()),
        })
    }
}

/// The first that knows it.
pub fn find<'a>(
    known: &'a [KnownCertificate],
    certificate: &ClientCertificate,
) -> Option<&'a KnownCertificate> {
    known.iter().find(|known| known.is(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, subject: Option<&str>, san: Option<&str>) -> KnownCertificate {
        let rule = CertificateRule {
            name: name.to_owned(),
            subject: subject.map(str::to_owned),
            san: san.map(str::to_owned),
            publish: vec!["orders.**".to_owned()],
            subscribe: Vec::new(),
            manage: Vec::new(),
        };
        KnownCertificate::new(&rule, &Grant::default())
    }

    fn shown(subject: &str, names: &[&str]) -> ClientCertificate {
        ClientCertificate {
            subject: subject.into(),
            names: names.iter().map(|name| (*name).into()).collect(),
            expires: 1_000,
        }
    }

    #[test]
    fn the_first_rule_holds_that_has_the_whole_name() {
        let known = [
            rule("subject", Some("CN=a,O=b"), None),
            rule("further", None, Some("a.example")),
            rule("nothing", None, None),
            rule("empty", Some(""), None),
        ];
        let found = |subject: &str, names: &[&str]| {
            find(&known, &shown(subject, names)).map(|known| known.name.to_string())
        };
        assert_eq!(found("CN=a,O=b", &["a.example"]).unwrap(), "subject");
        assert_eq!(found("CN=c", &["x", "a.example"]).unwrap(), "further");
        for (subject, names) in [
            ("", &[][..]),
            ("CN=a", &["b.a.example", "a.example.org", "A.EXAMPLE"]),
            ("a.example", &["CN=a,O=b"]),
        ] {
            assert_eq!(found(subject, names), None, "{subject}");
        }
    }

    #[test]
    fn what_a_certificate_allows_ends_with_it() {
        let (known, shown) = (rule("a", Some("CN=a"), None), shown("CN=a", &[]));
        let identity = known.identity(&shown, 999).unwrap();
        assert_eq!(identity.from, Evidence::Certificate("a".into()));
        assert_eq!(identity.grant.expires, Some(1_000));
        assert_eq!(known.identity(&shown, 1_000), Err(Refused::Expired));
    }
}
