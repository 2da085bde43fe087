//! A replica that loses touch with the others, and a Redis that is away.

use super::*;
use crate::servers::Proxy;

fn revoke(relay: &Relay, subject: &str) -> Answer {
    post(relay, "/v1/revocations", &json!({"subject": subject}))
}

fn refused(relay: &Relay, header: &str) -> bool {
    let target = "/v1/events?channel=orders.eu";
    relay.request("HEAD", target, &[header], b"").status == 401
}

fn until_in_touch(relay: &Relay, wanted: u8) {
    until("a replica that knows whether it is in touch", || {
        let line = format!("sse_relay_fleet_in_touch {wanted}\n");
        relay.scrape().contains(&line).then_some(())
    });
}

#[test]
fn a_revocation_is_in_force_before_a_replica_that_was_cut_off_delivers_again() {
    let server = Server::start();
    let proxy = Proxy::start(server.port);
    let one = relay_on(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let cut = relay_on(&[("SSE_RELAY_REDIS__URL", &proxy.url())]);
    until_known(&[&one, &cut], 2);
    let (ann, _) = open(&cut, "channel=orders.eu", &[ANN]);
    let (mut bob, _) = open(&cut, "channel=orders.eu&degraded=true", &[BOB]);
    proxy.cut_both_ways();
    let made = revoke(&one, "ann");
    assert_eq!(made.status, 202, "{made:?}");
    let made = made.json();
    assert_eq!(
        [&made["confirmed"], &made["replicas"]],
        [&json!(1), &json!(2)]
    );
    publish(&one, "orders.eu", "secret");
    until_in_touch(&cut, 0);
    assert!(!refused(&cut, ANN), "it cannot know");
    let current = |relay| get(relay, "/v1/revocations").json()["current"].clone();
    assert_eq!([current(&cut), current(&one)], [false, true], "and says so");
    // who comes now is held
    let mut late = cut.connect();
    late.send(support::request(
        "GET",
        "/v1/events?channel=orders.eu&from=earliest",
        &[ANN],
        b"",
    ));
    // the log, too, has noticed: what its old connection still brings is not delivered
    bob.until("event: degraded\n");
    proxy.mend();
    bob.until("data: secret\n");
    until_in_touch(&cut, 1);
    assert!(refused(&cut, ANN));
    assert_eq!(current(&cut), true);
    let told = rest(ann);
    assert!(
        told.contains(r#"{"reason":"revoked"}"#) && !told.contains("secret"),
        "{told}"
    );
    assert!(!String::from_utf8(late.rest()).unwrap().contains("secret"));
}

#[test]
fn while_redis_is_away_each_answer_says_what_was_not_done() {
    let mut server = Server::start();
    let redis = [("SSE_RELAY_REDIS__URL", server.url())];
    let redis = redis
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let [one, two] = relays(&redis);
    let (ann, there) = open(&two, "channel=orders.eu", &[ANN]);
    let first = revoke(&one, "carl").json();
    server.kill();
    until_in_touch(&one, 0);
    let made = revoke(&one, "ann");
    assert_eq!(made.status, 202, "{made:?}");
    let made = made.json();
    assert_eq!(
        [&made["confirmed"], &made["replicas"]],
        [&json!(1), &json!(2)]
    );
    assert!(refused(&one, ANN), "it is in force here");
    let back = format!("/v1/revocations/{}", first["id"].as_str().unwrap());
    let back = one.request("DELETE", &back, &[OPERATOR], b"");
    assert_eq!(
        (back.status, back.problem().as_str()),
        (503, "replicas-unavailable")
    );
    assert!(back.header("retry-after").is_some());
    let sent = post(
        &one,
        &format!("/v1/connections/{there}/events"),
        &json!({"data": "x"}),
    );
    assert_eq!(
        (sent.status, sent.problem().as_str()),
        (503, "replicas-unavailable")
    );
    let dead = there.split('-').next().unwrap();
    for list in ["/v1/connections", "/v1/clients", "/v1/status"] {
        assert_eq!(
            get(&one, list).json()["unanswered"],
            json!([dead]),
            "{list}"
        );
    }
    let ended = one.request("DELETE", "/v1/connections?subject=ann", &[OPERATOR], b"");
    assert_eq!(
        (ended.status, ended.json()["confirmed"].as_u64()),
        (202, Some(1))
    );
    // it comes back empty: what replicas know is put back, what only one knows is spread
    server.restart();
    assert!(rest(ann).contains(r#"{"reason":"revoked"}"#));
    let late = relay_on(&redis);
    for relay in [&one, &two, &late] {
        until("both revocations", || {
            let listed = get(relay, "/v1/revocations").json();
            (listed["revocations"].as_array()?.len() == 2).then_some(())
        });
        assert!(refused(relay, ANN));
    }
}
