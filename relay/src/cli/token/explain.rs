//! `sse-relay token explain`: what a credential allows under a configuration, or why it is refused.

use super::Given;
use crate::{
    auth::{
        Authenticator, Credential, Denied, Evidence, Identity, Refused, hash_of,
        jwt::{self, Said},
    },
    cli::options,
    clock::unix_millis,
    grant::Grant,
    http::time::format_millis,
    tls::{client_certificate::ClientCertificate, files},
};
use clap::Args;
use http::{HeaderMap, header};
use relay_config::Config;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// What is explained.
#[derive(Args, Debug)]
pub struct Explain {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "SSE_RELAY_CONFIG")]
    config: Option<PathBuf>,
    /// Explain a client's certificate (PEM) instead; whether an authority vouches for it is not looked at
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    token: Given,
}

/// What the relay would say.
pub enum Verdict {
    Accepted(String),
    Refused(String),
}

impl Explain {
    pub fn run(&self) -> Result<Verdict, String> {
        let config = options::load(self.config.as_deref()).map_err(|error| error.to_string())?;
        match &self.certificate {
            Some(path) => certificate(&config, path),
            None => judge(&config, &self.token.read()?),
        }
    }
}

/// What a relay with this configuration says of a token.
pub fn judge(config: &Config, token: &str) -> Result<Verdict, String> {
    let authenticator =
        Authenticator::new(config.auth.as_ref()).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    for error in runtime.block_on(authenticator.fetch_keys()) {
        eprintln!("sse-relay: the published keys of an issuer cannot be had: {error}");
    }
    let mut headers = HeaderMap::new();
    if let Ok(value) = format!("Bearer {token}").parse() {
        headers.insert(header::AUTHORIZATION, value); // for another application that is asked
    }
    // as a request would carry it, so that what is too long for one is found
    let carried = format!("Bearer {token}");
    let credential = Credential::from_headers([carried.as_bytes()].into_iter(), None);
    let now = unix_millis();
    let identity = runtime.block_on(authenticator.identify(&credential, &headers, now));
    Ok(match identity {
        Ok(identity) => Verdict::Accepted(accepted(&identity)),
        Err(denied) => Verdict::Refused(refused(denied) + &hints(config, token, denied, now)),
    })
}

fn certificate(config: &Config, path: &Path) -> Result<Verdict, String> {
    let name = path.display().to_string();
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let chain = files::certificates(&name, &pem).map_err(|error| error.to_string())?;
    let read = chain.first().and_then(ClientCertificate::read);
    let read = read.ok_or_else(|| format!("{name} cannot be read as a certificate"))?;
    let authenticator =
        Authenticator::new(config.auth.as_ref()).map_err(|error| error.to_string())?;
    let credential = Credential::Certificate(&read);
    let mut shown = format!("  its subject  {}\n", or_nothing(read.subject.to_string()));
    let names: Vec<&str> = read.names.iter().map(AsRef::as_ref).collect();
    let _ = writeln!(shown, "  its names    {}", or_nothing(names.join(", ")));
    let _ = writeln!(shown, "  it ends      {}", format_millis(read.expires));
    Ok(
        match authenticator.identify_at_once(&credential, unix_millis()) {
            None => return Err("another application would be asked".to_owned()),
            Some(Ok(identity)) => Verdict::Accepted(accepted(&identity) + &shown),
            Some(Err(denied)) => {
                let rules = config.auth.iter().flat_map(|auth| &auth.certificates);
                let rules = rules.map(|rule| {
                    let by = rule.subject.as_deref().or(rule.san.as_deref());
                    format!("{:?} by {}", rule.name, by.unwrap_or("nothing"))
                });
                let rules = or_nothing(rules.collect::<Vec<_>>().join("; "));
                let known = format!("  known are    {rules}\n");
                Verdict::Refused(refused(denied) + &shown + &known)
            }
        },
    )
}

fn accepted(identity: &Identity) -> String {
    let by = match &identity.from {
        Evidence::Open => "no credentials are configured, everybody may do everything".to_owned(),
        Evidence::Forward => "the application that was asked knows it".to_owned(),
        Evidence::Anonymous => "as nobody".to_owned(),
        Evidence::Token(name) => format!("token {name:?}"),
        Evidence::Certificate(name) => format!("certificate {name:?}"),
        Evidence::Ticket(_) => "a ticket".to_owned(),
        Evidence::Jwt { issuer, .. } => format!("signed by {issuer:?}"),
    };
    format!("accepted: {by}\n{}", describe(&identity.grant))
}

fn refused(denied: Denied) -> String {
    let reason = match denied {
        Denied::Refused(refused) => refused.as_str(),
        Denied::Unavailable(_) => "unavailable",
    };
    format!("refused ({reason}): {denied}\n")
}

