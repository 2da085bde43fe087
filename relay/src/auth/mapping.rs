//! What the claims of a token allow its holder.

use crate::{
    auth::Refused,
    channel::ChannelPattern,
    cursor::UnixMillis,
    filter::Filter,
    grant::{Grant, Right},
    subject::Subject,
};
use relay_config::{ClaimPath, Claims, GrantTemplate, PatternTemplate};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Most values that one claim may have: patterns, rights, values of a filter.
const MAX_VALUES: usize = 100;
/// Longest value of an attribute, a filter, or a part of a pattern, in bytes.
const MAX_VALUE: usize = 200;

/// How claims become a grant.
#[derive(Debug)]
pub struct Mapping {
    publish: Option<ClaimPath>,
    subscribe: Option<ClaimPath>,
    manage: Option<ClaimPath>,
    subject: ClaimPath,
    attributes: BTreeMap<Box<str>, ClaimPath>,
    filters: BTreeMap<Box<str>, ClaimPath>,
    grant: Templates,
}

/// What every holder may do, but for the claims in it.
#[derive(Debug)]
struct Templates {
    publish: Vec<PatternTemplate>,
    subscribe: Vec<PatternTemplate>,
    manage: Vec<Right>,
    /// Claims, each with the values of which it must have one.
    only_with: Vec<(ClaimPath, Vec<String>)>,
}

/// What holders may do who are not meant.
const NOTHING: &Templates = &Templates {
    publish: Vec::new(),
    subscribe: Vec::new(),
    manage: Vec::new(),
    only_with: Vec::new(),
};

impl Templates {
    fn of(&self, claims: &Map<String, Value>) -> &Templates {
        let is_met = |(path, accepted): &(ClaimPath, Vec<String>)| {
            let one = |value: &Value| match text(value) {
                Ok(text) => accepted.contains(&text),
                Err(_) => false,
            };
            match find(claims, path) {
                Some(Value::Array(values)) => values.iter().any(one),
                Some(value) => one(value),
                None => false,
            }
        };
        match self.only_with.iter().all(is_met) {
            true => self,
            false => NOTHING,
        }
    }
}

impl Mapping {
    /// Of a configuration that was validated: `None` if one was not.
    pub fn new(claims: &Claims, grant: &GrantTemplate) -> Option<Mapping> {
        let path = |text: &String| ClaimPath::parse(text).ok();
        let optional = |text: &Option<String>| match text {
            Some(text) => path(text).map(Some),
            None => Some(None),
        };
        let named = |claims: &BTreeMap<String, String>| {
            let paths = claims.iter();
            paths
                .map(|(name, claim)| Some((name.as_str().into(), path(claim)?)))
                .collect::<Option<_>>()
        };
        let templates = |texts: &[String]| {
            let parsed = texts.iter().map(|text| PatternTemplate::parse(text).ok());
            parsed.collect::<Option<_>>()
        };
        Some(Mapping {
            publish: optional(&claims.publish)?,
            subscribe: optional(&claims.subscribe)?,
            manage: optional(&claims.manage)?,
            subject: path(&claims.subject)?,
            attributes: named(&claims.attributes)?,
            filters: named(&claims.filters)?,
            grant: Templates {
                publish: templates(&grant.publish)?,
                subscribe: templates(&grant.subscribe)?,
                manage: grant.manage.clone(),
                only_with: grant
                    .only_with
                    .iter()
                    .map(|(claim, values)| Some((path(claim)?, values.clone())))
                    .collect::<Option<_>>()?,
            },
        })
    }

    /// What these claims allow, on top of what everybody may.
    pub fn grant(
        &self,
        claims: &Map<String, Value>,
        expires: Option<UnixMillis>,
        everybody: &Grant,
    ) -> Result<Grant, Refused> {
        let templates = self.grant.of(claims);
        let mut grant = Grant {
            publish: patterns(claims, self.publish.as_ref(), &templates.publish)?,
            subscribe: patterns(claims, self.subscribe.as_ref(), &templates.subscribe)?,
            manage: templates.manage.iter().copied().collect(),
            subject: subject(claims, &self.subject)?,
            attributes: BTreeMap::new(),
            filters: Filter::default(),
            expires,
        };
        grant.publish.extend(everybody.publish.iter().cloned());
        grant.subscribe.extend(everybody.subscribe.iter().cloned());
        for right in values(claims, self.manage.as_ref())? {
            let known = Right::ALL.into_iter().find(|known| known.as_str() == right);
            grant.manage.insert(known.ok_or(Refused::Claims)?);
        }
        for (attribute, path) in &self.attributes {
            if let Some(value) = find(claims, path) {
                let text = short(value, MAX_VALUE)?;
                grant.attributes.insert(attribute.clone(), text.into());
            }
        }
        for (attribute, path) in &self.filters {
            let accepted = values(claims, Some(path))?;
            if accepted.is_empty() || accepted.iter().any(|value| value.len() > MAX_VALUE) {
                return Err(Refused::Claims);
            }
            let accepted = accepted.into_iter().map(Into::into);
            grant.filters.accept(attribute, accepted);
        }
        Ok(grant)
    }
}

