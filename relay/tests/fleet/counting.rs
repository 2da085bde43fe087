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
