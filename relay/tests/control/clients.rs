//! Receivers that gave themselves a name.

use super::*;

fn client(relay: &Relay, name: &str) -> Option<Value> {
    let answer = relay.request("GET", "/v1/clients", &[OPERATOR], b"");
    let clients = answer.json()["clients"].take();
    let mut clients = clients.as_array().expect("a list").clone().into_iter();
    clients.find(|client| client["name"] == name)
}

fn wait_for(relay: &Relay, name: &str, expected: &Value) {
    let started = std::time::Instant::now();
    loop {
        let found = client(relay, name);
        if found.as_ref() == Some(expected) {
            return;
        }
        assert!(started.elapsed() < support::LIMIT, "{found:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn what_a_named_receiver_got_adds_up_over_streams_that_are_open_and_that_ended() {
    let relay = relay();
    let send = |kind: &str| {
        let kind = format!("Sse-Attribute: kind={kind}");
        let target = "/v1/channels/orders.eu/events";
        let answer = relay.request("POST", target, &[BACKEND, &kind], b"x");
        assert_eq!(answer.status, 201);
    };
    let query = "channel=orders.eu&client=web";
    let mut filtered = open(&relay, &format!("{query}&filter.kind=a"), &[ANN]);
    let mut all = open(&relay, query, &[ANN]);
    let _unnamed = open(&relay, "channel=orders.eu", &[ANN]);
    for kind in ["a", "b", "b"] {
        send(kind);
    }
    filtered.until("data: x\n");
    for _ in 0..3 {
        all.until("data: x\n");
    }
    let of = |connections: u32, delivered: u32| {
        json!({"name": "web", "connections": connections,
               "delivered": delivered, "filtered": 2, "dropped": 0})
    };
    wait_for(&relay, "web", &of(2, 4));
    drop(filtered);
    wait_for(&relay, "web", &of(1, 4));
    drop(all);
    wait_for(&relay, "web", &of(0, 4));
    let mut again = open(&relay, query, &[ANN]);
    send("b");
    again.until("data: x\n");
    wait_for(&relay, "web", &of(1, 5));
    assert_eq!(client(&relay, ""), None);
}