fn patterns(
    claims: &Map<String, Value>,
    claim: Option<&ClaimPath>,
    templates: &[PatternTemplate],
) -> Result<Vec<ChannelPattern>, Refused> {
    let listed = values(claims, claim)?.into_iter();
    let filled = templates.iter().map(|template| fill(claims, template));
    listed
        .map(Ok)
        .chain(filled)
        .map(|text| ChannelPattern::parse(&text?).map_err(|_| Refused::Claims))
        .collect()
}

fn fill(claims: &Map<String, Value>, template: &PatternTemplate) -> Result<String, Refused> {
    let value = |path: &ClaimPath| {
        let text = short(find(claims, path)?, MAX_VALUE).ok()?;
        is_part_of_a_segment(&text).then_some(text)
    };
    template.fill(value).ok_or(Refused::Claims)
}

/// Whether a value can stand in a pattern and mean only itself: with a dot it would be two segments,
/// with a star any, and with `@` in front perhaps a reserved name.
fn is_part_of_a_segment(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('@')
        && !text
            .chars()
            .any(|c| matches!(c, '.' | '*') || c.is_control())
}

fn subject(claims: &Map<String, Value>, path: &ClaimPath) -> Result<Option<Subject>, Refused> {
    let subject = find(claims, path).map(text).transpose()?;
    let parsed = subject.map(|subject| Subject::parse(&subject)).transpose();
    parsed.map_err(|_| Refused::Claims)
}

fn find<'a>(claims: &'a Map<String, Value>, path: &ClaimPath) -> Option<&'a Value> {
    let mut names = path.names();
    let first = claims.get(names.next()?)?;
    names.try_fold(first, |value, name| value.as_object()?.get(name))
}

/// The values of a claim: one, or those of a list. None if it is not there.
fn values(claims: &Map<String, Value>, path: Option<&ClaimPath>) -> Result<Vec<String>, Refused> {
    match path.and_then(|path| find(claims, path)) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() > MAX_VALUES => Err(Refused::Claims),
        Some(Value::Array(values)) => values.iter().map(text).collect(),
        Some(value) => Ok(vec![text(value)?]),
    }
}

fn short(value: &Value, max: usize) -> Result<String, Refused> {
    let text = text(value)?;
    let legal = text.len() <= max && !text.chars().any(char::is_control);
    legal.then_some(text).ok_or(Refused::Claims)
}

