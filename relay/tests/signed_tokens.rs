//! Signed tokens (JWT) against the real relay: what they allow, and why one is refused.

mod support;

use relay_config::Algorithm;
use serde_json::{Value, json};
use sse_relay::auth::jwt::sign::SigningKey;
use std::{fs, path::Path, time::SystemTime};
use support::{Answer, Relay};
use tempfile::TempDir;

const RSA: &str = include_str!("keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.pub.pem");
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// An issuer with two keys, one whose holders are users of a fixed grant, and a cluster.
fn auth(secret: &Path) -> Value {
    json!({
        "tokens": [{"name": "operator", "sha256": sse_relay::auth::hash_of("operator"), "manage": ["observe"]}],
        "jwt": [
            {
                "name": "backends", "issuer": "https://id.example", "audience": ["sse"],
                "keys": [{"id": "rsa", "publicKey": RSA_PUBLIC}, {"id": "hmac", "secretFile": secret}],
                "claims": {"publish": "sse.publish", "subscribe": "sse.subscribe", "manage": "sse.manage",
                           "filters": {"tenant": "tenants"}},
            },
            {
                "name": "users", "issuer": "https://users.example", "expiry": "optional",
                "keys": [{"secretFile": secret}],
                "grant": {"subscribe": ["users.{sub}.**"], "publish": ["users.{sub}.inbox"]},
            },
            {
                "name": "cluster", "issuer": "https://kubernetes.default.svc", "audience": ["sse"],
                "keys": [{"secretFile": secret}],
                "grant": {"publish": ["apps.{/kubernetes.io/namespace}.**"]},
            },
        ],
    })
}

fn start() -> (Relay, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).expect("it can be written");
    let relay = Relay::start_with(&[("SSE_RELAY_AUTH", &auth(&secret).to_string())], &[]);
    (relay, folder)
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

fn backend() -> Value {
    json!({"iss": "https://id.example", "aud": ["sse", "other"], "exp": seconds() + 600, "sub": "shop",
           "sse": {"publish": ["orders.**"], "subscribe": ["orders.**"]}, "tenants": ["a", "b"]})
}

