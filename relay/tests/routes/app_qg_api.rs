//! `examples/routes/app-qg-api.yaml`.

use super::example::{Example, events_until, last, text, without_ids};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

const FRONT: &str = "Authorization: Bearer front";

fn start() -> Example {
    let yaml = text("app-qg-api.yaml").replace("interval: 5s", "interval: 1s");
    let front =
        json!({"name": "front", "sha256": sse_relay::auth::hash_of("front"), "subscribe": ["qg"]});
    let other =
        json!({"name": "other", "sha256": sse_relay::auth::hash_of("other"), "subscribe": ["x"]});
    Example::start(&yaml, json!({"tokens": [front, other]}))
}

/// A block's data without what is the time.
fn untimed(block: &str) -> Value {
    let mut data: Value = serde_json::from_str(last(block, "data")).unwrap();
    let time = data["timestamp"].take();
    let time = time.as_str().unwrap();
    assert!(
        time.len() == "2026-01-13T17:00:00.123456+00:00".len() && time.ends_with("+00:00"),
        "{time}"
    );
    data
}

#[test]
fn events_are_named_wrapped_and_chosen_by_their_names() {
    let example = start();
    let mut chosen = example.stream(
        "/qg/live?events=vehicle_status_update&events=new_incident&x=1",
        &[FRONT],
    );
    let mut all = example.stream("/events", &[FRONT]);
    let connected = chosen.body_until("\n\n");
    assert!(without_ids(&connected).starts_with("event: connected\ndata: {\"event\": \"connected\", \"data\": {\"topics\": [\"new_incident\", \"vehicle_status_update\"]}, \"timestamp\": \"20"), "{connected}");
    let everything = all.body_until("\n\n");
    assert_eq!(untimed(&everything)["data"], json!({"topics": ["all"]}));
    for (name, data) in [
        ("assignment_request", json!({"n": 1})),
        (
            "new_incident",
            json!({"incident": {"id": "é"}, "declared_by": null}),
        ),
    ] {
        example.publish("qg", &json!({"event": name, "data": data}));
    }
    let event = events_until(&mut chosen, "\n\n");
    let text = without_ids(&event);
    assert!(text.starts_with("event: new_incident\ndata: {\"event\": \"new_incident\", \"data\": {\"declared_by\": null, \"incident\": {\"id\": \"\\u00e9\"}}, \"timestamp\": \"20"), "{text}");
    let both = all.body_until("new_incident\n");
    assert!(both.contains("event: assignment_request\n"), "{both}");
    // nothing comes for a while
    let idle = chosen.body_until("event: heartbeat\n");
    let idle = format!(
        "{idle}{}",
        if idle.ends_with("\n\n") {
            String::new()
        } else {
            chosen.body_until("\n\n")
        }
    );
    assert_eq!(
        untimed(&idle)["data"]["topics"],
        json!(["new_incident", "vehicle_status_update"])
    );
}

#[test]
fn who_was_away_gets_what_came_meanwhile_with_the_time_it_had() {
    let example = start();
    let mut stream = example.stream("/qg/live", &[FRONT]);
    let connected = stream.body_until("\n\n");
    example.publish("qg", &json!({"event": "new_incident", "data": 1}));
    let live = stream.body_until("new_incident\"");
    let header = format!("Last-Event-ID: {}", last(&connected, "id"));
    let mut again = example.stream("/qg/live", &[FRONT, &header]);
    let missed = again.body_until("new_incident\"");
    assert_eq!(last(&missed, "data"), last(&live, "data"));
    assert_eq!(last(&missed, "id"), last(&live, "id"));
}

#[test]
fn refusals_have_the_words_that_they_had() {
    let example = start();
    for (headers, status, detail) in [
        (&[][..], 401, "Missing bearer token"),
        (
            &["Authorization: Bearer wrong"],
            401,
            "Invalid bearer token",
        ),
        (
            &["Authorization: Bearer other"],
            403,
            "Insufficient permissions",
        ),
    ] {
        let answer = example.relay.request("GET", "/qg/live", headers, b"");
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.starts_with(detail), "{told}");
        assert!(answer.header("www-authenticate").is_some());
    }
    assert_eq!(example.relay.get("/health").json(), json!({"status": "ok"}));
}

