//! The keys that issuers publish (JWKS), against the real relay: fetched, renewed, kept, missed.

#![allow(clippy::unwrap_used)]

#[path = "published_keys/publisher.rs"]
mod publisher;
mod support;

use publisher::{Pair, Publisher, Reply, set};
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};
use support::{Answer, LIMIT, Relay};
use tempfile::TempDir;

fn relay(jwks: &Value) -> Relay {
    let auth = json!({
        "tokens": [{"name": "static", "sha256": sse_relay::auth::hash_of("static"), "publish": ["**"]}],
        "jwt": [{"name": "id", "issuer": "https://id.example", "jwks": jwks,
                 "grant": {"publish": ["**"], "subscribe": ["**"]}}],
    });
    Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[])
}

fn token(pair: &Pair) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let exp = now.unwrap().as_secs() + 600;
    pair.bearer(&json!({"iss": "https://id.example", "exp": exp, "sub": "ann"}))
}

fn publish(relay: &Relay, token: &str) -> Answer {
    relay.request("POST", "/v1/channels/c/events", &[token], b"x")
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

/// Asks until something holds.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn fetches(relay: &Relay, result: &str) -> u64 {
    let line = format!("sse_relay_jwks_fetches_total{{result=\"{result}\"}} ");
    let scrape = relay.scrape();
    let found = scrape.lines().find_map(|text| text.strip_prefix(&line));
    found.unwrap().parse().unwrap()
}

#[test]
fn keys_are_rotated_under_open_streams() {
    let (old, new) = (Pair::new("old"), Pair::new("new"));
    let publisher = Publisher::start(Reply::Set(set(&[&old])));
    let relay = relay(&json!({"url": publisher.url(), "cooldown": "1s", "refresh": "1d"}));
    until("the first keys", || {
        (publish(&relay, &token(&old)).status == 201).then_some(())
    });
    let mut stream = relay.connect();
    let target = "/v1/events?channel=c";
    stream.send(support::request("GET", target, &[&token(&old)], b""));
    stream.until("retry: ");
    publisher.reply(Reply::Set(set(&[&new])));
    // a token with an unknown key has the set fetched anew, once the cooldown is over
    until("the new key", || {
        let answer = publish(&relay, &token(&new));
        match answer.status {
            201 => Some(()),
            _ => {
                assert_eq!(told(&answer), (401, "unauthenticated".to_owned()));
                None
            }
        }
    });
    assert_eq!(publish(&relay, &token(&old)).status, 401, "it is gone");
    stream.until("data: x\n");
    assert_eq!(publish(&relay, &token(&new)).status, 201);
    stream.until("data: x\n");
    let mut fresh = relay.connect();
    fresh.send(support::request("GET", target, &[&token(&new)], b""));
    fresh.until("retry: ");
}

#[test]
fn a_subscribe_waits_for_the_first_keys() {
    let pair = Pair::new("a");
    let publisher = Publisher::start(Reply::Set(set(&[&pair])));
    publisher.hold();
    let relay = relay(&json!({"url": publisher.url(), "timeout": "20s"}));
    let mut stream = relay.connect();
    stream.send(support::request(
        "GET",
        "/v1/events?channel=c",
        &[&token(&pair)],
        b"",
    ));
    until("the relay asks", || (publisher.asked() == 1).then_some(()));
    publisher.release();
    stream.until("retry: ");
    assert_eq!(publish(&relay, &token(&pair)).status, 201);
    stream.until("data: x\n");
    assert_eq!(publisher.asked(), 1, "who waits does not ask again");
}

