//! Credentials that are refused before they end.

use super::*;

const JSON: &str = "Content-Type: application/json";

fn revoke(relay: &Relay, body: &Value) -> Answer {
    let body = body.to_string();
    relay.request(
        "POST",
        "/v1/revocations",
        &[OPERATOR, JSON],
        body.as_bytes(),
    )
}

fn is_refused(relay: &Relay, headers: &[&str]) -> bool {
    let answer = relay.request("HEAD", "/v1/events?channel=orders.eu", headers, b"");
    match answer.status {
        200 => false,
        401 => true,
        _ => panic!("{answer:?}"),
    }
}

#[test]
fn a_revoked_subjects_streams_end_its_return_is_refused_and_others_feel_nothing() {
    let relay = relay();
    let mut ann = open(&relay, "channel=orders.eu", &[ANN]);
    let mut bob = open(&relay, "channel=orders.eu", &[BOB]);
    // a connection that was used before, so that hyper has it
    let mut used = relay.connect();
    used.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(used.answer().status, 200);
    let made = revoke(&relay, &json!({"subject": "ann"})).json();
    assert_eq!(
        (&made["ended"], &made["subject"]),
        (&json!(1), &json!("ann"))
    );
    let told = String::from_utf8(ann.rest()).unwrap();
    assert!(
        told.contains("event: end\ndata: {\"reason\":\"revoked\"}\n\n"),
        "{told}"
    );
    let again = format!("GET /v1/events?channel=orders.eu HTTP/1.1\r\nHost: x\r\n{ANN}\r\n\r\n");
    let mut fresh = relay.connect();
    for connection in [&mut fresh, &mut used] {
        connection.send(&again);
        let refused = connection.answer();
        assert_eq!(
            (refused.status, refused.problem()),
            (401, "unauthenticated".into())
        );
        assert!(refused.json()["detail"].to_string().contains("revoked"));
    }
    publish(&relay, "orders.eu", "for bob");
    bob.until("data: for bob\n");
    assert!(!is_refused(&relay, &[BOB]));
    let metrics = relay.scrape();
    for line in [
        "streams_closed_total{reason=\"revoked\"} 1\n",
        "auth_refused_total{reason=\"revoked\"} 2\n",
        "sse_relay_revocations 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[test]
fn a_token_is_revoked_by_its_name_listed_and_taken_back() {
    let relay = relay();
    let made = revoke(
        &relay,
        &json!({"token": "backend", "until": "2099-01-01T00:00:00Z"}),
    )
    .json();
    assert_eq!(made["until"], "2099-01-01T00:00:00.000Z");
    let target = "/v1/channels/orders.eu/events";
    let refused = relay.request("POST", target, &[BACKEND], b"x");
    assert_eq!(refused.status, 401);
    revoke(&relay, &json!({"subject": "ann"}));
    let list = relay
        .request("GET", "/v1/revocations?limit=1", &[OPERATOR], b"")
        .json();
    let next = list["next"].as_str().unwrap();
    let rest = format!("/v1/revocations?after={next}");
    let rest = relay.request("GET", &rest, &[OPERATOR], b"").json();
    assert_eq!(list["revocations"][0]["id"], next);
    assert_eq!(
        (
            &rest["revocations"].as_array().unwrap().len(),
            &rest["next"]
        ),
        (&1, &Value::Null)
    );
    let id = made["id"].as_str().unwrap();
    let back = format!("/v1/revocations/{id}");
    for _ in 0..2 {
        assert_eq!(delete(&relay, &back).status, 204);
    }
    publish(&relay, "orders.eu", "again");
    assert!(is_refused(&relay, &[ANN]), "the other one holds");
}

#[test]
fn a_signed_token_is_revoked_by_its_id() {
    use sse_relay::auth::jwt::sign::SigningKey;
    let (folder, secret) = (tempfile::TempDir::new().unwrap(), [7; 32]);
    let file = folder.path().join("secret");
    std::fs::write(&file, secret).unwrap();
    let mut auth = auth();
    auth["jwt"] = json!([{"name": "id", "issuer": "https://id.example", "audience": ["sse"],
        "keys": [{"secretFile": file}], "grant": {"subscribe": ["orders.**"]}}]);
    let relay = Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[]);
    let bearer = |id: &str| {
        let claims = json!({"iss": "https://id.example", "aud": "sse", "sub": "ann", "jti": id,
            "exp": 4_000_000_000_u64});
        let key = SigningKey::new(relay_config::Algorithm::HS256, &secret).unwrap();
        let token = key.sign(None, claims.as_object().unwrap()).unwrap();
        format!("Authorization: Bearer {token}")
    };
    let (one, other) = (bearer("one"), bearer("other"));
    let mut revoked = open(&relay, "channel=orders.eu", &[&one]);
    let mut stays = open(&relay, "channel=orders.eu", &[&other]);
    assert_eq!(revoke(&relay, &json!({"jti": "one"})).json()["ended"], 1);
    revoked.until("\"revoked\"");
    publish(&relay, "orders.eu", "goes on");
    stays.until("data: goes on\n");
    assert!(is_refused(&relay, &[&one]) && !is_refused(&relay, &[&other]));
}

#[test]
fn a_revocation_ends_at_its_time() {
    let relay = relay();
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    let made = revoke(
        &relay,
        &json!({"subject": "ann", "until": until.to_string()}),
    );
    assert_eq!(made.status, 200, "{made:?}");
    let started = std::time::Instant::now();
    let mut refused = 0;
    while is_refused(&relay, &[ANN]) {
        refused += 1;
        assert!(started.elapsed() < support::LIMIT);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(refused > 0);
}

#[test]
fn whoever_opens_a_stream_in_that_moment_does_not_keep_it() {
    let relay = relay();
    std::thread::scope(|scope| {
        let opening = || {
            for _ in 0..200 {
                let mut connection = relay.connect();
                // through hyper: the stream opens after it was allowed
                connection.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
                connection.answer();
                connection.send(format!(
                    "GET /v1/events?channel=orders.eu HTTP/1.1\r\nHost: x\r\n{ANN}\r\n\r\n"
                ));
                if connection.head().status == 401 {
                    return;
                }
                // must end by itself, or with the revocation
                scope.spawn(move || connection.rest());
            }
        };
        let openers = [scope.spawn(opening), scope.spawn(opening)];
        while listed(&relay, "subject=ann").len() < 5 {}
        assert_eq!(revoke(&relay, &json!({"subject": "ann"})).status, 200);
        openers
            .into_iter()
            .for_each(|opener| opener.join().unwrap());
    });
    assert_eq!(listed(&relay, "subject=ann").len(), 0);
}

#[test]
fn what_is_not_understood_revokes_nobody() {
    let relay = relay();
    for (body, kind) in [
        (json!({}), "invalid-json"),
        (json!([]), "invalid-json"),
        (json!({"subject": ""}), "invalid-json"),
        (
            json!({"subject": "ann", "token": "backend"}),
            "invalid-json",
        ),
        (json!({"subjet": "ann"}), "invalid-json"),
        (json!({"token": "Backend"}), "invalid-json"),
        (json!({"token": "backend-secret"}), "invalid-json"),
        (
            json!({"subject": "ann", "until": "tomorrow"}),
            "invalid-json",
        ),
        (
            json!({"subject": "ann", "until": "2026-01-01T00:00:00Z"}),
            "invalid-json",
        ),
    ] {
        let answer = revoke(&relay, &body);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, kind),
            "{body}"
        );
    }
    let form = relay.request(
        "POST",
        "/v1/revocations",
        &[OPERATOR],
        b"{\"subject\":\"ann\"}",
    );
    assert_eq!(form.status, 415);
    for (headers, status) in [(&[JSON][..], 401), (&[JSON, BACKEND][..], 403)] {
        for method in ["GET", "POST"] {
            let answer =
                relay.request(method, "/v1/revocations", headers, b"{\"subject\":\"ann\"}");
            assert_eq!(answer.status, status, "{method} {headers:?}");
        }
    }
    assert!(relay.scrape().contains("sse_relay_revocations 0\n"));
}

#[test]
fn past_the_bound_a_revocation_is_refused_and_says_so() {
    let relay = Relay::start_with(
        &[
            ("SSE_RELAY_AUTH", &auth().to_string()),
            ("SSE_RELAY_REVOCATIONS__MAX", "1"),
        ],
        &[],
    );
    assert_eq!(revoke(&relay, &json!({"subject": "ann"})).status, 200);
    let full = revoke(&relay, &json!({"subject": "bob"}));
    assert_eq!(
        (full.status, full.problem()),
        (503, "too-many-revocations".into())
    );
    assert!(!is_refused(&relay, &[BOB]) && is_refused(&relay, &[ANN]));
}
