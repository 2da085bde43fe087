//! The audit log.

use super::*;

const JSON: &str = "Content-Type: application/json";

fn lines(text: &str) -> Vec<Value> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

#[test]
fn every_use_of_power_and_every_denial_is_a_line_without_a_secret() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("audit.json");
    let settings = json!({"target": "file", "file": file}).to_string();
    let env = [
        ("SSE_RELAY_AUTH", auth().to_string()),
        ("SSE_RELAY_AUDIT", settings),
    ];
    let env = [(env[0].0, env[0].1.as_str()), (env[1].0, env[1].1.as_str())];
    let relay = Relay::start_with(&env, &[]);
    let post = |target: &str, headers: &[&str], body: &str| {
        relay
            .request("POST", target, headers, body.as_bytes())
            .json()
    };
    let minted = post("/v1/tickets", &[ANN, JSON], "{}");
    let _stream = open(
        &relay,
        &format!("ticket={}", minted["ticket"].as_str().unwrap()),
        &[],
    );
    let id = listed(&relay, "")[0]["id"].as_str().unwrap().to_owned();
    post(&format!("/v1/connections/{id}/events"), &[OPERATOR], "x");
    post("/v1/subjects/ann/events", &[OPERATOR], "x");
    post(&format!("/v1/connections/{id}/credential"), &[ANN], "");
    delete(&relay, "/v1/channels/orders.eu");
    delete(&relay, "/v1/connections?subject=ann");
    let revoked = post("/v1/revocations", &[OPERATOR, JSON], r#"{"subject":"ann"}"#);
    delete(
        &relay,
        &format!("/v1/revocations/{}", revoked["id"].as_str().unwrap()),
    );
    relay.request(
        "GET",
        "/v1/events?channel=orders.eu&_token=secret",
        &[],
        b"",
    );
    relay.request("POST", "/v1/channels/orders.eu/events", &[BOB], b"x");
    relay.request(
        "GET",
        "/v1/status",
        &["Authorization: Bearer wrong-secret"],
        b"",
    );
    let text = std::fs::read_to_string(&file).unwrap();
    let told: Vec<(String, String, String)> = lines(&text)
        .iter()
        .map(|line| {
            let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            assert!(field("address").starts_with("127.0.0.1:"), "{line}");
            (field("action"), field("token"), field("outcome"))
        })
        .collect();
    let expected = [
        ("ticket-minted", "page-ann", "minted"),
        ("ticket-used", "page-ann", "redeemed"),
        ("sent-to-stream", "operator", "delivered"),
        ("sent-to-subject", "operator", "published"),
        ("extended", "page-ann", ""),
        ("purged", "operator", "0 events dropped"),
        ("disconnected", "operator", "1 streams ended"),
        ("revoked", "operator", ""),
        ("restored", "operator", "restored"),
        ("denied", "", "missing"),
        ("denied", "page-bob", "not-granted"),
        ("denied", "", "unknown"),
    ];
    assert_eq!(told.len(), expected.len(), "{text}");
    for ((action, token, outcome), wanted) in told.iter().zip(expected) {
        assert_eq!(
            (action.as_str(), token.as_str()),
            (wanted.0, wanted.1),
            "{text}"
        );
        assert!(outcome.contains(wanted.2), "{outcome} {wanted:?}");
    }
    for secret in ["secret", "sseticket_"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_flood_of_denials_is_a_few_lines_and_a_count() {
    let relay = relay();
    for _ in 0..100 {
        relay.request("GET", "/v1/status", &[], b"");
    }
    let started = std::time::Instant::now();
    while !relay.output().contains("more requests were denied") {
        assert!(started.elapsed() < support::LIMIT, "{}", relay.output());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_file_that_is_renamed_is_opened_anew_and_no_line_is_lost() {
    let folder = tempfile::TempDir::new().unwrap();
    let (file, old) = (
        folder.path().join("audit.json"),
        folder.path().join("audit.json.1"),
    );
    let settings = json!({"target": "file", "file": file}).to_string();
    let auth = auth().to_string();
    let env = [("SSE_RELAY_AUTH", &*auth), ("SSE_RELAY_AUDIT", &*settings)];
    let relay = Relay::start_with(&env, &[]);
    delete(&relay, "/v1/channels/first");
    std::fs::rename(&file, &old).unwrap();
    let started = std::time::Instant::now();
    let mut sent = 1;
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("purged")) {
        assert!(started.elapsed() < support::LIMIT, "it is not opened anew");
        delete(&relay, "/v1/channels/next");
        sent += 1;
    }
    let text = |path| lines(&std::fs::read_to_string(path).unwrap());
    assert_eq!(text(&old)[0]["target"], "first");
    assert_eq!(text(&old).len() + text(&file).len(), sent);
}
