//! Streams that somebody ends.

use super::*;

#[test]
fn streams_are_listed_and_ended_by_whom_they_belong_to_and_others_feel_nothing() {
    let relay = relay();
    let mut ann = open(&relay, "channel=orders.eu&client=web", &[ANN]);
    let mut bob = open(&relay, "channel=orders.*&client=app", &[BOB]);
    let _nobody = open(&relay, "channel=public.a", &[]);
    for (query, expected) in [
        ("subject=ann", vec!["page-ann"]),
        ("client=app", vec!["page-bob"]),
        ("token=page-ann", vec!["page-ann"]),
        ("channel=orders.eu", vec!["page-ann", "page-bob"]),
        ("channel=orders.eu&subject=bob", vec!["page-bob"]),
        ("address=127.0.0.1&token=page-bob", vec!["page-bob"]),
        ("address=127.0.0.2", vec![]),
    ] {
        let tokens: Vec<_> = listed(&relay, query)
            .iter()
            .map(|stream| stream["token"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(tokens, expected, "{query}");
    }
    let [nobody] = &listed(&relay, "channel=public.a")[..] else {
        panic!("one stream")
    };
    assert_eq!(
        (&nobody["subject"], &nobody["credential"], &nobody["token"]),
        (&Value::Null, &json!("anonymous"), &Value::Null)
    );
    let ended = delete(&relay, "/v1/connections?subject=ann&channel=orders.eu");
    assert_eq!(
        (ended.status, ended.json()),
        (200, json!({"ended": 1, "confirmed": 1, "replicas": 1}))
    );
    let told = String::from_utf8(ann.rest()).unwrap();
    assert!(
        told.contains("event: end\ndata: {\"reason\":\"disconnected\"}\n\n"),
        "{told}"
    );
    assert!(
        told.contains("retry: ") && told.ends_with("0\r\n\r\n"),
        "{told}"
    );
    publish(&relay, "orders.eu", "still there");
    bob.until("data: still there\n");
    let line = "streams_closed_total{reason=\"disconnected\"} 1\n";
    assert!(relay.scrape().contains(line));
}

#[test]
fn one_stream_is_ended_by_its_id_and_may_come_back() {
    let relay = relay();
    let mut ann = open(&relay, "channel=orders.eu", &[ANN]);
    let id = listed(&relay, "")[0]["id"].as_str().unwrap().to_owned();
    let target = format!("/v1/connections/{id}");
    assert_eq!(
        delete(&relay, &target).json(),
        json!({"ended": 1, "confirmed": 1, "replicas": 1})
    );
    ann.until("\"disconnected\"");
    assert_eq!(
        delete(&relay, &target).json(),
        json!({"ended": 0, "confirmed": 1, "replicas": 1}),
        "gone"
    );
    for other in ["x", "x-1", "%FF", "..%2F"] {
        let answer = delete(&relay, &format!("/v1/connections/{other}"));
        assert_ne!(answer.status, 500, "{answer:?}");
    }
    open(&relay, "channel=orders.eu", &[ANN]);
}

#[test]
fn a_stream_that_another_carries_ends_whole() {
    let relay = relay();
    let mut old = relay.connect();
    old.send(format!(
        "GET /v1/events?channel=orders.eu HTTP/1.0\r\n{ANN}\r\n\r\n"
    ));
    old.until("retry: ");
    assert_eq!(
        delete(&relay, "/v1/connections?subject=ann").json(),
        json!({"ended": 1, "confirmed": 1, "replicas": 1})
    );
    let told = String::from_utf8(old.rest()).unwrap();
    assert!(
        told.ends_with("{\"reason\":\"disconnected\"}\n\n"),
        "{told}"
    );
}

#[test]
fn a_stream_whose_client_does_not_read_is_ended_all_the_same() {
    let relay = relay();
    let _stuck = open(&relay, "channel=orders.eu", &[ANN]);
    let big = "x".repeat(500_000);
    for _ in 0..50 {
        publish(&relay, "orders.eu", &big);
        let streams = listed(&relay, "subject=ann");
        if streams[0]["queueBytes"].as_u64() > Some(0) {
            break;
        }
    }
    let ended = delete(&relay, "/v1/connections?subject=ann");
    assert_eq!(
        ended.json(),
        json!({"ended": 1, "confirmed": 1, "replicas": 1})
    );
    assert_eq!(listed(&relay, "subject=ann"), [Value::Null; 0]);
}

#[test]
fn only_the_entitled_end_streams_and_never_all_by_mistake() {
    let relay = relay();
    let _ann = open(&relay, "channel=orders.eu", &[ANN]);
    for target in ["/v1/connections?subject=ann", "/v1/connections/x-1"] {
        for (headers, status) in [(&[][..], 401), (&[BACKEND][..], 403), (&[ANN][..], 403)] {
            let answer = relay.request("DELETE", target, headers, b"");
            assert_eq!(answer.status, status, "{target} {headers:?}");
        }
    }
    for wrong in [
        "",
        "?",
        "?_=1",
        "?subject=",
        "?subject=ann&subject=bob",
        "?user=ann",
    ] {
        let answer = delete(&relay, &format!("/v1/connections{wrong}"));
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "invalid-query".into()),
            "{wrong}"
        );
    }
    assert_eq!(listed(&relay, "").len(), 1);
}
