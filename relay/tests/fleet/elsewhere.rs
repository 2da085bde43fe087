//! Tickets, limits and lists on other than one plain Redis: where slots move, primaries change, and on
//! other releases.

use super::*;
use sse_relay::redis::Slot;

/// Streams that a subject may have.
const MAX: usize = 6;

fn limited(redis: &[(&str, &str)]) -> [Relay; 2] {
    let limits = json!({"perSubject": {"streams": MAX}}).to_string();
    let own = [("SSE_RELAY_LIMITS", limits.as_str())];
    relays(&[&own, redis].concat())
}

/// Asks again while replicas cannot be reached, as the answer says.
fn asked(what: &str, mut ask: impl FnMut() -> Answer) -> Answer {
    until(what, || Some(ask()).filter(|answer| answer.status != 503))
}

/// A stream, unless it is refused for good.
fn stream(relay: &Relay, query: &str, headers: &[&str]) -> Result<Connection, u16> {
    let target = format!("/v1/events?{query}");
    until("an answer to a subscriber", || {
        let mut stream = relay.connect();
        stream.send(support::request("GET", &target, headers, b""));
        match stream.head().status {
            200 => Some(Ok(stream)),
            503 => None,
            status => Some(Err(status)),
        }
    })
}

/// Until a replica shows so many streams, of all that live.
fn until_listed(relay: &Relay, count: usize) {
    until("a list of all streams", || {
        let answer = relay.request("GET", "/v1/connections", &[OPERATOR], b"");
        let page = (answer.status == 200).then(|| answer.json())?;
        let all = page["connections"].as_array()?.len() == count;
        (all && page["unanswered"] == json!([])).then_some(())
    });
}

/// What replicas do together, with something that happens to Redis in between.
fn all_of_it([one, two]: &[Relay; 2], mut meanwhile: impl FnMut()) {
    let made = asked("a ticket", || {
        one.request("POST", "/v1/tickets", &[ANN, JSON], b"{}")
    });
    assert_eq!(made.status, 201, "{made:?}");
    let ticket = made.json()["ticket"].as_str().unwrap().to_owned();
    let query = format!("channel=orders.eu&ticket={ticket}");
    meanwhile();
    let first = stream(two, &query, &["User-Agent: a"]).unwrap();
    meanwhile();
    let other = stream(one, &query, &["User-Agent: b"]);
    assert_eq!(other.err(), Some(401), "another client");
    until_listed(one, 1);
    // its own client comes back to another replica
    let second = stream(one, &query, &["User-Agent: a"]).unwrap();
    assert!(rest(first).contains(r#"{"reason":"replaced"}"#));
    meanwhile();
    until_listed(two, 1);

    let mut streams = vec![second];
    let ann = |relay: &Relay| stream(relay, "channel=orders.eu", &[ANN]);
    until("as many streams as may be", || {
        streams.extend(ann(one));
        (streams.len() == MAX).then_some(())
    });
    meanwhile();
    let before = streams.len();
    until("another replica that has been told", || match ann(two) {
        Ok(stream) => {
            streams.push(stream);
            None
        }
        Err(status) => {
            assert_eq!(status, 429);
            Some(())
        }
    });
    // an even share of what it did not know to be used
    assert!(streams.len() <= before + MAX / 2, "{}", streams.len());
    until_listed(one, streams.len());
    meanwhile();
    drop(streams);
    let mut streams = Vec::new();
    until("as many streams as may be, at the other replica", || {
        streams.extend(ann(two));
        (streams.len() == MAX).then_some(())
    });
}

#[test]
fn tickets_limits_and_lists_hold_on_a_cluster_whose_slots_move() {
    let cluster = Cluster::start();
    let nodes = serde_json::to_string(&cluster.nodes()).unwrap();
    let relays = limited(&[("SSE_RELAY_REDIS__CLUSTER__NODES", &nodes)]);
    let slot = Slot::of(b"sse-relay:{fleet}:x").number();
    all_of_it(&relays, || {
        let now = cluster.owner(slot).unwrap();
        cluster.move_slot(slot, (now + 1) % 3);
    });
}

#[test]
fn tickets_limits_and_lists_hold_when_sentinels_make_another_primary() {
    let sentinels = Sentinels::start();
    let nodes = serde_json::to_string(&sentinels.nodes()).unwrap();
    let relays = limited(&[
        ("SSE_RELAY_REDIS__SENTINEL__SERVICE", SERVICE),
        ("SSE_RELAY_REDIS__SENTINEL__NODES", &nodes),
        (
            "SSE_RELAY_REDIS__SENTINEL__CREDENTIALS__PASSWORD_VARIABLE",
            "SENTINEL_PASSWORD",
        ),
        ("SENTINEL_PASSWORD", SENTINEL_PASSWORD),
    ]);
    all_of_it(&relays, || {
        // what only the old primary has is lost, also what it takes until it is told
        sentinels.until_in_step();
        sentinels.fail_over();
        sentinels.until_in_step();
    });
}

#[test]
fn tickets_limits_and_lists_hold_on_every_release() {
    for (name, program) in releases() {
        if name.starts_with("redis-6") {
            continue; // it is refused
        }
        println!("{name}");
        let server = Server::start_program(program, &[]);
        let relays = limited(&[("SSE_RELAY_REDIS__URL", &server.url())]);
        all_of_it(&relays, || {});
    }
}
