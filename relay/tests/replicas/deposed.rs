//! A primary that was replaced and does not know: who still asks it must not take what came from its
//! successor for something of another log.

use crate::{
    fleet::Fleet,
    http,
    servers::{Proxy, Sentinels, Server, until},
    subscriber::Subscriber,
};
use std::net::SocketAddr;

/// Publishes until it is taken; its id.
fn publish(to: SocketAddr, data: &str) -> String {
    until("a publish that is taken", || {
        let answer = http::publish(to, "a", data, data).ok()?;
        (answer.status < 300).then(|| answer.id().to_owned())
    })
}

/// The last id that a server has given, which lets nobody in without the password.
fn last_id(server: &Server) -> u64 {
    let login = ["-a", "nobody", "--no-auth-warning"];
    let keys = server.cli(&[&login[..], &["--raw", "KEYS", "*:{dlj}:head"]].concat());
    let last = server.cli(&[&login[..], &["--raw", "HGET", &keys, "i"]].concat());
    last.parse().expect("an id")
}

#[test]
fn who_comes_from_the_new_primary_to_a_replica_at_the_old_one_goes_on_exactly() {
    let sentinels = Sentinels::start();
    let ports = sentinels.nodes();
    let ports = ports.iter().filter_map(|node| node.rsplit(':').next());
    let ways: Vec<Proxy> = ports
        .map(|port| Proxy::start(port.parse().unwrap()))
        .collect();
    let through = ways.iter().map(|way| format!("127.0.0.1:{}", way.port));
    let fleet = Fleet::on_sentinels_at(&[sentinels.nodes(), through.collect()]);
    let [one, other] = fleet.addresses()[..] else {
        panic!("two relays");
    };
    publish(one, "before");
    publish(other, "before at the other");
    sentinels.until_in_step();

    // the other relay stays with the primary that was replaced
    ways.iter().for_each(Proxy::cut_both_ways);
    let old = sentinels.depose_primary();
    let now = format!("127.0.0.1:{}", sentinels.primary().port);
    until("a relay at the new primary", || {
        fleet.at(0).output().contains(&now).then_some(())
    });
    let seen = publish(one, "seen");
    let cursor = {
        let mut stream = Subscriber::new(one, "channel=a&from=earliest");
        stream.read_soon(|stream| stream.events.iter().any(|(_, data)| data == "seen"));
        stream.events.last().unwrap().0.clone()
    };
    assert_eq!(cursor, seen);

    let reader = std::thread::spawn(move || {
        let mut stream = Subscriber::new(other, "channel=a").resuming(&cursor);
        stream.read_soon(|stream| stream.events.iter().any(|(_, data)| data == "after"));
        stream
    });
    until("a stream that waits", || {
        let scraped = fleet.at(1).scrape();
        scraped
            .contains("sse_relay_streams_waiting 1")
            .then_some(())
    });
    // it asks the old primary all the time, and publishes canaries there
    for _ in 0..3 {
        let before = last_id(old);
        until("another canary", || (last_id(old) > before).then_some(()));
    }
    ways.iter().for_each(Proxy::mend);
    publish(one, "after");
    let stream = reader.join().unwrap_or_else(|_| panic!("{}", fleet.said()));
    let data: Vec<&str> = stream
        .events
        .iter()
        .map(|(_, data)| data.as_str())
        .collect();
    assert_eq!(data, ["after"], "{:?}", stream.notes);
    assert!(stream.gaps.is_empty(), "{:?}", stream.gaps);
}
