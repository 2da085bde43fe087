//! What must hold of the issuers of signed tokens.

use std::collections::BTreeMap;
use std::path::Path;

use super::{MAX_INTERVAL, ONE_DAY, ONE_HOUR, ONE_SECOND, Problems};
use crate::claim::{ClaimPath, PatternTemplate};
use crate::jwks::Jwks;
use crate::jwt::{Claims, GrantTemplate, Jwt, JwtKey};
use crate::timespan::Timespan;
use crate::web_address::{self, Way};

/// The most keys of one issuer, and the most issuers.
const MAX_KEYS: usize = 100;
/// The most claims that become attributes or filters.
const MAX_CLAIMS: usize = 16;

pub(super) fn check(problems: &mut Problems, issuers: &[Jwt]) {
    problems.add_if(
        issuers.len() > MAX_KEYS,
        "auth.jwt",
        "has more than 100 issuers; use fewer",
    );
    for (index, jwt) in issuers.iter().enumerate() {
        let path = format!("auth.jwt[{index}]");
        let twice = issuers[..index].iter().any(|other| other.name == jwt.name);
        problems.add_if(
            twice,
            &format!("{path}.name"),
            "is the name of an earlier issuer; give each its own",
        );
        check_issuer(problems, &path, jwt);
    }
}

fn check_issuer(problems: &mut Problems, path: &str, jwt: &Jwt) {
    problems.name(&format!("{path}.name"), &jwt.name);
    let empty = jwt.issuer.as_ref().is_some_and(String::is_empty);
    problems.add_if(
        empty,
        &format!("{path}.issuer"),
        "is empty; write the claim `iss` of its tokens, or leave the key out",
    );
    problems.add_if(
        jwt.audience.iter().any(String::is_empty),
        &format!("{path}.audience"),
        "has an empty name; write what the claim `aud` of its tokens says",
    );
    problems.time(
        &format!("{path}.leeway"),
        jwt.leeway,
        Timespan::default()..=MAX_INTERVAL,
    );
    problems.add_if(
        jwt.keys.is_empty() && jwt.jwks.is_none(),
        &format!("{path}.keys"),
        "is empty; name at least one key that its tokens are signed with, or where they are published (`jwks`)",
    );
    problems.add_if(
        jwt.keys.len() > MAX_KEYS,
        &format!("{path}.keys"),
        "has more than 100 keys; remove those that sign nothing any more",
    );
    for (index, key) in jwt.keys.iter().enumerate() {
        check_key(problems, &format!("{path}.keys[{index}]"), key);
    }
    if let Some(jwks) = &jwt.jwks {
        check_jwks(problems, &format!("{path}.jwks"), jwks);
    }
    check_claims(problems, &format!("{path}.claims"), &jwt.claims);
    check_grant(problems, &format!("{path}.grant"), &jwt.grant);
    let claims = &jwt.claims;
    let nothing = claims.publish.is_none() && claims.subscribe.is_none() && claims.manage.is_none();
    problems.add_if(
        nothing && jwt.grant.is_empty(),
        path,
        "allows nothing; name claims with patterns under `claims`, or say under `grant` what every holder may do",
    );
}

fn check_key(problems: &mut Problems, path: &str, key: &JwtKey) {
    let ways = [
        key.secret_file.is_some(),
        key.public_key_file.is_some(),
        key.public_key.is_some(),
    ];
    problems.add_if(
        ways.into_iter().filter(|there| *there).count() != 1,
        path,
        "write exactly one of `secretFile`, `publicKeyFile` and `publicKey`",
    );
    for (name, file) in [
        ("secretFile", &key.secret_file),
        ("publicKeyFile", &key.public_key_file),
    ] {
        check_file(problems, &format!("{path}.{name}"), file.as_deref());
    }
    if let Some(id) = &key.id {
        problems.name(&format!("{path}.id"), id);
    }
    let private = key
        .public_key
        .as_ref()
        .is_some_and(|text| text.contains("PRIVATE KEY"));
    problems.add_if(
        private,
        &format!("{path}.publicKey"),
        "is a private key, which belongs to the issuer alone; write the public one, and make a new pair",
    );
}

fn check_jwks(problems: &mut Problems, path: &str, jwks: &Jwks) {
    problems.add_if(
        jwks.file.is_some() == jwks.url.is_some(),
        path,
        "write exactly one of `file` and `url`",
    );
    if let Some(Err(error)) = jwks
        .url
        .as_ref()
        .map(|url| web_address::check(url, Way::Safe))
    {
        problems.add(format!("{path}.url"), error.to_string());
    }
    let files = [
        ("file", &jwks.file),
        ("caFile", &jwks.ca_file),
        ("tokenFile", &jwks.token_file),
    ];
    for (name, file) in files {
        check_file(problems, &format!("{path}.{name}"), file.as_deref());
    }
    problems.add_if(
        jwks.url.is_none() && (jwks.ca_file.is_some() || jwks.token_file.is_some()),
        path,
        "`caFile` and `tokenFile` are for a `url`; remove them",
    );
    problems.time(
        &format!("{path}.refresh"),
        jwks.refresh,
        ONE_SECOND..=ONE_DAY,
    );
    problems.time(
        &format!("{path}.cooldown"),
        jwks.cooldown,
        ONE_SECOND..=ONE_HOUR,
    );
    let minute = Timespan::from_secs(60);
    problems.time(
        &format!("{path}.timeout"),
        jwks.timeout,
        ONE_SECOND..=minute,
    );
}

