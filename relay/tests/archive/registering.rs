//! Who received, and what they got.

use super::*;

/// A drain that waits for nobody.
const AT_ONCE: [(&str, &str); 2] = [
    ("SSE_RELAY_DRAIN__PROPAGATION", "0s"),
    ("SSE_RELAY_DRAIN__WINDOW", "0s"),
];

fn rows(server: &Server, which: &str) -> Vec<String> {
    server.execute(&format!(
        "SELECT name, address, channels, ended IS NOT NULL, delivered, filtered FROM sse_relay.clients WHERE {which} ORDER BY connected"
    ))
}

#[test]
fn streams_of_named_receivers_are_written_down_with_what_they_got() {
    let server = Server::start();
    let relay = relay(&server, &AT_ONCE);
    let mut web = relay.subscribe("channel=a&channel=b.*&client=web%27%3B--&filter.n=1,2");
    let mut anonymous = relay.subscribe("channel=a");
    publish(&relay, "a", 0..3);
    assert_eq!(seen_until(&mut web, "2"), numbers(1..3));
    assert_eq!(seen_until(&mut anonymous, "2"), numbers(0..3));
    let open = "web';--|127.0.0.1|{a,b.*}|f|2|1".to_owned();
    until("what it got so far", || {
        let rows = server
            .try_execute(
                postgres::DATABASE,
                "SELECT 1 FROM sse_relay.clients WHERE delivered = 2",
            )
            .ok()?;
        (!rows.is_empty()).then_some(())
    });
    assert_eq!(rows(&server, "true"), [open]);
    drop(web);
    until("its end", || {
        (rows(&server, "ended IS NOT NULL").len() == 1).then_some(())
    });
    let last = relay.subscribe("channel=a&client=last");
    assert!(relay.stop().success());
    assert_eq!(
        rows(&server, "name = 'last'"),
        ["last|127.0.0.1|{a}|t|0|0"],
        "the end of the process ends it"
    );
    drop(last);
}

#[test]
fn nobody_is_written_down_where_that_is_turned_off() {
    let server = Server::start();
    let env = [&AT_ONCE[..], &[("SSE_RELAY_ARCHIVE__CLIENTS", "false")]].concat();
    let relay = relay(&server, &env);
    let _web = relay.subscribe("channel=a&client=web");
    publish(&relay, "a", 0..1);
    archived(&server, "a", 1);
    assert!(relay.stop().success());
    assert_eq!(rows(&server, "true").len(), 0);
}

#[test]
fn a_receiver_is_written_down_with_whom_it_belongs_to_and_since_when() {
    let server = Server::start();
    let auth = serde_json::json!({
        "anonymous": {"publish": ["**"]},
        "tokens": [{
            "name": "phone",
            "sha256": sse_relay::auth::hash_of("phone-secret"),
            "subject": "ann",
            "subscribe": ["**"],
        }],
    });
    let auth = auth.to_string();
    let env = [&AT_ONCE[..], &[("SSE_RELAY_AUTH", &auth)]].concat();
    let relay = relay(&server, &env);
    let headers = ["Authorization: Bearer phone-secret"];
    let request = support::request("GET", "/v1/events?channel=a&client=phone", &headers, b"");
    let mut stream = relay.connect();
    let request = String::from_utf8(request).expect("text");
    stream.send(request.replace("Connection: close\r\n", ""));
    assert_eq!(stream.head().status, 200);
    stream.body_until("id: ");
    publish(&relay, "a", 0..2);
    assert_eq!(seen_until(&mut stream, "1"), numbers(0..2));
    let written = "SELECT subject, connected <= seen, replica <> '', delivered, dropped \
                   FROM sse_relay.clients WHERE name = 'phone' AND delivered = 2";
    until("a row", || {
        let rows = server.try_execute(postgres::DATABASE, written).ok()?;
        (rows == ["ann|t|t|2|0"]).then_some(())
    });
}

#[test]
fn what_a_slow_receiver_did_not_get_is_counted_with_it() {
    let server = Server::start();
    let more = [
        ("SSE_RELAY_STREAM__MAX_QUEUE_BYTES", "64Ki"),
        ("SSE_RELAY_STREAM__OVERFLOW", "dropOldest"),
    ];
    let relay = relay(&server, &[&AT_ONCE[..], &more].concat());
    let mut slow = relay.subscribe("channel=a&client=slow");
    slow.body_until("id: ");
    // it reads nothing more: what neither the sockets nor the relay keep for it is dropped
    let large = "x".repeat(100_000);
    let mut published = 0;
    while figure(
        &relay,
        "sse_relay_events_dropped_total{reason=\"overflow\"}",
    ) == 0.0
    {
        assert!(published < 1_000, "sockets take all of it");
        relay.publish("a", &large);
        published += 1;
    }
    relay.publish("a", "last");
    published += 1;
    let seen = seen_until(&mut slow, "last");
    let got = seen.iter().filter(|text| !text.starts_with("gap:")).count();
    assert!(got < published, "{got} of {published}");
    let counted = "SELECT delivered, dropped FROM sse_relay.clients WHERE name = 'slow'";
    let expected = format!("{got}|{}", published - got);
    until("a row that counts them", || {
        let rows = server.try_execute(postgres::DATABASE, counted).ok()?;
        (rows == [expected.as_str()]).then_some(())
    });
}