/// The same, with some claims changed, or taken out by `null`.
fn with(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().expect("claims") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("claims").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn sign(algorithm: Algorithm, id: Option<&str>, claims: &Value) -> String {
    let key = match algorithm {
        Algorithm::HS256 => SECRET,
        _ => RSA.as_bytes(),
    };
    let key = SigningKey::new(algorithm, key).expect("a key");
    let token = key
        .sign(id, claims.as_object().expect("claims"))
        .expect("signed");
    format!("Authorization: Bearer {token}")
}

fn rsa(claims: &Value) -> String {
    sign(Algorithm::RS256, Some("rsa"), claims)
}

fn publish(relay: &Relay, channel: &str, token: &str, body: &Value) -> Answer {
    let target = format!("/v1/channels/{channel}/events");
    let headers = [token, "Content-Type: application/json"];
    relay.request("POST", &target, &headers, body.to_string().as_bytes())
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

#[test]
fn the_claims_of_a_signed_token_say_what_its_holder_may_do() {
    let (relay, _folder) = start();
    let event = json!({"data": "x", "attributes": {"tenant": "a"}});
    for token in [
        rsa(&backend()),
        sign(Algorithm::PS512, Some("rsa"), &backend()),
        sign(Algorithm::HS256, Some("hmac"), &backend()),
        sign(Algorithm::HS256, None, &backend()),
    ] {
        assert_eq!(publish(&relay, "orders.eu", &token, &event).status, 201);
        let denied = publish(&relay, "news", &token, &event);
        assert_eq!(told(&denied), (403, "not-granted".to_owned()));
        let status = relay.request("GET", "/v1/status", &[&token], b"");
        assert_eq!(told(&status), (403, "not-granted".to_owned()));
    }
    let observer = with(backend(), &json!({"sse": {"manage": ["observe"]}}));
    let status = relay.request("GET", "/v1/status", &[&rsa(&observer)], b"");
    assert_eq!(status.status, 200);
}

#[test]
fn every_fault_of_a_signed_token_has_its_reason() {
    let (relay, _folder) = start();
    let now = seconds();
    let changed = |changes: Value| rsa(&with(backend(), &changes));
    let patterns: Vec<String> = (0..1000).map(|n| format!("c{n}")).collect();
    let confused = {
        let key = SigningKey::new(Algorithm::HS256, RSA_PUBLIC.as_bytes()).unwrap();
        let claims = backend();
        let token = key.sign(Some("rsa"), claims.as_object().unwrap()).unwrap();
        format!("Authorization: Bearer {token}")
    };
    let forged = {
        let token = rsa(&backend());
        let mut bytes = token.into_bytes();
        let last = bytes.len() - 10;
        bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let refusals = [
        (forged, "signature"),
        (confused, "algorithm"),
        (changed(json!({"exp": now - 60})), "expired"),
        (changed(json!({"nbf": now + 120})), "not-yet-valid"),
        (changed(json!({"exp": null})), "endless"),
        (changed(json!({"aud": "another"})), "audience"),
        (changed(json!({"aud": null})), "audience"),
        (changed(json!({"iss": "https://evil.example"})), "issuer"),
        (changed(json!({"iss": null})), "issuer"),
        (changed(json!({"tenants": null})), "claims"),
        (changed(json!({"sse": {"publish": patterns}})), "claims"),
        (
            sign(Algorithm::RS256, Some("old"), &backend()),
            "unknown-key",
        ),
        ("Authorization: Bearer e30.e30.e30".to_owned(), "not-jwt"),
        // {"alg":"none"}
        (
            "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.".to_owned(),
            "unsigned",
        ),
        // {"alg":"HS256","crit":["b64"]}
        (
            "Authorization: Bearer eyJhbGciOiJIUzI1NiIsImNyaXQiOlsiYjY0Il19.e30.e30".to_owned(),
            "critical",
        ),
    ];
    for (token, reason) in &refusals {
        let before = count(&relay, reason);
        let answer = publish(&relay, "orders.eu", token, &json!({"data": "x"}));
        assert_eq!(
            told(&answer),
            (401, "unauthenticated".to_owned()),
            "{reason}"
        );
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        let says = answer.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(
            challenge,
            format!(
                "Bearer realm=\"sse-relay\", error=\"invalid_token\", error_description=\"{says}\""
            )
        );
        assert_eq!(count(&relay, reason), before + 1, "{reason}");
        let stream = relay.request("GET", "/v1/events?channel=orders.eu", &[token], b"");
        assert_eq!(
            told(&stream),
            (401, "unauthenticated".to_owned()),
            "{reason}"
        );
        assert_eq!(count(&relay, reason), before + 2, "{reason}");
        let secret = token.rsplit('.').next().unwrap();
        assert!(secret.is_empty() || !relay.output().contains(secret));
    }
    let stored = relay.stored_by(&["Authorization: Bearer operator"]);
    assert_eq!(stored, 0, "a refusal stores nothing");
    let huge = format!("Authorization: Bearer {}", "x".repeat(100_000));
    let answer = publish(&relay, "orders.eu", &huge, &json!({"data": "x"}));
    assert_eq!(told(&answer), (431, "head-too-large".to_owned()));
}

fn count(relay: &Relay, reason: &str) -> u64 {
    let line = format!("sse_relay_auth_refused_total{{reason=\"{reason}\"}} ");
    let scrape = relay.scrape();
    let found = scrape.lines().find_map(|text| text.strip_prefix(&line));
    found
        .expect("the reason is counted")
        .parse()
        .expect("a number")
}

#[test]
fn a_holder_sees_only_the_events_that_its_claims_leave() {
    let (relay, _folder) = start();
    let token = rsa(&backend());
    let of = |tenant: &str, data: &str| {
        let event = json!({"data": data, "attributes": {"tenant": tenant, "kind": data}});
        assert_eq!(publish(&relay, "orders.eu", &token, &event).status, 201);
    };
    of("c", "hidden-before");
    of("a", "seen-before");
    let mut all = relay.connect();
    let target = "/v1/events?channel=orders.*&from=earliest";
    all.send(support::request("GET", target, &[&token], b""));
    all.until("data: seen-before\n");
    let mut some = relay.connect();
    let target = "/v1/events?channel=orders.eu&filter.tenant=b&from=earliest";
    some.send(support::request("GET", target, &[&token], b""));
    some.until("retry: ");
    of("c", "hidden");
    of("a", "seen");
    of("b", "last");
    let heard = all.until("data: last\n");
    assert!(
        heard.contains("data: seen\n") && !heard.contains("hidden"),
        "{heard}"
    );
    let heard = some.until("data: last\n");
    assert!(
        !heard.contains("seen") && !heard.contains("hidden"),
        "{heard}"
    );
    for more in [
        "filter.tenant=c",
        "filter.tenant=a,c",
        "filter.tenant=a&filter.tenant=c",
    ] {
        let target = format!("/v1/events?channel=orders.eu&{more}");
        let answer = relay.request("GET", &target, &[&token], b"");
        assert_eq!(told(&answer), (403, "not-granted".to_owned()), "{more}");
    }
    let data = |query: &str| {
        let target = format!("/v1/channels/orders.eu/events?{query}");
        let answer = relay.request("GET", &target, &[&token], b"");
        let events = answer.json()["events"].as_array().unwrap().clone();
        let data = events
            .iter()
            .map(|event| event["data"].as_str().unwrap().to_owned());
        (data.collect::<Vec<_>>(), answer.json()["next"].clone())
    };
    assert_eq!(data("").0, ["seen-before", "seen", "last"]);
    let (page, next) = data("limit=1");
    assert!(
        page.is_empty() && next.is_string(),
        "the page goes on behind what is hidden"
    );
    let after = format!("after={}&limit=1", next.as_str().unwrap());
    assert_eq!(data(&after).0, ["seen-before"]);
}

#[test]
fn a_fixed_grant_takes_claims_and_they_cannot_widen_it() {
    let (relay, _folder) = start();
    let user = |subject: &str| {
        let claims = json!({"iss": "https://users.example", "sub": subject});
        sign(Algorithm::HS256, None, &claims)
    };
    let event = json!({"data": "x"});
    let ann = user("ann");
    assert_eq!(publish(&relay, "users.ann.inbox", &ann, &event).status, 201);
    let other = publish(&relay, "users.bob.inbox", &ann, &event);
    assert_eq!(told(&other), (403, "not-granted".to_owned()));
    for wide in ["*", "**", "ann.bob", "@subject", ""] {
        let answer = publish(&relay, "users.bob.inbox", &user(wide), &event);
        assert_eq!(told(&answer), (401, "unauthenticated".to_owned()), "{wide}");
    }
    // what the API server of a cluster issues, without any claim made for the relay
    let pod = json!({
        "aud": ["sse"], "exp": seconds() + 3600, "iat": seconds(), "nbf": seconds(),
        "iss": "https://kubernetes.default.svc", "jti": "7bb1e2f1-2c12-4f8c-8ea5-4ff4cd3ab1ee",
        "kubernetes.io": {"namespace": "shop", "pod": {"name": "api-0"}, "serviceaccount": {"name": "api"}},
        "sub": "system:serviceaccount:shop:api",
    });
    let pod = sign(Algorithm::HS256, None, &pod);
    assert_eq!(
        publish(&relay, "apps.shop.orders", &pod, &event).status,
        201
    );
    let other = publish(&relay, "apps.bank.orders", &pod, &event);
    assert_eq!(told(&other), (403, "not-granted".to_owned()));
}

#[test]
fn a_stream_ends_with_its_signed_token() {
    let (relay, _folder) = start();
    // half a minute of leeway and four seconds more
    let claims = with(backend(), &json!({"exp": seconds() - 26}));
    let mut stream = relay.connect();
    let token = rsa(&claims);
    let target = "/v1/events?channel=orders.eu";
    stream.send(support::request("GET", target, &[&token], b""));
    stream.until("event: expiring\n");
    let rest = String::from_utf8_lossy(&stream.rest()).into_owned();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[test]
fn a_relay_whose_keys_cannot_be_read_does_not_start_and_says_why() {
    let auth = auth(Path::new("/does/not/exist")).to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .env("SSE_RELAY_AUTH", auth)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("backends") && said.contains("/does/not/exist"),
        "{said}"
    );
}
