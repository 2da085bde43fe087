//! What replicas have in common.

use crate::{fleet::Fleet, http, servers::Server, subscriber::Subscriber};

#[test]
fn what_is_published_at_one_replica_comes_at_all() {
    let server = Server::start();
    let fleet = Fleet::on_redis(2, &server.url());
    let addresses = fleet.addresses();
    let mut readers: Vec<_> = addresses
        .iter()
        .map(|to| {
            let to = *to;
            std::thread::spawn(move || {
                let mut subscriber = Subscriber::new(to, "channel=a&channel=x.*&from=earliest");
                subscriber.read_soon(|subscriber| subscriber.events.len() >= 60);
                subscriber.events
            })
        })
        .collect();
    let mut ids = Vec::new();
    for number in 0..60 {
        let channel = ["a".to_owned(), format!("x.{number}"), "a".to_owned()][number % 3].clone();
        let at = addresses[number % 2];
        let answer = http::publish(at, &channel, &number.to_string(), &number.to_string()).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        ids.push(answer.id().to_owned());
    }
    for reader in readers.drain(..) {
        let got: Vec<String> = reader
            .join()
            .unwrap()
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        assert_eq!(got, ids);
    }
}

#[test]
fn a_key_that_was_used_at_one_replica_is_known_at_the_others() {
    let server = Server::start();
    let fleet = Fleet::on_redis(2, &server.url());
    let [one, other] = fleet.addresses()[..] else {
        panic!("two relays");
    };
    let first = http::publish(one, "a", "x", "k").unwrap();
    let again = http::publish(other, "a", "x", "k").unwrap();
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.id(), again.id());
    let conflict = http::publish(other, "a", "y", "k").unwrap();
    assert_eq!(
        (conflict.status, conflict.problem()),
        (422, "idempotency-key-reused")
    );
}

#[test]
fn a_stream_goes_on_at_another_replica_where_it_was() {
    let server = Server::start();
    let fleet = Fleet::on_redis(2, &server.url());
    let [one, other] = fleet.addresses()[..] else {
        panic!("two relays");
    };
    let publish = |to, number: usize| {
        let answer = http::publish(to, "a", &number.to_string(), &number.to_string()).unwrap();
        assert_eq!(answer.status, 201);
        answer.id().to_owned()
    };
    let ids: Vec<String> = (0..10).map(|number| publish(one, number)).collect();
    let mut subscriber = Subscriber::new(other, "channel=a").resuming(&ids[3]);
    subscriber.read_soon(|subscriber| subscriber.events.len() >= 6);
    let got: Vec<&String> = subscriber.events.iter().map(|(id, _)| id).collect();
    assert_eq!(got, ids[4..].iter().collect::<Vec<_>>());
    assert!(subscriber.gaps.is_empty());
}

#[test]
fn a_log_with_other_partitions_stops_the_start_with_what_to_do() {
    let server = Server::start();
    let fleet = Fleet::on_redis(1, &server.url());
    http::publish(fleet.addresses()[0], "a", "x", "k").unwrap();
    drop(fleet);
    server.cli(&["HSET", "sse-relay:{dlj}:head", "n", "8"]);
    let relay = std::process::Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .args(["--redis-url", &server.url()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&relay.stderr).into_owned()
        + &String::from_utf8_lossy(&relay.stdout);
    assert!(!relay.status.success());
    assert!(
        said.contains("8 partition(s)") && said.contains("redis.prefix"),
        "{said}"
    );
}
