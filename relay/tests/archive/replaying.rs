//! `sse-relay archive replay`.

use super::*;
use std::process::{Command, Output};

fn replay(relay: &Relay, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args(["archive", "replay"])
        .args(args)
        .args(["--url", &format!("http://{}", relay.public)])
        .env_remove("SSE_RELAY_TOKEN")
        .output()
        .expect("the program starts")
}

#[test]
fn a_range_is_published_again_with_all_that_its_events_have() {
    let server = Server::start();
    let relay = relay(&server, &[("SSE_RELAY_RETENTION__EVENTS", "20")]);
    let ids = publish_slowly(&relay, &server, "a", 0..60, 10);
    let mut copy = relay.subscribe("channel=copy&filter.n=5,59");
    let whole = replay(
        &relay,
        &["a", "--to", "copy", "--from", "2026-01-01T00:00:00Z"],
    );
    let said = String::from_utf8_lossy(&whole.stderr).into_owned();
    assert!(
        whole.status.success() && said.contains("60 events published"),
        "{said}"
    );
    assert_eq!(
        seen_until(&mut copy, "59"),
        ["5", "59"],
        "with their attributes"
    );
    let rest = replay(
        &relay,
        &["a", "--to", "rest", "--after", &ids[39], "--speed", "1000"],
    );
    assert!(rest.status.success(), "{rest:?}");
    let mut stream = relay.subscribe("channel=rest&from=earliest");
    assert_eq!(seen_until(&mut stream, "59"), numbers(40..60));
}

#[test]
fn a_wrong_use_or_a_relay_that_refuses_is_told() {
    let server = Server::start();
    let relay = relay(&server, &[]);
    let cases: [(&[&str], i32); 4] = [
        (&["a", "--to", "b"], 2),
        (&["a", "--to", "b", "--from", "yesterday"], 2),
        (
            &[
                "a",
                "--to",
                "b",
                "--from",
                "2026-01-01T00:00:00Z",
                "--speed",
                "0",
            ],
            2,
        ),
        (&["a", "--to", "b", "--after", "no-id"], 3),
    ];
    for (args, code) in cases {
        let output = replay(&relay, args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    }
}
