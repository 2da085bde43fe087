//! One script that appends all or nothing.

use crate::{fixture::*, servers::Server};
use sse_relay::{
    cursor::{EventId, Predecessor},
    event_log::{
        Fence, IdempotencyKey,
        redis::{
            entry::{Message, News},
            scripts::{Answer, Outcome},
            store::{Attempt, Portion, StoreError},
        },
    },
    partition::Partitioning,
    redis::{CommandError, Refusal, Wrote},
};
use std::time::Duration;

#[tokio::test]
async fn ids_follow_the_clock_and_never_go_back() {
    let fixture = Fixture::new(UNLIMITED).await;
    let mut last = EventId::ZERO;
    for round in 0..20 {
        let (first, until) = fixture.append(["a", "b"][round % 2], &["x"; 3]).await;
        assert!(first > last);
        assert_eq!(until.get(), first.get() + 2);
        last = until;
        fixture.back(Duration::from_secs(60));
    }
    let many = vec!["x"; 5000];
    let (first, until) = fixture.append("a", &many).await;
    assert_eq!(
        until.get() - first.get(),
        4999,
        "past 4096 of one millisecond"
    );
    let head = fixture.store.head().await.unwrap().unwrap();
    assert_eq!((head.epoch, head.last), (epoch(1), until));
    assert_eq!(fixture.ids("a").await.len(), 5030);
}

#[tokio::test]
async fn every_entry_names_its_predecessor_in_its_channel() {
    let fixture = Fixture::new(UNLIMITED).await;
    let (a, _) = fixture.append("a", &["1"]).await;
    fixture.append("b", &["1"]).await;
    let (second, third) = fixture.append("a", &["2", "3"]).await;
    assert_eq!(
        fixture.stream("a").await,
        [
            (a, Predecessor::Known(EventId::ZERO)),
            (second, Predecessor::Known(a)),
            (third, Predecessor::Known(second)),
        ]
    );
}

#[tokio::test]
async fn a_key_gives_its_outcome_again_within_its_window() {
    let fixture = Fixture::new(UNLIMITED).await;
    let first = fixture
        .send(&keyed("a", &["x", "y"], "k", 1), Attempt::First)
        .await
        .unwrap();
    let (from, until) = appended(&first);
    fixture.append("a", &["between"]).await;
    let again = || async {
        fixture
            .send(&keyed("a", &["x", "y"], "k", 1), Attempt::First)
            .await
            .unwrap()
    };
    let repeat = Outcome::Repeated {
        epoch: epoch(1),
        first: from,
        last: until,
    };
    assert_eq!(again().await, repeat);
    let other_body = fixture
        .send(&keyed("a", &["x"], "k", 2), Attempt::First)
        .await
        .unwrap();
    assert_eq!(other_body, Outcome::KeyReused);
    let other_channel = fixture
        .send(&keyed("b", &["x"], "k", 2), Attempt::First)
        .await
        .unwrap();
    assert!(matches!(other_channel, Outcome::Appended { .. }));
    fixture.forward(Duration::from_secs(300));
    assert_eq!(again().await, repeat);
    fixture.forward(Duration::from_millis(1));
    assert!(matches!(again().await, Outcome::Appended { .. }));
}

#[tokio::test]
async fn publishes_with_keys_go_together_and_each_has_an_outcome_of_its_own() {
    let fixture = Fixture::new(UNLIMITED).await;
    let part = |texts: &[&str], key, body| keyed("a", texts, key, body).portions.remove(0);
    let before = keyed("a", &["0"], "old", 1);
    let (old, _) = appended(&fixture.send(&before, Attempt::First).await.unwrap());
    let mut batch = batch("a", &["1"]);
    batch.portions.extend([
        part(&["2", "3"], "new", 1),
        part(&["0"], "old", 1),
        part(&["x"], "old", 2),
        part(&["2", "3"], "new", 1),
        portion(&["4"]),
    ]);
    batch.ends = true;
    let Answer::Settled(outcomes) = fixture.send_all(&batch, Attempt::First).await.unwrap() else {
        panic!("it is settled");
    };
    let one = appended(&outcomes[0]).0;
    let two = appended(&outcomes[1]);
    assert_eq!(two, (after(one, 1), after(one, 2)));
    let repeated = |first, last| Outcome::Repeated {
        epoch: epoch(1),
        first,
        last,
    };
    assert_eq!(outcomes[2], repeated(old, old));
    assert_eq!(outcomes[3], Outcome::KeyReused);
    assert_eq!(
        outcomes[4],
        repeated(two.0, two.1),
        "used in the same batch"
    );
    assert_eq!(appended(&outcomes[5]).0, after(one, 3));
    let stream = fixture.stream("a").await;
    let ids: Vec<EventId> = stream.iter().map(|(id, _)| *id).collect();
    let four = [one, after(one, 1), after(one, 2), after(one, 3)];
    assert_eq!(ids, [&[old][..], &four].concat());
    for (pair, next) in stream.iter().zip(&stream[1..]) {
        assert_eq!(next.1, Predecessor::Known(pair.0));
    }
    // the answer was lost: all of it is found again, and nothing is appended
    let again = fixture.send_all(&batch, Attempt::Again(old)).await.unwrap();
    let Answer::Settled(again) = again else {
        panic!("it is settled");
    };
    assert_eq!(again[0], outcomes[0]);
    assert_eq!(again[1], repeated(two.0, two.1));
    assert_eq!(again[5], outcomes[5]);
    assert_eq!(fixture.ids("a").await.len(), 5);
    assert_eq!(fixture.append_outcome("a").await, Outcome::Ended);
}

