//! Streams that go on with a new token.

use super::*;
use sse_relay::auth::jwt::sign::SigningKey;
use std::time::SystemTime;

const SECRET: [u8; 32] = [7; 32];

fn start(folder: &tempfile::TempDir) -> Relay {
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).expect("it can be written");
    let mut auth = auth();
    auth["jwt"] = json!([{"name": "id", "issuer": "https://id.example", "audience": ["sse"], "leeway": "0s",
        "keys": [{"secretFile": file}], "claims": {"subscribe": "channels", "subject": "sub"}}]);
    Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[])
}

/// A token of a subject, for channels, that ends in so many seconds.
fn bearer(subject: &str, channels: &str, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let claims = json!({"iss": "https://id.example", "aud": "sse", "sub": subject, "channels": channels,
        "exp": now.expect("after 1970").as_secs() + seconds});
    let key = SigningKey::new(relay_config::Algorithm::HS256, &SECRET).expect("a key");
    let claims = claims.as_object().expect("claims");
    let token = key.sign(None, claims).expect("signed");
    format!("Authorization: Bearer {token}")
}

fn extend(relay: &Relay, id: &str, headers: &[&str]) -> Answer {
    let target = format!("/v1/connections/{id}/credential");
    relay.request("POST", &target, headers, b"")
}

#[test]
fn a_stream_lives_until_the_end_of_the_new_token() {
    let folder = tempfile::TempDir::new().unwrap();
    let relay = start(&folder);
    let mut stream = open(
        &relay,
        "channel=orders.eu",
        &[&bearer("ann", "orders.*", 4)],
    );
    let mut other = open(
        &relay,
        "channel=orders.eu",
        &[&bearer("ann", "orders.*", 4)],
    );
    let streams = listed(&relay, "subject=ann");
    let id = streams[0]["id"].as_str().unwrap();
    stream.until("event: expiring\n");
    let extended = extend(&relay, id, &[&bearer("ann", "orders.**", 3600)]);
    assert_eq!(extended.status, 200, "{extended:?}");
    let until = extended.json()["expires"].as_str().unwrap().to_owned();
    let shorter = extend(&relay, id, &[&bearer("ann", "orders.**", 60)]);
    assert_eq!(shorter.json()["expires"], until, "never shorter");
    let rest = String::from_utf8(other.rest()).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "it was not extended: {rest}");
    publish(&relay, "orders.eu", "goes on");
    stream.until("data: goes on\n");
}

#[test]
fn nobody_else_extends_a_stream_and_nothing_less_does() {
    let folder = tempfile::TempDir::new().unwrap();
    let relay = start(&folder);
    let _stream = open(
        &relay,
        "channel=orders.eu",
        &[&bearer("ann", "orders.*", 600)],
    );
    let streams = listed(&relay, "subject=ann");
    let id = streams[0]["id"].as_str().unwrap();
    for (header, status) in [
        (bearer("bob", "orders.*", 3600), 403),
        (bearer("ann", "orders.us", 3600), 403),
        (ANN.to_owned(), 403),
        ("Authorization: Bearer forged".to_owned(), 401),
        ("X-Nothing: x".to_owned(), 401),
    ] {
        let answer = extend(&relay, id, &[&header]);
        assert_eq!(answer.status, status, "{header}: {answer:?}");
    }
    let gone = extend(&relay, "x-1", &[&bearer("ann", "orders.*", 3600)]);
    assert_eq!((gone.status, gone.problem()), (404, "not-found".into()));
}