fn text(value: &Value) -> Result<String, Refused> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Refused::Claims),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mapping(claims: Value, grant: Value) -> Mapping {
        let claims = serde_json::from_value(claims).unwrap();
        let grant = serde_json::from_value(grant).unwrap();
        Mapping::new(&claims, &grant).unwrap()
    }

    fn grant(mapping: &Mapping, claims: Value) -> Result<Grant, Refused> {
        let Value::Object(claims) = claims else {
            panic!("claims are an object");
        };
        mapping.grant(&claims, None, &Grant::default())
    }

    fn texts(patterns: &[ChannelPattern]) -> Vec<&str> {
        patterns.iter().map(ChannelPattern::as_str).collect()
    }

    #[test]
    fn claims_become_patterns_rights_a_subject_attributes_and_filters() {
        let mapping = mapping(
            json!({"publish": "sse.publish", "subscribe": "sse.subscribe", "manage": "sse.manage",
                   "attributes": {"team": "team"}, "filters": {"tenant": "tenants"}}),
            json!({"subscribe": ["users.{sub}.**"]}),
        );
        let grant = grant(
            &mapping,
            json!({"sub": "ann", "team": 7, "tenants": ["a", "b"],
                   "sse": {"publish": "orders.*", "subscribe": ["news", "orders.**"], "manage": ["observe"]}}),
        )
        .unwrap();
        assert_eq!(texts(&grant.publish), ["orders.*"]);
        assert_eq!(
            texts(&grant.subscribe),
            ["news", "orders.**", "users.ann.**"]
        );
        assert!(grant.may(Right::Observe));
        assert_eq!(grant.subject.as_ref().map(Subject::as_str), Some("ann"));
        assert_eq!(&*grant.attributes["team"], "7");
        assert_eq!(grant.filters.terms()["tenant"].len(), 2);
    }

    #[test]
    fn a_grant_for_roles_is_for_those_who_have_one() {
        let mapping = mapping(
            json!({"subscribe": "own"}),
            json!({"subscribe": ["qg"], "manage": ["observe"],
                   "onlyWith": {"realm_access.roles": ["qg-operator", "qg-vehicles"], "azp": ["front"]}}),
        );
        let of = |roles: Value, azp: &str| {
            let claims = json!({"realm_access": {"roles": roles}, "azp": azp, "own": ["mine"]});
            let grant = grant(&mapping, claims).unwrap();
            (texts(&grant.subscribe).len(), grant.may(Right::Observe))
        };
        assert_eq!(of(json!(["other", "qg-vehicles"]), "front"), (2, true));
        assert_eq!(of(json!("qg-operator"), "front"), (2, true));
        for (roles, azp) in [
            (json!(["other"]), "front"),
            (json!(["qg-operator"]), "else"),
            (
                json!([["qg-operator"], {"a": "qg-operator"}, null]),
                "front",
            ),
            (json!(null), "front"),
            (json!("qg-operator "), "front"),
        ] {
            assert_eq!(
                of(roles, azp),
                (1, false),
                "what claims say themselves stays"
            );
        }
        let many: Vec<String> = (0..500).map(|n| format!("r{n}")).collect();
        let many = [&many[..], &["qg-operator".to_owned()]].concat();
        assert_eq!(
            of(json!(many), "front"),
            (2, true),
            "Keycloak may list many"
        );
    }

    #[test]
    fn a_claim_that_is_not_there_allows_nothing() {
        let mapping = mapping(json!({"publish": "p", "subscribe": "a.b"}), json!({}));
        let grant = grant(&mapping, json!({"a": "text"})).unwrap();
        assert_eq!(grant, Grant::default());
    }

    #[test]
    fn a_claim_cannot_widen_a_pattern() {
        let mapping = mapping(json!({}), json!({"subscribe": ["users.{sub}", "t.{t}.**"]}));
        let with = |sub: Value| grant(&mapping, json!({"sub": sub, "t": "x"}));
        assert_eq!(
            texts(&with(json!("ann")).unwrap().subscribe)[0],
            "users.ann"
        );
        for wide in [
            json!("*"),
            json!("**"),
            json!("a.b"),
            json!(".."),
            json!("ann.**"),
            json!("a*"),
            json!(""),
            json!("@subject/bob"),
            json!("a\nb"),
            json!(["ann"]),
            json!({"a": 1}),
            json!(null),
            json!("x".repeat(201)),
        ] {
            assert_eq!(with(wide.clone()), Err(Refused::Claims), "{wide}");
        }
        let without = grant(&mapping, json!({"sub": "ann"}));
        assert_eq!(without, Err(Refused::Claims), "a template needs its claim");
    }

    #[test]
    fn a_filter_needs_its_claim() {
        let mapping = mapping(
            json!({"subscribe": "s", "filters": {"tenant": "tenant"}}),
            json!({}),
        );
        let with = |claims| grant(&mapping, claims);
        for wrong in [
            json!({"s": "**"}),
            json!({"s": "**", "tenant": []}),
            json!({"s": "**", "tenant": null}),
            json!({"s": "**", "tenant": {"a": "b"}}),
            json!({"s": "**", "tenant": "x".repeat(201)}),
        ] {
            assert_eq!(with(wrong.clone()), Err(Refused::Claims), "{wrong}");
        }
        assert!(with(json!({"s": "**", "tenant": "a"})).is_ok());
    }

    #[test]
    fn claims_are_bounded_and_of_the_form_that_is_said() {
        let mapping = mapping(
            json!({"publish": "p", "manage": "m", "attributes": {"a": "a"}}),
            json!({}),
        );
        let many: Vec<String> = (0..=MAX_VALUES).map(|n| format!("c{n}")).collect();
        let enough = &many[..MAX_VALUES];
        assert!(grant(&mapping, json!({"p": enough})).is_ok());
        for wrong in [
            json!({"p": many}),
            json!({"p": ["a*"]}),
            json!({"p": [["a"]]}),
            json!({"p": {"a": true}}),
            json!({"p": "x".repeat(201)}),
            json!({"m": ["everything"]}),
            json!({"a": "x".repeat(201)}),
            json!({"sub": "x".repeat(191)}),
            json!({"sub": "a\nb"}),
            json!({"sub": ""}),
        ] {
            assert_eq!(
                grant(&mapping, wrong.clone()),
                Err(Refused::Claims),
                "{wrong}"
            );
        }
    }
}