fn after(id: EventId, count: u64) -> EventId {
    EventId::new(id.get() + count).unwrap()
}

#[tokio::test]
async fn a_batch_of_repeats_writes_and_announces_nothing() {
    let fixture = Fixture::new(UNLIMITED).await;
    let batch = keyed("a", &["1"], "k", 1);
    fixture.send(&batch, Attempt::First).await.unwrap();
    let mut subscriber = Subscriber::new(&fixture, &[&keys().events("a")]);
    let repeat = fixture.send(&batch, Attempt::First).await.unwrap();
    assert!(matches!(repeat, Outcome::Repeated { .. }));
    let (first, _) = fixture.append("a", &["2"]).await;
    let (_, message) = subscriber.receive();
    assert_eq!(Message::parse(&message).unwrap().first, first);
    assert_eq!(fixture.ids("a").await.len(), 2);
}

#[tokio::test]
async fn no_more_keys_than_the_bound_are_remembered() {
    let fixture = Fixture::with(Server::start(), UNLIMITED, |options| {
        options.max_idempotency_keys = 3;
    })
    .await;
    for number in 0..20 {
        let batch = keyed("a", &["x"], &number.to_string(), 1);
        fixture.send(&batch, Attempt::First).await.unwrap();
        fixture.forward(Duration::from_millis(1));
    }
    let count = |key| fixture.command("HLEN", key);
    assert_eq!(count(&["test:{dlj}:outcomes"]).await.integer(), Some(3));
    let times = fixture.command("ZCARD", &["test:{dlj}:keys"]).await;
    assert_eq!(times.integer(), Some(3));
}

#[tokio::test]
async fn a_second_attempt_finds_the_first_whose_answer_was_lost() {
    let fixture = Fixture::new(UNLIMITED).await;
    let (_, known) = fixture.append("a", &["before"]).await;
    let lost = batch("a", &["1", "2"]);
    let first = fixture.send(&lost, Attempt::First).await.unwrap();
    fixture.append("a", &["after"]).await;
    assert_eq!(
        fixture.send(&lost, Attempt::Again(known)).await.unwrap(),
        first
    );
    assert_eq!(fixture.ids("a").await.len(), 4);
    // one that never arrived is appended
    let fresh = batch("a", &["3"]);
    let made = fixture.send(&fresh, Attempt::Again(known)).await.unwrap();
    assert!(matches!(made, Outcome::Appended { .. }));
    assert_eq!(fixture.ids("a").await.len(), 5);
    let many = vec!["x"; 1000];
    fixture.append("a", &many).await;
    let unseen = batch("a", &["4"]);
    assert_eq!(
        fixture.send(&unseen, Attempt::Again(known)).await.unwrap(),
        Outcome::NotFound,
        "too much came since to be sure"
    );
    assert_eq!(fixture.ids("a").await.len(), 1005);
}

#[tokio::test]
async fn a_channel_that_ended_and_new_ones_past_the_bound_are_refused() {
    let fixture = Fixture::with(Server::start(), UNLIMITED, |options| {
        options.max_channels = 2
    })
    .await;
    let mut last = keyed("a", &["last"], "k", 1);
    last.ends = true;
    let (ended, _) = appended(&fixture.send(&last, Attempt::First).await.unwrap());
    let send = |channel: &'static str| fixture.append_outcome(channel);
    assert_eq!(send("a").await, Outcome::Ended);
    let repeat = fixture.send(&last, Attempt::First).await.unwrap();
    assert!(matches!(repeat, Outcome::Repeated { first, .. } if first == ended));
    assert!(matches!(send("b").await, Outcome::Appended { .. }));
    assert_eq!(send("c").await, Outcome::TooManyChannels);
    assert!(matches!(send("b").await, Outcome::Appended { .. }));
}

