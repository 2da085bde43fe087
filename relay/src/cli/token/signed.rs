//! `sse-relay token new --jwt`: signs a token for an issuer of the configuration, and shows that the relay
//! would take it.

use super::explain::{self, Verdict};
use crate::{
    auth::jwt::{key::strip_line_end, sign::SigningKey},
    cli::options,
    clock::unix_millis,
};
use clap::Args;
use relay_config::{Algorithm, ClaimPath, Config, Jwt, Timespan};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What a signed token says.
#[derive(Args, Debug)]
pub struct Signed {
    /// Sign a token (JWT) that an issuer of the configuration vouches for; NAME becomes its subject
    #[arg(long)]
    pub jwt: bool,
    /// Configuration file whose issuer it is for
    #[arg(long, value_name = "FILE", env = "SSE_RELAY_CONFIG", requires = "jwt")]
    config: Option<PathBuf>,
    /// Name of the issuer (`auth.jwt[].name`), if there are several
    #[arg(long, value_name = "NAME", requires = "jwt")]
    issuer: Option<String>,
    /// File with the issuer's private key (PEM, PKCS#8) or secret; by default its `secretFile`
    #[arg(long, value_name = "FILE", requires = "jwt")]
    key_file: Option<PathBuf>,
    /// Name of the key, the header `kid`
    #[arg(long, value_name = "ID", requires = "jwt")]
    key_id: Option<String>,
    /// Such as HS256, RS256, ES256 or EdDSA; by default what fits the key
    #[arg(long, value_name = "ALGORITHM", requires = "jwt")]
    algorithm: Option<String>,
    /// How long it is good
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "jwt")]
    lifetime: Timespan,
    /// Pattern of channels that its holder may publish to; may be repeated
    #[arg(long, value_name = "PATTERN", requires = "jwt")]
    publish: Vec<String>,
    /// Pattern of channels that its holder may subscribe to; may be repeated
    #[arg(long, value_name = "PATTERN", requires = "jwt")]
    subscribe: Vec<String>,
    /// Right of its holder, such as `observe`; may be repeated
    #[arg(long, value_name = "RIGHT", requires = "jwt")]
    manage: Vec<String>,
    /// Further claim, as NAME=JSON or NAME=TEXT; may be repeated
    #[arg(long, value_name = "CLAIM", requires = "jwt")]
    claim: Vec<String>,
}

impl Signed {
    /// The token; what it allows goes to standard error. One that the relay would refuse is an error.
    pub fn run(&self, subject: Option<&str>) -> Result<(), String> {
        let config = options::load(self.config.as_deref()).map_err(|error| error.to_string())?;
        let issuer = self.issuer(&config)?;
        let key = self.key(issuer)?;
        let id = jti()?;
        let claims = self.claims(issuer, subject, id, unix_millis() / 1000)?;
        let token = self.sign(issuer, &key, &claims)?;
        match explain::judge(&config, &token)? {
            Verdict::Accepted(text) => {
                eprint!("# {}", text.trim_end().replace('\n', "\n# ") + "\n")
            }
            Verdict::Refused(text) => {
                return Err(format!("the relay would refuse this token: {text}"));
            }
        }
        println!("{token}");
        Ok(())
    }

