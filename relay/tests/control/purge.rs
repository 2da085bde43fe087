//! Channels whose events somebody drops.

use super::*;

fn purge(relay: &Relay, channel: &str) -> Value {
    let answer = delete(relay, &format!("/v1/channels/{channel}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn published(relay: &Relay, channel: &str, data: &str) -> String {
    let target = format!("/v1/channels/{channel}/events");
    let answer = relay.request("POST", &target, &[BACKEND], data.as_bytes());
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_purge_drops_history_and_tells_who_comes_back_and_streams_that_have_all_go_on() {
    let relay = relay();
    let mut live = open(&relay, "channel=orders.eu", &[ANN]);
    let first = published(&relay, "orders.eu", "one");
    publish(&relay, "orders.eu", "private");
    publish(&relay, "orders.us", "kept");
    live.until("data: private\n\n");
    let last = {
        let page = relay.request("GET", "/v1/channels/orders.eu/events", &[ANN], b"");
        page.json()["events"][1]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        purge(&relay, "orders.eu"),
        json!({"events": 2, "until": last})
    );
    let target = format!("/v1/channels/orders.eu/events?after={first}");
    let page = relay.request("GET", &target, &[ANN], b"").json();
    assert_eq!(page["events"], json!([]));
    assert_eq!(
        page["gap"],
        json!({"reason": "purged", "certain": true, "after": first, "until": last})
    );
    let mut back = open(
        &relay,
        &format!("channel=orders.*&lastEventId={first}"),
        &[ANN],
    );
    back.until("event: gap\ndata: {\"reason\":\"purged\",\"certain\":true,");
    let told = back.until("data: kept\n\n");
    assert!(told.contains(r#""channels":["orders.eu"]"#), "{told}");
    let all = open(&relay, "channel=orders.eu&from=earliest", &[ANN]);
    publish(&relay, "orders.eu", "next");
    for mut stream in [live, back, all] {
        let told = stream.until("data: next\n\n");
        assert!(!told.contains("gap") && !told.contains("private"), "{told}");
    }
    assert_eq!(
        purge(&relay, "never"),
        json!({"events": 0, "until": null}),
        "what is not there"
    );
    let scraped = relay.scrape();
    for line in [
        "sse_relay_purges_total 2\n",
        "sse_relay_events_purged_total 2\n",
        "sse_relay_gaps_total{reason=\"purged\"} 1\n",
    ] {
        assert!(scraped.contains(line), "{line} {scraped}");
    }
    let output = relay.output();
    let line = output
        .lines()
        .find(|line| line.contains("purged") && line.contains("orders.eu"));
    let line = line.expect("a line of the audit log");
    assert!(
        line.contains("operator") && line.contains("2 events dropped"),
        "{line}"
    );
}

#[test]
fn only_who_has_the_right_purges_and_a_refusal_drops_nothing() {
    let relay = relay();
    publish(&relay, "orders.eu", "x");
    let target = "/v1/channels/orders.eu";
    for (headers, status) in [(&[][..], 401), (&[ANN], 403), (&[BACKEND], 403)] {
        let refused = relay.request("DELETE", target, headers, b"");
        assert_eq!(refused.status, status);
    }
    let refused = delete(&relay, "/v1/channels/orders.eu?force=true");
    assert_eq!(refused.problem(), "invalid-query");
    let refused = delete(&relay, "/v1/channels/@subject%2Fann");
    assert_eq!(refused.problem(), "invalid-channel");
    let page = relay.request("GET", &format!("{target}/events"), &[ANN], b"");
    assert_eq!(page.json()["events"].as_array().unwrap().len(), 1);
}

#[test]
fn a_stream_that_is_owed_what_was_purged_is_closed_and_resumes_without_it() {
    let stream = json!({"maxQueueBytes": "64Mi"}).to_string();
    let env = [
        ("SSE_RELAY_AUTH", auth().to_string()),
        ("SSE_RELAY_STREAM", stream),
    ];
    let relay = Relay::start_with(&[(env[0].0, &env[0].1), (env[1].0, &env[1].1)], &[]);
    let first = published(&relay, "orders.eu", "one");
    // it does not read
    let mut slow = open(&relay, "channel=orders.eu", &[ANN]);
    let mut quick = open(&relay, "channel=orders.us", &[BOB]);
    let large = "x".repeat(500_000);
    let waiting = |relay: &Relay| {
        let streams = listed(relay, "subject=ann");
        streams[0]["queueBytes"].as_u64().unwrap()
    };
    let started = std::time::Instant::now();
    while waiting(&relay) < 1_000_000 {
        publish(&relay, "orders.eu", &large);
        assert!(started.elapsed() < support::LIMIT);
    }
    purge(&relay, "orders.eu");
    let line = "streams_closed_total{reason=\"purged\"} 1\n";
    while !relay.scrape().contains(line) {
        assert!(started.elapsed() < support::LIMIT, "{}", relay.scrape());
    }
    slow.rest();
    let mut back = open(
        &relay,
        &format!("channel=orders.eu&lastEventId={first}"),
        &[ANN],
    );
    back.until("event: gap\ndata: {\"reason\":\"purged\"");
    publish(&relay, "orders.us", "others feel nothing");
    quick.until("data: others feel nothing\n");
}

#[test]
fn a_purge_survives_a_restart_and_its_bytes_leave_the_disk() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    let args = ["--data-dir", data.to_str().unwrap()];
    let start = || Relay::start_with(&[("SSE_RELAY_AUTH", &auth().to_string())], &args);
    let relay = start();
    let first = published(&relay, "orders.eu", "one");
    publish(&relay, "orders.eu", "unforgettable");
    publish(&relay, "orders.us", "kept");
    let on_disk = |text: &str| {
        let files = std::fs::read_dir(&data).unwrap();
        files
            .filter_map(|file| std::fs::read(file.ok()?.path()).ok())
            .any(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    };
    assert!(on_disk("unforgettable"));
    purge(&relay, "orders.eu");
    let started = std::time::Instant::now();
    while on_disk("unforgettable") {
        assert!(started.elapsed() < support::LIMIT, "it is rewritten");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(on_disk("kept"));
    relay.stop();
    let relay = start();
    let mut back = open(
        &relay,
        &format!("channel=orders.*&lastEventId={first}"),
        &[ANN],
    );
    back.until("event: gap\ndata: {\"reason\":\"purged\",\"certain\":true,");
    back.until("data: kept\n\n");
}