impl Fixture {
    async fn append_outcome(&self, channel: &str) -> Outcome {
        self.send(&batch(channel, &["x"]), Attempt::First)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_message_tells_the_events_and_the_news_a_channel_that_is_new() {
    let fixture = Fixture::new(UNLIMITED).await;
    let odd = "odd {name}?[x]\\% é".to_owned();
    let mut subscriber = Subscriber::new(&fixture, &["test:{dlj}:news", &keys().events(&odd)]);
    let (first, last) = fixture.append(&odd, &["1", "2"]).await;
    let (_, news) = subscriber.receive();
    let (from, message) = subscriber.receive();
    assert_eq!(
        News::parse(&news).unwrap(),
        Some(News::Channel {
            epoch: epoch(1),
            first,
            name: odd.clone(),
            events: &message,
        })
    );
    assert_eq!(
        keys().channel_of(&from).unwrap().decode().as_deref(),
        Some(&*odd)
    );
    let message = Message::parse(&message).unwrap();
    assert_eq!((message.first, message.last()), (first, last));
    assert_eq!(message.predecessor, Predecessor::Known(EventId::ZERO));
}

#[tokio::test]
async fn one_call_appends_to_several_channels_and_tells_each() {
    let fixture = Fixture::with(Server::start(), UNLIMITED, |options| {
        options.max_channels = 3
    })
    .await;
    let (known, _) = fixture.append("b", &["0"]).await;
    let shard_channels = ["a", "b", "c"].map(|channel| keys().events(channel));
    let mut subscriber = Subscriber::new(&fixture, &shard_channels.each_ref().map(String::as_str));
    let key = keyed("c", &["1"], "k", 1);
    let mut ends = batch("b", &["1"]);
    ends.portions.extend(keyed("b", &["2"], "k", 2).portions);
    ends.ends = true;
    let call = [batch("a", &["1", "2"]), ends, key, batch("d", &["1"])];
    let Answer::Settled(outcomes) = fixture.call(&call, Attempt::First).await.unwrap() else {
        panic!("it is settled");
    };
    let (first, until) = appended(&outcomes[0]);
    assert_eq!(until, after(first, 1));
    let ids = [1, 2, 3].map(|index| appended(&outcomes[index]).0);
    assert_eq!(ids, [2, 3, 4].map(|count| after(first, count)));
    assert_eq!(outcomes[4], Outcome::TooManyChannels, "it is the fourth");
    let stream = fixture.stream("b").await;
    let predecessors: Vec<Predecessor> = stream.iter().map(|(_, before)| *before).collect();
    let before = [EventId::ZERO, known, ids[0]];
    assert_eq!(predecessors, before.map(Predecessor::Known));
    for (channel, events) in [("a", 2), ("b", 2), ("c", 1)] {
        let (from, message) = subscriber.receive();
        assert_eq!(from, keys().events(channel));
        let message = Message::parse(&message).unwrap();
        assert_eq!(message.last().get() - message.first.get() + 1, events);
    }
    let head = fixture.store.head().await.unwrap().unwrap();
    assert_eq!(head.last, ids[2]);
    // the answer was lost: everything is found again
    let again = fixture.call(&call, Attempt::Again(known)).await.unwrap();
    let Answer::Settled(again) = again else {
        panic!("it is settled");
    };
    assert_eq!(again[..2], outcomes[..2]);
    assert!(matches!(again[2], Outcome::Repeated { first, .. } if first == ids[1]));
    assert!(matches!(again[3], Outcome::Repeated { first, .. } if first == ids[2]));
    assert_eq!(fixture.store.head().await.unwrap().unwrap().last, ids[2]);
    assert_eq!(fixture.append_outcome("b").await, Outcome::Ended);
}

#[tokio::test]
async fn a_key_of_another_kind_under_our_prefix_fails_its_channel_alone() {
    let fixture = Fixture::new(UNLIMITED).await;
    fixture.command("SET", &[&keys().stream("a"), "mine"]).await;
    let mut broken = keyed("a", &["x"], "k", 1);
    broken.portions.push(portion(&["y"]));
    let call = [batch("0", &["1"]), broken, keyed("b", &["1"], "k", 1)];
    let Answer::Settled(outcomes) = fixture.call(&call, Attempt::First).await.unwrap() else {
        panic!("it is settled");
    };
    for failed in &outcomes[1..3] {
        let Outcome::Failed(text) = failed else {
            panic!("{failed:?}");
        };
        let error = CommandError::caught(text);
        assert!(
            matches!(
                error,
                CommandError::Refused {
                    why: Refusal::WrongType,
                    wrote: Wrote::Perhaps,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    }
    let (zero, _) = appended(&outcomes[0]);
    let (other, _) = appended(&outcomes[3]);
    assert_eq!(fixture.ids("0").await, [zero.get()]);
    assert_eq!(fixture.ids("b").await, [other.get()]);
    // its key is not remembered: mended, it can be tried again
    fixture.command("DEL", &[&keys().stream("a")]).await;
    let again = keyed("a", &["x"], "k", 1);
    let again = fixture.send(&again, Attempt::First).await.unwrap();
    assert!(appended(&again).0 > other);
}

#[tokio::test]
async fn a_log_of_other_partitions_or_another_layout_is_refused() {
    let fixture = Fixture::new(UNLIMITED).await;
    fixture.store.open(epoch(1)).await.unwrap();
    let eight = fixture.other_store(|options| options.partitioning = Partitioning::new(8).unwrap());
    let error = eight.open(epoch(1)).await.unwrap_err();
    assert!(
        matches!(error, StoreError::OtherPartitions { theirs: 1, ours: 8 }),
        "{error}"
    );
    let session = fixture.session().await;
    let outcome = eight
        .append(&session, &[batch("a", &["x"])], Attempt::First, epoch(1))
        .await;
    assert_eq!(outcome.unwrap(), Answer::OtherPartitions(1));
    fixture
        .command("HSET", &["test:{dlj}:head", "v", "2"])
        .await;
    let error = fixture.store.open(epoch(1)).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::OtherLayout(layout) if layout == "2"),
        "{error}"
    );
}

#[tokio::test]
async fn two_relays_with_different_prefixes_share_a_server_and_nothing_else() {
    let fixture = Fixture::new(UNLIMITED).await;
    let other = fixture.other_store(|options| options.prefix = "other".into());
    fixture.append("a", &["x"]).await;
    assert_eq!(other.head().await.unwrap(), None);
    assert_eq!(other.open(epoch(9)).await.unwrap().epoch, epoch(9));
    assert_eq!(fixture.store.head().await.unwrap().unwrap().epoch, epoch(1));
}

#[tokio::test]
async fn a_full_redis_refuses_before_it_writes() {
    let fixture = Fixture::new(UNLIMITED).await;
    let (_, before) = fixture.append("a", &["x"]).await;
    fixture.server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let error = fixture
        .send(&batch("a", &["y"]), Attempt::First)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            StoreError::Command(CommandError::Refused {
                why: Refusal::OutOfMemory,
                ..
            })
        ),
        "{error}"
    );
    fixture.server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(fixture.store.head().await.unwrap().unwrap().last, before);
    assert_eq!(fixture.ids("a").await, [before.get()]);
    fixture.append("a", &["z"]).await;
}

#[tokio::test]
async fn who_lost_its_lease_appends_nothing_any_more() {
    let fixture = Fixture::new(UNLIMITED).await;
    let send = async |token| {
        let batch = fenced("a", &["x"], token);
        fixture.send(&batch, Attempt::First).await.unwrap()
    };
    assert!(matches!(send(1).await, Outcome::Appended { .. }));
    fixture.store.raise(&fence(2)).await.unwrap();
    assert_eq!(send(1).await, Outcome::Fenced);
    assert!(matches!(send(2).await, Outcome::Appended { .. }));
    fixture.store.raise(&fence(1)).await.unwrap();
    assert_eq!(send(1).await, Outcome::Fenced, "it never goes back");
    // who has no fence, or another one, is not concerned, and goes with the others
    let mut company = fenced("a", &["late"], 1);
    company.portions.push(portion(&["free"]));
    let other = Fence {
        name: "stocks".into(),
        token: 1,
    };
    company.portions.push(Portion {
        fence: Some(other),
        idempotency: Some(IdempotencyKey::of(None, "k", [0; 32])),
        ..portion(&["other"])
    });
    let Answer::Settled(outcomes) = fixture.send_all(&company, Attempt::First).await.unwrap()
    else {
        panic!("not settled");
    };
    assert!(
        matches!(
            outcomes[..],
            [
                Outcome::Fenced,
                Outcome::Appended { .. },
                Outcome::Appended { .. }
            ]
        ),
        "{outcomes:?}"
    );
    assert_eq!(fixture.ids("a").await.len(), 4);
}
