//! Streams of a route are counted at all replicas.

use super::*;

#[test]
fn a_heartbeat_of_a_route_counts_the_streams_of_all_replicas() {
    let server = Server::start();
    let beat = json!([{"event": "heartbeat"}, {"json": "{\"clients\":${clients}}"}]);
    let routes = json!([{
        "paths": ["/live"],
        "channels": ["orders.eu"],
        "dialect": {"heartbeat": {"interval": "1s", "frame": beat}},
    }]);
    let relays: [Relay; 2] = relays(&[
        ("SSE_RELAY_REDIS__URL", &server.url()),
        ("SSE_RELAY_ROUTES", &routes.to_string()),
    ]);
    let mut streams = [&relays[0], &relays[1], &relays[1]].map(|relay| {
        let mut stream = relay.connect();
        let head = "GET /live HTTP/1.1\r\nHost: localhost\r\n".to_owned();
        stream.send(format!("{head}{ANN}\r\n\r\n"));
        assert_eq!(stream.head().status, 200);
        stream
    });
    for stream in &mut streams {
        stream.until("data: {\"clients\":3}\n");
    }
    let [first, _, third] = streams;
    drop(first);
    let mut third = third;
    third.until("data: {\"clients\":2}\n");
}

#[test]
fn the_status_of_a_route_lists_the_streams_of_all_replicas() {
    let server = Server::start();
    let status = "{\"n\": ${clients}, \"ids\": ${clients.ids}, \"chose\": ${clients.filters}, \"first\": ${clients.oldest:unix}, \"last\": ${clients.newest:unix}}";
    let routes = json!([{
        "paths": ["/live"],
        "channels": ["orders.eu"],
        "filters": [{"parameter": "site", "value": "${data.site}"}],
        "dialect": {"greeting": [[{"event": "hello"}, {"data": "${client.id}"}]]},
        "status": {"paths": ["/live/status"], "json": status},
    }]);
    let relays: [Relay; 2] = relays(&[
        ("SSE_RELAY_REDIS__URL", &server.url()),
        ("SSE_RELAY_ROUTES", &routes.to_string()),
    ]);
    let mut streams = Vec::new();
    let mut ids = Vec::new();
    for (relay, site) in [(&relays[0], "a"), (&relays[1], "b"), (&relays[1], "c")] {
        let mut stream = relay.connect();
        let head = format!("GET /live?site={site} HTTP/1.1\r\nHost: localhost\r\n");
        stream.send(format!("{head}{ANN}\r\n\r\n"));
        assert_eq!(stream.head().status, 200);
        let hello = stream.body_until("data: ");
        let id = hello.lines().find_map(|line| line.strip_prefix("data: "));
        ids.push((id.unwrap().to_owned(), site));
        streams.push(stream);
    }
    for relay in &relays {
        // the count of the others is a moment old
        let told = until("all of them", || {
            let told = relay.request("GET", "/live/status", &[ANN], b"").json();
            (told["n"] == 3 && told["ids"].as_array().unwrap().len() == 3).then_some(told)
        });
        let listed: Vec<&str> = ids.iter().map(|(id, _)| &**id).collect();
        assert_eq!(
            told["ids"],
            json!(listed),
            "in the order in which they opened"
        );
        for (id, site) in &ids {
            assert_eq!(told["chose"][id], json!({"site": [site]}));
        }
        assert!(told["first"].as_f64() <= told["last"].as_f64(), "{told}");
    }
}
