//! What a restart does to the epoch, and to a cursor of before.

use crate::{http, process::Relay, subscriber::Subscriber};
use std::fs::OpenOptions;

/// The epoch that an id belongs to.
fn epoch(id: &str) -> &str {
    &id[1..6]
}

fn subscriber(relay: &Relay) -> Subscriber {
    Subscriber::new(relay.public, "channel=a&from=earliest")
}

#[test]
fn history_is_back_and_ids_go_on_above_it_after_a_drain_and_after_kill_9() {
    let settings = [
        ("SSE_RELAY_DRAIN__PROPAGATION", "1ms"),
        ("SSE_RELAY_DRAIN__WINDOW", "1ms"),
    ];
    let mut relay = Relay::started(&settings);
    let mut ids = Vec::new();
    for (round, end) in [Relay::terminate, Relay::kill, Relay::kill, Relay::terminate]
        .into_iter()
        .enumerate()
    {
        for event in 0..5 {
            ids.push(relay.publish("a", &format!("{round}-{event}")));
        }
        end(&mut relay);
        relay.start();
        let tail = ["tail=clean", "tail=unclean", "tail=unclean", "tail=clean"][round];
        let said = relay.output();
        assert!(said.contains(tail), "{tail}: {said}");
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert!(ids.iter().all(|id| epoch(id) == epoch(&ids[0])));
    let mut all = subscriber(&relay);
    all.read_soon(|seen| seen.events.len() >= ids.len());
    let seen: Vec<&str> = all.events.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(seen, ids);
    let mut resumed = subscriber(&relay).resuming(&ids[7]);
    resumed.read_soon(|seen| seen.events.len() >= ids.len() - 8);
    assert_eq!(resumed.events, all.events[8..]);
    assert!(resumed.gaps.is_empty());
    let again = http::publish(relay.public, "a", "0-0", "0-0").unwrap();
    assert_eq!((again.status, again.id()), (200, ids[0].as_str()));
}

#[test]
fn a_torn_tail_starts_an_epoch_and_a_cursor_of_before_gets_a_gap_that_names_the_range() {
    let mut relay = Relay::started(&[]);
    let ids: Vec<String> = (0..5)
        .map(|number| relay.publish("a", &number.to_string()))
        .collect();
    relay.kill();
    let last = relay.files().pop().unwrap();
    let length = std::fs::metadata(&last).unwrap().len();
    let file = OpenOptions::new().write(true).open(last).unwrap();
    file.set_len(length - 3).unwrap();
    relay.start();
    assert!(relay.output().contains("tail=torn"), "{}", relay.output());
    let new = relay.publish("a", "new");
    assert_ne!(epoch(&new), epoch(&ids[4]));

    let mut past = subscriber(&relay).resuming(&ids[4]);
    past.read_soon(|seen| !seen.events.is_empty());
    assert_eq!(past.events, [(new.clone(), "new".to_owned())]);
    let [gap] = past.gaps.as_slice() else {
        panic!("{:?}", past.gaps);
    };
    assert_eq!(
        (&gap["certain"], &gap["reason"]),
        (&true.into(), &"epoch".into())
    );
    assert_eq!(gap["after"], ids[3].as_str(), "what survived");
    assert_eq!(gap["until"], ids[4].as_str(), "what is lost");

    let mut before = subscriber(&relay).resuming(&ids[1]);
    before.read_soon(|seen| seen.events.len() >= 3);
    let data: Vec<&str> = before.events.iter().map(|event| event.1.as_str()).collect();
    assert_eq!(data, ["2", "3", "new"]);
    let [gap] = before.gaps.as_slice() else {
        panic!("{:?}", before.gaps);
    };
    assert_eq!(gap["certain"], false);
    assert_eq!(gap["after"], ids[3].as_str(), "all up to there survived");

    // the key of what was lost is free again, and of what survived is not
    let lost = http::publish(relay.public, "a", "4", "4").unwrap();
    let kept = http::publish(relay.public, "a", "3", "3").unwrap();
    assert_eq!((lost.status, kept.status), (201, 200));
}
