//! TLS, users and passwords on the way to Redis, through the whole relay.

use crate::{
    http,
    servers::{Certificates, Server, until},
    subscriber::Subscriber,
    support::Relay,
    users::line,
};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

fn start(settings: &[(&str, String)]) -> Relay {
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Relay::start_with(&settings, &[])
}

#[test]
fn the_log_goes_over_tls_with_a_clients_certificate_and_another_name_and_nothing_else_does() {
    let certificates = Certificates::of("redis.test");
    let (mut server, port) = Server::start_with_tls(
        &certificates,
        &[("appendonly", "yes"), ("appendfsync", "always")],
    );
    let settings = |name: &str| {
        [
            ("SSE_RELAY_REDIS__URL", format!("rediss://127.0.0.1:{port}")),
            ("SSE_RELAY_REDIS__TLS__CA", certificates.path("ca.pem")),
            (
                "SSE_RELAY_REDIS__TLS__CERTIFICATE",
                certificates.path("client.pem"),
            ),
            ("SSE_RELAY_REDIS__TLS__KEY", certificates.path("client.key")),
            ("SSE_RELAY_REDIS__TLS__SERVER_NAME", name.to_owned()),
        ]
    };
    let relays = [
        start(&settings("redis.test")),
        start(&settings("redis.test")),
    ];
    let mut live = relays[1].subscribe("channel=a&from=earliest");
    let first = relays[0].publish("a", "1");
    live.until("data: 1\n");
    server.restart();
    until("a publish that is taken", || {
        let answer = http::publish(relays[0].public, "a", "2", "2").unwrap();
        (answer.status < 300).then_some(())
    });
    live.until("data: 2\n");
    let mut back = Subscriber::new(relays[1].public, "channel=a").resuming(&first);
    back.read_soon(|subscriber| subscriber.events.len() == 1);
    assert_eq!(back.events[0].1, "2");

    let wrong = start(&settings("redis.example"));
    let refused = http::publish(wrong.public, "a", "3", "3").unwrap();
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("redis.tls.serverName"), "{detail}");
    assert!(
        wrong.output().contains("set `redis.tls.serverName`"),
        "{}",
        wrong.output()
    );
}

#[test]
fn a_password_that_is_rotated_under_load_costs_no_event_and_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let user = line("relay", "rotated", folder.path());
    let password = folder.path().join("rotated");
    let server = Server::start_with_users(&[&user], &[]);
    let relay = start(&[
        ("SSE_RELAY_REDIS__URL", server.url()),
        ("SSE_RELAY_REDIS__CREDENTIALS__USERNAME", "rotated".into()),
        (
            "SSE_RELAY_REDIS__CREDENTIALS__PASSWORD_FILE",
            password.display().to_string(),
        ),
    ]);
    until("a publish that is taken", || {
        let answer = http::publish(relay.public, "other", "0", "0").unwrap();
        (answer.status < 300).then_some(())
    });
    let done = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut published = 0;
            while !done.load(Ordering::SeqCst) {
                let data = published.to_string();
                until("a publish that is taken", || {
                    let answer = http::publish(relay.public, "a", &data, &data).unwrap();
                    (answer.status < 300).then_some(())
                });
                published += 1;
            }
            published
        });
        for round in 0..3 {
            let next = format!("secret-{round}");
            server.cli(&["ACL", "SETUSER", "rotated", &format!(">{next}")]);
            fs::write(&password, &next).unwrap();
            let before = if round == 0 {
                "rotated".to_owned()
            } else {
                format!("secret-{}", round - 1)
            };
            server.cli(&["ACL", "SETUSER", "rotated", &format!("<{before}")]);
            // connections that are made from here on know the new one alone
            server.cli(&["CLIENT", "KILL", "USER", "rotated"]);
            until("connections with the new password", || {
                let clients = server.cli(&["CLIENT", "LIST"]);
                let ours = clients.matches("user=rotated").count();
                (ours >= 2).then_some(())
            });
            let answer = http::publish(relay.public, "other", &next, &next);
            assert!(answer.is_ok());
        }
        done.store(true, Ordering::SeqCst);
        publisher.join().unwrap()
    });
    assert!(published > 0);
    let mut subscriber = Subscriber::new(relay.public, "channel=a&from=earliest");
    subscriber.read_soon(|subscriber| subscriber.events.len() >= published);
    let data: Vec<String> = subscriber
        .events
        .iter()
        .map(|(_, data)| data.clone())
        .collect();
    let expected: Vec<String> = (0..published).map(|number| number.to_string()).collect();
    assert_eq!(data, expected, "each once, in order");
    assert!(!relay.output().contains("secret-"), "no password is logged");
}