pub(super) fn check_file(problems: &mut Problems, path: &str, file: Option<&Path>) {
    problems.add_if(
        file.is_some_and(|file| file.to_str().is_none_or(str::is_empty)),
        path,
        "is empty or not UTF-8; write the path of a file",
    );
}

pub(super) fn check_claims(problems: &mut Problems, path: &str, claims: &Claims) {
    let named = [
        ("publish", claims.publish.as_ref()),
        ("subscribe", claims.subscribe.as_ref()),
        ("manage", claims.manage.as_ref()),
        ("subject", Some(&claims.subject)),
    ];
    for (name, claim) in named {
        if let Some(Err(error)) = claim.map(|claim| ClaimPath::parse(claim)) {
            problems.add(format!("{path}.{name}"), error.to_string());
        }
    }
    check_named(problems, &format!("{path}.attributes"), &claims.attributes);
    check_named(problems, &format!("{path}.filters"), &claims.filters);
}

fn check_named(problems: &mut Problems, path: &str, claims: &BTreeMap<String, String>) {
    problems.add_if(
        claims.len() > MAX_CLAIMS,
        path,
        "has more than 16 claims; name fewer",
    );
    for (attribute, claim) in claims {
        let legal = (1..=64).contains(&attribute.len())
            && attribute
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        problems.add_if(
            !legal,
            path,
            "an attribute's name is 1 to 64 letters, digits, `_`, `.` and `-`",
        );
        if let Err(error) = ClaimPath::parse(claim) {
            problems.add(format!("{path}.{attribute}"), error.to_string());
        }
    }
}

pub(super) fn check_grant(problems: &mut Problems, path: &str, grant: &GrantTemplate) {
    for (name, templates) in [("publish", &grant.publish), ("subscribe", &grant.subscribe)] {
        for (index, template) in templates.iter().enumerate() {
            if let Err(error) = PatternTemplate::parse(template) {
                problems.add(format!("{path}.{name}[{index}]"), error.to_string());
            }
        }
    }
    for (claim, values) in &grant.only_with {
        let path = format!("{path}.onlyWith.{claim}");
        if let Err(error) = ClaimPath::parse(claim) {
            problems.add(&*path, error.to_string());
        }
        problems.add_if(
            values.is_empty(),
            &path,
            "has no value, so nobody is meant; name at least one",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Config;

    fn problems(jwt: &str) -> String {
        let yaml = format!("auth: {{jwt: [{jwt}]}}");
        match Config::from_sources(Some(("relay.yaml", &yaml)), &BTreeMap::new()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_issuer_needs_a_key_and_something_to_allow() {
        let legal = "{name: id, keys: [{secretFile: /s}], claims: {subscribe: sse}}";
        assert_eq!(problems(legal), "");
        let published = "{name: id, jwks: {url: 'https://id.example.com/k'}, claims: {publish: p}}";
        assert_eq!(problems(published), "");
        let roles = "{name: id, keys: [{secretFile: /s}], grant: {publish: [a], onlyWith: {realm_access.roles: [r]}}}";
        assert_eq!(problems(roles), "");
        let templated = "{name: id, keys: [{secretFile: /s}], grant: {publish: ['a.{sub}']}}";
        assert_eq!(problems(templated), "");
        for (jwt, says) in [
            ("{keys: []}", "name"),
            (
                "{name: id, keys: [{secretFile: /s}], grant: {publish: [a], onlyWith: {roles: []}}}",
                "has no value",
            ),
            ("{name: id, claims: {publish: p}}", "at least one key"),
            ("{name: id, keys: [{secretFile: /s}]}", "allows nothing"),
            (
                "{name: id, keys: [{}], claims: {publish: p}}",
                "exactly one of",
            ),
            (
                "{name: id, keys: [{secretFile: /s, publicKeyFile: /p}], claims: {publish: p}}",
                "exactly one of",
            ),
            (
                "{name: id, keys: [{publicKey: '-----BEGIN PRIVATE KEY-----'}], claims: {publish: p}}",
                "belongs to the issuer",
            ),
            (
                "{name: id, keys: [{secretFile: /s}], claims: {publish: 'a..b'}}",
                "names no claim",
            ),
            (
                "{name: id, keys: [{secretFile: /s}], grant: {publish: ['a.{sub']}}",
                "brace",
            ),
            (
                "{name: id, keys: [{secretFile: /s}], claims: {publish: p, filters: {'a b': c}}}",
                "an attribute's name",
            ),
            (
                "{name: id, keys: [{secretFile: /s}], claims: {publish: p}, leeway: 1h}",
                "leeway",
            ),
            (
                "{name: id, keys: [{secretFile: /s}], claims: {publish: p}, algorithms: [none]}",
                "algorithms",
            ),
            (
                "{name: id, jwks: {}, claims: {publish: p}}",
                "exactly one of `file` and `url`",
            ),
            (
                "{name: id, jwks: {url: 'http://id.example.com/keys'}, claims: {publish: p}}",
                "not encrypted",
            ),
            (
                "{name: id, jwks: {file: /k, caFile: /c}, claims: {publish: p}}",
                "are for a `url`",
            ),
            (
                "{name: id, jwks: {file: /k, cooldown: 1ms}, claims: {publish: p}}",
                "cooldown",
            ),
            (&format!("{legal}, {legal}"), "name of an earlier issuer"),
        ] {
            let found = problems(jwt);
            assert!(found.contains(says), "{jwt}: {found}");
        }
    }
}