/// A token as Keycloak makes them, but for its signature, which is made with a secret.
fn signed(secret: &[u8], roles: &[&str]) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "https://keycloak.example.com/realms/sdmis", "aud": ["qg-live", "account"], "sub": "u1",
        "exp": jiff::Timestamp::now().as_second() + 600, "realm_access": {"roles": roles},
    });
    let text = format!("{}.{}", part(json!({"alg": "HS256"})), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn keycloaks_roles_say_who_may() {
    let folder = tempfile::TempDir::new().unwrap();
    let (secret, file) = ([7_u8; 32], folder.path().join("secret"));
    std::fs::write(&file, secret).unwrap();
    let published = "jwks:\n        url: https://keycloak.example.com/realms/sdmis/protocol/openid-connect/certs";
    let yaml = text("app-qg-api.yaml");
    assert!(yaml.contains(published));
    let known = format!("keys:\n        - secretFile: {}", file.display());
    let example = Example::start_as_it_is(&yaml.replace(published, &known));
    for (roles, status) in [
        (&["default-roles-sdmis", "qg-operator"][..], 200),
        (&["qg-vehicles"], 200),
        (&["qg-operators", "admin"], 403),
        (&[], 403),
    ] {
        let header = format!("Authorization: Bearer {}", signed(&secret, roles));
        let (_stream, head) = example.open("/qg/live", &[&header]);
        assert_eq!(head.status, status, "{roles:?}");
    }
    let forged = format!(
        "Authorization: Bearer {}",
        signed(&[8; 32], &["qg-operator"])
    );
    assert_eq!(example.open("/qg/live", &[&forged]).1.status, 401);
}

/// How many events were dropped because their streams were too slow.
fn dropped(example: &Example) -> usize {
    let scraped = example.relay.scrape();
    let name = "sse_relay_events_dropped_total{reason=\"overflow\"} ";
    let mut lines = scraped.lines();
    let count = lines.find_map(|line| line.strip_prefix(name));
    count.map_or(0, |count| count.parse::<f64>().unwrap() as usize)
}

/// The number in the next block; `None` in a sign of life.
fn next_number(stream: &mut crate::support::Connection) -> Option<u64> {
    let block = String::from_utf8(stream.chunk()).unwrap();
    assert!(!block.is_empty(), "it is not closed");
    block.contains("event: vehicle_position_update\n").then(|| {
        let data: Value = serde_json::from_str(last(&block, "data")).unwrap();
        data["data"]["n"].as_u64().unwrap()
    })
}

#[test]
fn a_page_that_reads_too_slowly_keeps_the_oldest_and_what_it_loses_is_counted() {
    let yaml = text("app-qg-api.yaml");
    assert!(
        yaml.contains("overflow: dropNewest"),
        "drop_newest, as before"
    );
    let front =
        json!({"name": "front", "sha256": sse_relay::auth::hash_of("front"), "subscribe": ["qg"]});
    let example = Example::start(
        &format!("{yaml}\nstream: {{maxQueueBytes: 128Ki}}\n"),
        json!({"tokens": [front]}),
    );
    let mut slow = example.stream("/qg/live", &[FRONT]);
    let padding = "x".repeat(50_000);
    let publish = |n: usize| {
        let data = json!({"n": n, "padding": padding});
        let event = json!({"event": "vehicle_position_update", "data": data});
        example.publish("qg", &event);
    };
    let mut published = 0;
    while dropped(&example) < 10 {
        assert!(published < 2000, "sockets do not take so much");
        (published..published + 10).for_each(publish);
        published += 10;
    }
    let mut numbers = Vec::new();
    while numbers.len() + dropped(&example) < published {
        numbers.extend(next_number(&mut slow));
    }
    assert_eq!(numbers[0], 0, "the oldest");
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order");
    publish(published);
    let next = loop {
        if let Some(number) = next_number(&mut slow) {
            break number;
        }
    };
    assert_eq!(next, published as u64, "it goes on");
    let told = example.relay.scrape();
    assert!(!told.contains("sse_relay_gaps_total{reason=\"overflow\"} 0\n"));
}