#[test]
fn a_relay_starts_without_keys_says_so_and_refuses_nobody_for_it() {
    let pair = Pair::new("a");
    let publisher = Publisher::start(Reply::Status(500));
    let relay = relay(&json!({"url": publisher.url(), "refresh": "1s"}));
    let unavailable = until("the first failure", || {
        (fetches(&relay, "status") > 0).then(|| publish(&relay, &token(&pair)))
    });
    assert_eq!(told(&unavailable), (503, "auth-unavailable".to_owned()));
    assert!(unavailable.header("retry-after").is_some());
    let stream = relay.request("GET", "/v1/events?channel=c", &[&token(&pair)], b"");
    assert_eq!(told(&stream), (503, "auth-unavailable".to_owned()));
    assert!(relay.scrape().contains("sse_relay_jwks_missing 1\n"));
    assert!(relay.output().contains("jwks.failed"), "{}", relay.output());
    let known = publish(&relay, "Authorization: Bearer static");
    assert_eq!(known.status, 201, "others do not suffer");
    publisher.reply(Reply::Set(set(&[&pair])));
    until("the keys", || {
        let answer = publish(&relay, &token(&pair));
        match answer.status {
            201 => Some(()),
            _ => {
                assert_eq!(told(&answer), (503, "auth-unavailable".to_owned()));
                None
            }
        }
    });
    assert!(relay.scrape().contains("sse_relay_jwks_missing 0\n"));
}

#[test]
fn the_last_good_keys_are_kept_whatever_comes_instead() {
    let pair = Pair::new("a");
    let publisher = Publisher::start(Reply::Set(set(&[&pair])));
    let relay = relay(&json!({"url": publisher.url(), "refresh": "1s", "timeout": "1s"}));
    until("the first keys", || {
        (publish(&relay, &token(&pair)).status == 201).then_some(())
    });
    for (reply, result) in [
        (Reply::Status(404), "status"),
        (Reply::Status(302), "status"),
        (Reply::Huge, "too-large"),
        (Reply::Set("<html>".to_owned()), "malformed"),
        (Reply::Set(json!({"keys": []}).to_string()), "no-keys"),
        (Reply::Never, "timeout"),
        (Reply::Slowly(set(&[&pair])), "timeout"),
        (Reply::Drop, "connection"),
    ] {
        let before = fetches(&relay, result);
        publisher.reply(reply);
        until(result, || (fetches(&relay, result) > before).then_some(()));
        assert_eq!(publish(&relay, &token(&pair)).status, 201, "{result}");
    }
}

#[test]
fn unknown_keys_do_not_make_the_relay_ask_without_end() {
    let pair = Pair::new("a");
    let publisher = Publisher::start(Reply::Set(set(&[&pair])));
    let relay = relay(&json!({"url": publisher.url(), "cooldown": "1h", "refresh": "1d"}));
    until("the first keys", || {
        (publish(&relay, &token(&pair)).status == 201).then_some(())
    });
    for n in 0..50 {
        let stranger = Pair::new(&format!("stranger-{n}"));
        let answer = publish(&relay, &token(&stranger));
        assert_eq!(told(&answer), (401, "unauthenticated".to_owned()));
    }
    // who pretends to have a key that there is does not either
    let forger = Pair::new("a");
    assert_eq!(publish(&relay, &token(&forger)).status, 401);
    assert_eq!(publisher.asked(), 1);
}

#[test]
fn a_file_of_keys_is_read_anew_when_it_has_changed() {
    let (old, new) = (Pair::new("old"), Pair::new("new"));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let relay = relay(&json!({"file": file}));
    let missing = until("the first look", || {
        (fetches(&relay, "unreadable") > 0).then(|| publish(&relay, &token(&old)))
    });
    assert_eq!(told(&missing), (503, "auth-unavailable".to_owned()));
    // as a Secret's mount changes: all at once
    let replace = |set: String| {
        let next = folder.path().join("next");
        fs::write(&next, set).unwrap();
        fs::rename(&next, &file).unwrap();
    };
    for pair in [&old, &new] {
        replace(set(&[pair]));
        until(&pair.id, || {
            (publish(&relay, &token(pair)).status == 201).then_some(())
        });
    }
    assert_eq!(publish(&relay, &token(&old)).status, 401);
    replace("half a".to_owned());
    let before = fetches(&relay, "malformed");
    until("the broken file", || {
        (fetches(&relay, "malformed") > before).then_some(())
    });
    assert_eq!(publish(&relay, &token(&new)).status, 201);
}
