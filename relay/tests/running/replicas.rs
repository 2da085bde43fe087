//! `redis.minReplicasAck`: a publish is answered when so many replicas of Redis have it.

use crate::{
    http,
    servers::{Server, releases, until},
    subscriber::Subscriber,
    support::{Answer, Relay, request},
};

/// A primary and its replica.
fn pair(program: &str) -> (Server, Server) {
    let primary = Server::start_program(program, &[]);
    let of = format!("127.0.0.1 {}", primary.port);
    let replica = Server::start_program(program, &[("replicaof", &of)]);
    until("a replica that is in step", || {
        let info = primary.cli(&["INFO", "replication"]);
        info.contains("state=online").then_some(())
    });
    (primary, replica)
}

fn relay(primary: &Server, replicas: &str) -> Relay {
    let settings = [
        ("SSE_RELAY_REDIS__URL", primary.url()),
        ("SSE_RELAY_REDIS__MIN_REPLICAS_ACK", replicas.to_owned()),
    ];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    Relay::start_with(&settings, &[])
}

/// Until it is not refused for want of a connection.
fn publish(relay: &Relay, data: &str) -> http::Answer {
    until("an answer of Redis", || {
        let answer = http::publish(relay.public, "a", data, data).unwrap();
        (answer.problem() != "unavailable").then_some(answer)
    })
}

#[test]
fn a_publish_that_no_replica_has_is_told_with_its_id_and_a_repeat_waits_again() {
    for (name, program) in releases().filter(|(name, _)| !name.starts_with("redis-6")) {
        let (primary, replica) = pair(&program);
        let relay = relay(&primary, "1");
        until("a publish that the replica has", || {
            (publish(&relay, "1").status < 300).then_some(())
        });
        replica.freeze();
        let missed = publish(&relay, "2");
        assert_eq!(
            (missed.status, missed.problem()),
            (503, "not-replicated"),
            "{name}"
        );
        let detail = missed.body["detail"].as_str().unwrap();
        assert!(
            detail.contains("0 of 1") && detail.contains("Idempotency-Key"),
            "{detail}"
        );
        let id = missed.id().to_owned();
        let again = publish(&relay, "2");
        assert_eq!(
            (again.problem(), again.id()),
            ("not-replicated", id.as_str()),
            "{name}"
        );
        replica.thaw();
        let repeat = until("the replica to catch up", || {
            let answer = publish(&relay, "2");
            (answer.status == 200).then_some(answer)
        });
        assert_eq!(repeat.id(), id, "{name}: it was published once");
        let mut subscriber = Subscriber::new(relay.public, "channel=a&from=earliest");
        subscriber.read_soon(|subscriber| subscriber.events.len() >= 2);
        let data: Vec<&str> = subscriber
            .events
            .iter()
            .map(|(_, data)| data.as_str())
            .collect();
        assert_eq!(data, ["1", "2"], "{name}");
    }
}

#[test]
fn a_batch_that_no_replica_has_is_told_with_all_its_ids() {
    let (primary, _replica) = pair("redis-server");
    let relay = relay(&primary, "2");
    let headers = ["Content-Type: application/x-ndjson"];
    let lines = b"{\"data\":\"1\"}\n{\"data\":\"2\"}\n";
    // A replica on a busy machine may be late, so that none has it yet: that is told too.
    let answer: Answer = until("an answer that counts the replica there is", || {
        let mut connection = relay.connect();
        connection.send(request("POST", "/v1/channels/a/events", &headers, lines));
        let answer = connection.answer();
        if answer.problem() == "unavailable" {
            return None;
        }
        assert_eq!(answer.problem(), "not-replicated");
        let counted = answer.json()["detail"].as_str()?.contains("1 of 2");
        counted.then_some(answer)
    });
    assert_eq!(answer.json()["ids"].as_array().unwrap().len(), 2);
}

#[test]
fn publishes_that_wait_at_the_same_time_share_a_question() {
    const PUBLISHES: usize = 16;
    let (primary, replica) = pair("redis-server");
    let relay = relay(&primary, "1");
    until("a publish that the replica has", || {
        (publish(&relay, "0").status < 300).then_some(())
    });
    replica.freeze();
    primary.cli(&["CONFIG", "RESETSTAT"]);
    std::thread::scope(|scope| {
        for number in 0..PUBLISHES {
            let relay = &relay;
            scope.spawn(move || {
                let channel = format!("c{number}");
                let answer = http::publish(relay.public, &channel, "x", &channel).unwrap();
                assert_eq!(answer.problem(), "not-replicated", "{answer:?}");
            });
        }
    });
    let stats = primary.cli(&["INFO", "commandstats"]);
    let waits = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_wait:calls="));
    let waits: usize = waits.unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(
        waits < PUBLISHES,
        "{waits} questions for {PUBLISHES} publishes"
    );
}
