//! Orders for streams of other replicas.

use super::*;

fn on_one_server(server: &Server) -> [Relay; 3] {
    relays(&[("SSE_RELAY_REDIS__URL", &server.url())])
}

#[test]
fn streams_end_at_all_replicas_whichever_is_asked() {
    let server = Server::start();
    let [one, two, three] = on_one_server(&server);
    let streams = [&one, &two, &three].map(|relay| open(relay, "channel=orders.eu", &[ANN]));
    let (mut bob, _) = open(&two, "channel=orders.eu", &[BOB]);
    let ended = one.request("DELETE", "/v1/connections?subject=ann", &[OPERATOR], b"");
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(
        ended.json(),
        json!({"ended": 3, "confirmed": 3, "replicas": 3})
    );
    for (stream, _) in streams {
        assert!(rest(stream).contains(r#"{"reason":"disconnected"}"#));
    }
    publish(&three, "orders.eu", "for bob");
    bob.until("data: for bob\n");
}

#[test]
fn one_stream_is_reached_by_its_id_from_every_replica() {
    let server = Server::start();
    let [one, two, three] = on_one_server(&server);
    let (mut stream, id) = open(&two, "channel=orders.eu", &[ANN]);
    for (relay, text) in [(&one, "a"), (&two, "b"), (&three, "c")] {
        let sent = post(
            relay,
            &format!("/v1/connections/{id}/events"),
            &json!({"data": text}),
        );
        assert_eq!(sent.json(), json!({"delivered": true}), "{sent:?}");
        stream.until(&format!("data: {text}\n"));
    }
    let extend = format!("/v1/connections/{id}/credential");
    let extended = one.request("POST", &extend, &[ANN], b"");
    assert_eq!(
        (extended.status, extended.json()),
        (200, json!({"expires": null}))
    );
    assert_eq!(three.request("POST", &extend, &[BOB], b"").status, 403);
    let ended = three.request("DELETE", &format!("/v1/connections/{id}"), &[OPERATOR], b"");
    assert_eq!(
        ended.json(),
        json!({"ended": 1, "confirmed": 1, "replicas": 1})
    );
    assert!(rest(stream).contains(r#"{"reason":"disconnected"}"#));
    let gone = post(
        &one,
        &format!("/v1/connections/{id}/events"),
        &json!({"data": "x"}),
    );
    assert_eq!(gone.json(), json!({"delivered": false, "reason": "gone"}));
    assert_eq!(one.request("POST", &extend, &[ANN], b"").status, 404);
    // a replica that never was
    let gone = post(
        &one,
        "/v1/connections/zzzzzzzz-1/events",
        &json!({"data": "x"}),
    );
    assert_eq!(gone.json(), json!({"delivered": false, "reason": "gone"}));
}

#[test]
fn a_revocation_is_in_force_at_all_replicas_once_it_is_answered() {
    let server = Server::start();
    let [one, two, three] = on_one_server(&server);
    let (ann, _) = open(&two, "channel=orders.eu", &[ANN]);
    let made = post(&one, "/v1/revocations", &json!({"subject": "ann"}));
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    assert_eq!(
        [&made["ended"], &made["confirmed"], &made["replicas"]],
        [&json!(1), &json!(3), &json!(3)]
    );
    assert!(rest(ann).contains(r#"{"reason":"revoked"}"#));
    let refused = |relay: &Relay| {
        let target = "/v1/events?channel=orders.eu";
        relay.request("HEAD", target, &[ANN], b"").status == 401
    };
    for relay in [&one, &two, &three] {
        assert!(refused(relay));
        let listed = get(relay, "/v1/revocations").json();
        assert_eq!(listed["revocations"].as_array().unwrap().len(), 1);
    }
    let late = relay_on(&[("SSE_RELAY_REDIS__URL", &server.url())]);
    until("the revocation at a replica that began later", || {
        refused(&late).then_some(())
    });
    let id = made["id"].as_str().unwrap();
    let back = two.request("DELETE", &format!("/v1/revocations/{id}"), &[OPERATOR], b"");
    assert_eq!(back.status, 204);
    for relay in [&one, &two, &three, &late] {
        assert!(!refused(relay));
    }
}

#[test]
fn a_cluster_carries_orders_as_one_server_does() {
    let cluster = Cluster::start();
    let nodes = serde_json::to_string(&cluster.nodes()).unwrap();
    let [one, two] = relays(&[("SSE_RELAY_REDIS__CLUSTER__NODES", &nodes)]);
    let (mut ann, id) = open(&two, "channel=orders.eu", &[ANN]);
    let sent = post(
        &one,
        &format!("/v1/connections/{id}/events"),
        &json!({"data": "x"}),
    );
    assert_eq!(sent.json(), json!({"delivered": true}), "{sent:?}");
    ann.until("data: x\n");
    let listed = get(&one, "/v1/connections").json();
    assert_eq!(listed["connections"][0]["id"], id.as_str());
    let made = post(&one, "/v1/revocations", &json!({"subject": "ann"})).json();
    assert_eq!([&made["ended"], &made["confirmed"]], [&json!(1), &json!(2)]);
    assert!(rest(ann).contains(r#"{"reason":"revoked"}"#));
}