    fn issuer<'c>(&self, config: &'c Config) -> Result<&'c Jwt, String> {
        let issuers = config.auth.as_ref().map_or(&[][..], |auth| &auth.jwt);
        let names = || {
            let names = issuers.iter().map(|issuer| issuer.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        match (&self.issuer, issuers) {
            (_, []) => Err(
                "the configuration has no issuer of signed tokens (auth.jwt); name its file with --config".to_owned(),
            ),
            (None, [only]) => Ok(only),
            (None, _) => Err(format!("say for which issuer with --issuer: {}", names())),
            (Some(name), _) => issuers
                .iter()
                .find(|issuer| issuer.name == *name)
                .ok_or_else(|| format!("there is no issuer {name:?}, only {}", names())),
        }
    }

    fn key(&self, issuer: &Jwt) -> Result<Vec<u8>, String> {
        let mut keys = issuer.keys.iter();
        let configured = keys.find_map(|key| key.secret_file.as_deref());
        let path: &Path = self.key_file.as_deref().or(configured).ok_or_else(|| {
            format!(
                "name the file with the private key of {:?} with --key-file; the relay knows only what checks signatures",
                issuer.name
            )
        })?;
        let cannot = |error| format!("cannot read the key from {}: {error}", path.display());
        let bytes = std::fs::read(path).map_err(cannot)?;
        Ok(bytes)
    }

    fn sign(
        &self,
        issuer: &Jwt,
        key: &[u8],
        claims: &Map<String, Value>,
    ) -> Result<String, String> {
        let is_pem = key.starts_with(b"-----BEGIN");
        let wanted = match &self.algorithm {
            None => None,
            Some(text) => Some(algorithm(text)?),
        };
        let fitting = Algorithm::ALL.into_iter().filter(|algorithm| {
            let allowed = issuer.algorithms.is_empty() || issuer.algorithms.contains(algorithm);
            let is_secret = algorithm.as_str().starts_with("HS");
            wanted.map_or(allowed && is_secret != is_pem, |wanted| {
                wanted == *algorithm
            })
        });
        let mut error = "no algorithm of the issuer fits the key".to_owned();
        for algorithm in fitting {
            let secret = if is_pem { key } else { strip_line_end(key) };
            match SigningKey::new(algorithm, secret)
                .and_then(|key| key.sign(self.key_id.as_deref(), claims))
            {
                Ok(token) => return Ok(token),
                Err(why) => error = format!("{}: {why}", algorithm.as_str()),
            }
        }
        Err(error)
    }

    /// `id` and `now`, in seconds, make it one of its kind.
    fn claims(
        &self,
        issuer: &Jwt,
        subject: Option<&str>,
        id: String,
        now: u64,
    ) -> Result<Map<String, Value>, String> {
        let mut claims = Map::new();
        if let Some(iss) = &issuer.issuer {
            claims.insert("iss".to_owned(), iss.clone().into());
        }
        if let Some(audience) = issuer.audience.first() {
            claims.insert("aud".to_owned(), audience.clone().into());
        }
        claims.insert("iat".to_owned(), now.into());
        let expires = now + self.lifetime.as_millis() / 1000;
        claims.insert("exp".to_owned(), expires.into());
        claims.insert("jti".to_owned(), id.into());
        if let Some(subject) = subject {
            put(&mut claims, &issuer.claims.subject, subject.into())?;
        }
        for (option, path, values) in [
            ("publish", &issuer.claims.publish, &self.publish),
            ("subscribe", &issuer.claims.subscribe, &self.subscribe),
            ("manage", &issuer.claims.manage, &self.manage),
        ] {
            match path {
                _ if values.is_empty() => {}
                Some(path) => put(&mut claims, path, values.clone().into())?,
                None => {
                    return Err(format!(
                        "tokens of {:?} do not say what may be done: --{option} needs `claims.{option}` in its configuration",
                        issuer.name
                    ));
                }
            }
        }
        for claim in &self.claim {
            let (name, value) = claim
                .split_once('=')
                .ok_or_else(|| format!("--claim {claim}: write NAME=VALUE"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            put(&mut claims, name, value)?;
        }
        Ok(claims)
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let mut all = Algorithm::ALL.into_iter();
    all.find(|algorithm| algorithm.as_str() == text)
        .ok_or_else(|| {
            let names: Vec<&str> = Algorithm::ALL.iter().map(|all| all.as_str()).collect();
            format!("{text:?} is no algorithm; these are: {}", names.join(", "))
        })
}

/// Puts a value where a path leads; what stands on the way must be objects.
fn put(claims: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), String> {
    let path = ClaimPath::parse(path).map_err(|error| error.to_string())?;
    let names: Vec<&str> = path.names().collect();
    let Some((last, above)) = names.split_last() else {
        return Ok(());
    };
    let mut within = claims;
    for name in above {
        let next = within
            .entry((*name).to_owned())
            .or_insert_with(|| Value::Object(Map::new()));
        within = next
            .as_object_mut()
            .ok_or_else(|| format!("the claim {path} would stand in one that is no object"))?;
    }
    within.insert((*last).to_owned(), value);
    Ok(())
}

/// By which the token can be revoked.
fn jti() -> Result<String, String> {
    use base64::Engine;
    let mut bytes = [0u8; 12];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes)
        .map_err(|error| format!("the system has no random numbers: {error}"))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_stands_where_its_path_leads() {
        let mut claims = Map::new();
        put(&mut claims, "sse.publish", json!(["a"])).unwrap();
        put(&mut claims, "/sse/sub.scribe", json!("b")).unwrap();
        put(&mut claims, "sub", json!("ann")).unwrap();
        let expected = json!({"sse": {"publish": ["a"], "sub.scribe": "b"}, "sub": "ann"});
        assert_eq!(Value::Object(claims.clone()), expected);
        assert!(put(&mut claims, "sub.more", json!(1)).is_err());
        assert!(put(&mut claims, "a..b", json!(1)).is_err());
    }
}
