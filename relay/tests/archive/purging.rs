//! What is purged is gone from the archive too.

use super::*;

#[test]
fn a_purge_empties_the_archive_as_well() {
    let server = Server::start();
    let relay = relay(&server, &[("SSE_RELAY_RETENTION__EVENTS", "5")]);
    let ids = publish_slowly(&relay, &server, "a", 0..40, 5);
    publish_slowly(&relay, &server, "b", 0..10, 5);
    let answer = relay.request("DELETE", "/v1/channels/a", &[], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["events"], 40);
    assert_eq!(texts(&server, "a").len(), 0);
    assert_eq!(texts(&server, "b").len(), 10);
    publish_slowly(&relay, &server, "a", 40..60, 5);
    let (texts, gap) = history(&relay, "a", &format!("after={}", ids[0]));
    assert_eq!(
        (texts, gap.is_some()),
        (numbers(40..60), true),
        "what was purged is told as a gap"
    );
}

#[test]
fn what_is_purged_before_it_was_written_is_never_written() {
    let mut server = Server::start();
    let relay = relay(&server, &[]);
    publish_slowly(&relay, &server, "a", 0..5, 5);
    // the writer has read it, but cannot write it
    server.execute(
        "ALTER TABLE sse_relay.events ADD CONSTRAINT late CHECK (channel <> 'b') NOT VALID",
    );
    publish(&relay, "b", 0..5);
    until("a failure", || {
        let failures = "sse_relay_archive_failures_total{operation=\"write\"}";
        (figure(&relay, failures) >= 1.0).then_some(())
    });
    until("a purge", || {
        let answer = relay.request("DELETE", "/v1/channels/b", &[], b"");
        (answer.status == 200).then_some(())
    });
    server.execute("ALTER TABLE sse_relay.events DROP CONSTRAINT late");
    publish(&relay, "c", 0..5);
    archived(&server, "c", 5);
    assert_eq!(texts(&server, "b").len(), 0);
    server.stop();
    let answer = relay.request("DELETE", "/v1/channels/a", &[], b"");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "unavailable")
    );
    server.run();
    until("a purge", || {
        let answer = relay.request("DELETE", "/v1/channels/a", &[], b"");
        (answer.status == 200).then_some(())
    });
    assert_eq!(texts(&server, "a").len(), 0);
}
