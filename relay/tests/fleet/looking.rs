//! Lists and figures of all replicas.

use super::*;
use std::time::Duration;

fn ids(page: &Value) -> Vec<String> {
    let rows = page["connections"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_replica_shows_the_streams_of_all_in_pages() {
    let server = Server::start();
    let relays: [Relay; 3] = relays(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let mut streams = Vec::new();
    for (number, relay) in relays.iter().cycle().take(7).enumerate() {
        let who = if number % 2 == 0 { ANN } else { BOB };
        let query = format!("channel=orders.eu&client=c{}", number % 4);
        streams.push(open(relay, &query, &[who]));
    }
    let mut opened: Vec<String> = streams.iter().map(|(_, id)| id.clone()).collect();
    opened.sort();
    for relay in &relays {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(relay, &format!("/v1/connections?limit=2{after}")).json();
            assert_eq!(page["unanswered"], json!([]));
            assert!(ids(&page).len() <= 2);
            all.extend(ids(&page));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        all.sort();
        assert_eq!(all, opened, "each once");
        let ann = get(relay, "/v1/connections?subject=ann").json();
        assert_eq!(ids(&ann).len(), 4);
        let first = get(relay, "/v1/clients?limit=3").json();
        let counts: Vec<_> = first["clients"].as_array().unwrap().iter().collect();
        let named = |index: usize| (&counts[index]["name"], &counts[index]["connections"]);
        assert_eq!(named(0), (&json!("c0"), &json!(2)));
        let last = get(relay, "/v1/clients?after=c2").json();
        assert_eq!(
            (&first["next"], &last["next"]),
            (&json!("c2"), &Value::Null)
        );
        assert_eq!(last["clients"][0]["connections"], 1);
        publish(relay, "orders.eu", "x");
        let channel = get(relay, "/v1/channels/orders.eu").json();
        assert_eq!(channel["streams"], 7);
        let channels = get(relay, "/v1/channels").json();
        assert_eq!(channels["channels"][0]["streams"], 7);
        until("the sum of all replicas", || {
            (get(relay, "/v1/status").json()["streams"] == 7).then_some(())
        });
    }
}

#[test]
fn waiting_for_an_empty_channel_waits_for_streams_of_other_replicas_too() {
    let server = Server::start();
    let [one, two] = relays(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let (stream, _) = open(&two, "channel=orders.eu", &[ANN]);
    let waiting = one.connect();
    waiting
        .socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut waiting = waiting;
    let target = "/v1/channels/orders.eu?wait=empty";
    waiting.send(support::request("GET", target, &[OPERATOR], b""));
    assert_eq!(get(&one, "/v1/channels/orders.eu").json()["streams"], 1);
    drop(stream);
    assert_eq!(waiting.answer().json()["streams"], 0);
}

#[test]
fn a_replica_that_was_killed_is_named_and_then_gone() {
    let server = Server::start();
    let [one, two, three] = relays(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    let (_stays, here) = open(&one, "channel=orders.eu", &[ANN]);
    let (_dies, there) = open(&two, "channel=orders.eu", &[ANN]);
    let dead = there.split('-').next().unwrap().to_owned();
    let killed = std::time::Instant::now();
    two.signal(rustix::process::Signal::KILL);
    let page = get(&three, "/v1/connections").json();
    assert_eq!(ids(&page), [here.as_str()]);
    assert_eq!(
        page["unanswered"],
        json!([dead]),
        "never a list that is silently short"
    );
    let ended = one.request("DELETE", "/v1/connections?client=nobody", &[OPERATOR], b"");
    assert_eq!(ended.status, 202);
    assert_eq!(
        ended.json(),
        json!({"ended": 0, "confirmed": 2, "replicas": 3})
    );
    for relay in [&one, &three] {
        until("a fleet without the dead one", || {
            let status = get(relay, "/v1/status").json();
            (status["replicas"].as_array()?.len() == 2).then_some(())
        });
        let page = get(relay, "/v1/connections").json();
        assert_eq!((ids(&page).len(), &page["unanswered"]), (1, &json!([])));
    }
    assert!(
        killed.elapsed() < Duration::from_secs(15),
        "{:?}",
        killed.elapsed()
    );
    let ended = one.request(
        "DELETE",
        &format!("/v1/connections/{there}"),
        &[OPERATOR],
        b"",
    );
    assert_eq!(ended.json()["ended"], 0);
    // who ends well is gone at once
    assert!(three.stop().success());
    until_known(&[&one], 1);
    let scraped = one.scrape();
    assert!(
        scraped.contains("sse_relay_fleet_asks_total{outcome=\"unanswered\"}"),
        "{scraped}"
    );
}