/// What its holder should look at. Nothing of it is a secret but to who does not have the token.
fn hints(config: &Config, token: &str, denied: Denied, now: u64) -> String {
    let mut text = String::new();
    if token.starts_with("sseticket_") {
        return "  it is a ticket: only the relay that made it knows it, for a moment, and for one stream\n".to_owned();
    }
    if let Some(said) = jwt::said(token) {
        signed(&mut text, config, &said, now);
    } else if denied == Denied::Refused(Refused::Unknown) {
        let tokens = config.auth.iter().flat_map(|auth| &auth.tokens);
        let names: Vec<&str> = tokens.map(|token| token.name.as_str()).collect();
        let _ = writeln!(text, "  its sha256   {}", hash_of(token));
        let names = or_nothing(names.join(", "));
        let _ = writeln!(text, "  known are    {names}; none of them has this hash");
    }
    text
}

/// What a signed token says of itself, beside what is configured.
fn signed(text: &mut String, config: &Config, said: &Said, now: u64) {
    let line = |text: &mut String, name: &str, says: &str| {
        let _ = writeln!(text, "  {name:<12} {says}");
    };
    let value = |name: &str| said.claims.get(name);
    let or_none = |name: &str| value(name).map_or("none".to_owned(), ToString::to_string);
    line(text, "it says alg", &said.algorithm);
    line(text, "kid", said.key.as_deref().unwrap_or("none"));
    line(text, "iss", &or_none("iss"));
    line(text, "aud", &or_none("aud"));
    for name in ["exp", "nbf"] {
        let seconds = value(name).and_then(serde_json::Value::as_f64);
        let Some(seconds) = seconds else {
            line(text, name, &or_none(name));
            continue;
        };
        let at = (seconds.max(0.0) * 1000.0) as u64;
        let when = match at <= now {
            true => format!("{} s ago", (now - at) / 1000),
            false => format!("in {} s", (at - now) / 1000),
        };
        line(text, name, &format!("{} ({when})", format_millis(at)));
    }
    for issuer in config.auth.iter().flat_map(|auth| &auth.jwt) {
        let keys = issuer
            .keys
            .iter()
            .map(|key| key.id.as_deref().unwrap_or("without a name"));
        let published = issuer.jwks.as_ref().map(|_| "published ones");
        let keys = keys.chain(published).collect::<Vec<_>>().join(", ");
        let algorithms: Vec<&str> = issuer.algorithms.iter().map(|a| a.as_str()).collect();
        let says = format!(
            "{:?} wants iss {}, aud {}, {}; keys: {}",
            issuer.name,
            issuer.issuer.as_deref().unwrap_or("of nobody else"),
            match issuer.audience.is_empty() {
                true => "none".to_owned(),
                false => issuer.audience.join(" or "),
            },
            match algorithms.is_empty() {
                true => "what fits the keys".to_owned(),
                false => algorithms.join(" or "),
            },
            or_nothing(keys),
        );
        line(text, "issuer", &says);
    }
}

fn or_nothing(text: String) -> String {
    match text.is_empty() {
        true => "nothing".to_owned(),
        false => text,
    }
}

fn describe(grant: &Grant) -> String {
    let list = |texts: Vec<String>| or_nothing(texts.join(", "));
    let publish = list(grant.publish.iter().map(ToString::to_string).collect());
    let subscribe = list(grant.subscribe.iter().map(ToString::to_string).collect());
    let rights = grant.manage.iter().map(|right| right.as_str().to_owned());
    let manage = list(rights.collect());
    let mut text =
        format!("  publish    {publish}\n  subscribe  {subscribe}\n  manage     {manage}\n");
    if let Some(subject) = &grant.subject {
        let _ = writeln!(text, "  subject    {subject}");
    }
    for (name, value) in &grant.attributes {
        let _ = writeln!(text, "  attribute  {name} is {value}");
    }
    for (attribute, values) in grant.filters.terms() {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        let values = values.join(", ");
        let _ = writeln!(
            text,
            "  sees only  events whose {attribute} is one of: {values}"
        );
    }
    if let Some(expires) = grant.expires {
        let _ = writeln!(text, "  until      {}", format_millis(expires));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_described_in_full() {
        let mut grant = Grant {
            subject: crate::subject::Subject::parse("ann").ok(),
            expires: Some(1_795_248_000_000),
            ..Grant::everything()
        };
        grant.attributes.insert("team".into(), "blue".into());
        grant.filters.accept("tenant", ["a".into(), "b".into()]);
        let text = describe(&grant);
        for part in [
            "publish    **",
            "subscribe  **",
            "manage     observe",
            "subject    ann",
            "attribute  team is blue",
            "sees only  events whose tenant is one of: a, b",
            "2026-11-21T08:00:00",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(describe(&Grant::default()).contains("publish    nothing"));
    }
}
