//! The rights that are printed for programs beside the relay, with what such programs run.

use crate::{
    fixture::*,
    servers::{LIMIT, Server},
};
use relay_config::{RedisCredentials, RedisRole};
use sse_relay::{
    cursor::EventId,
    event_log::redis::{
        scripts::Outcome,
        store::{Attempt, Bounds, Store, StoreError, Wanted},
    },
    redis::{CommandError, Event, Redis, Refusal},
};
use std::{fs, sync::Arc, time::Duration};

/// A store of the same log, as a user with the rights of a role sees it.
async fn store_of(fixture: &Fixture, role: RedisRole) -> (Store, Redis, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "secret").unwrap();
    let rules = role.rules(&fixture.options.prefix);
    let rules: Vec<&str> = ["ACL", "SETUSER", "other", "reset", "on", ">secret"]
        .into_iter()
        .chain(rules.split(' '))
        .collect();
    fixture.server.cli(&rules);
    let settings = relay_config::Redis {
        url: Some(fixture.server.url()),
        credentials: Some(RedisCredentials {
            username: Some("other".into()),
            password_file: Some(password.display().to_string()),
            ..RedisCredentials::default()
        }),
        ..relay_config::Redis::default()
    };
    let redis = Redis::start(&settings).unwrap();
    let partition = fixture.store.partition();
    let store = Store::new(&redis, partition, Arc::new(fixture.options.clone()));
    store.primary().wait(LIMIT).await.unwrap();
    (store, redis, folder)
}

/// Little enough that every way of trimming is taken.
async fn fixture() -> Fixture {
    let few = sse_relay::event_log::Retention {
        events: 150,
        age: Duration::from_secs(60),
        bytes: 4096,
    };
    Fixture::with(Server::start(), few, |options| {
        options.max_idempotency_keys = 2
    })
    .await
}

fn is_forbidden(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Command(CommandError::Refused {
            why: Refusal::NoPermission,
            ..
        })
    )
}

#[tokio::test]
async fn a_publisher_appends_in_every_way_and_reads_no_event() {
    let fixture = fixture().await;
    let (store, redis, _folder) = store_of(&fixture, RedisRole::Publisher).await;
    store.open(epoch(1)).await.unwrap();
    let session = store.primary().wait(LIMIT).await.unwrap();
    let mut last = EventId::ZERO;
    for round in 0..40 {
        let text = "x".repeat(200);
        let batch = keyed("a", &[&text, &text], &round.to_string(), 1);
        let answer = store
            .append(
                &session,
                std::slice::from_ref(&batch),
                Attempt::First,
                epoch(1),
            )
            .await;
        let (_, until) = appended(&only(answer.unwrap()));
        let again = store
            .append(
                &session,
                std::slice::from_ref(&batch),
                Attempt::Again(last),
                epoch(1),
            )
            .await;
        assert!(matches!(only(again.unwrap()), Outcome::Repeated { .. }));
        last = until;
        fixture.forward(Duration::from_secs(5));
    }
    let lost = batch("a", &["1"]);
    let first = store
        .append(
            &session,
            std::slice::from_ref(&lost),
            Attempt::First,
            epoch(1),
        )
        .await
        .unwrap();
    let found = store
        .append(
            &session,
            std::slice::from_ref(&lost),
            Attempt::Again(last),
            epoch(1),
        )
        .await
        .unwrap();
    assert_eq!(first, found);
    let (subscriptions, mut events) = redis.subscriptions();
    subscriptions.want([Arc::from(keys().events("a"))]);
    let refused = async {
        loop {
            if let Event::Refused { why, .. } = events.recv().await.unwrap() {
                break why;
            }
        }
    };
    let why = tokio::time::timeout(LIMIT, refused).await.unwrap();
    assert!(why.to_string().contains("ssubscribe"), "{why}");
    let purged = store.purge(&name("a")).await.unwrap_err();
    assert!(is_forbidden(&purged), "{purged}");
}

#[tokio::test]
async fn a_reader_reads_and_hears_everything_and_appends_nothing() {
    let fixture = fixture().await;
    let (first, last) = fixture.append("a", &["1", "2"]).await;
    let (store, redis, _folder) = store_of(&fixture, RedisRole::ReadOnly).await;
    let head = store.head().await.unwrap().unwrap();
    assert_eq!(head.last, last);
    assert_eq!(store.epochs().await.unwrap().0, Some(head));
    assert_eq!(store.names("", None, 10).await.unwrap(), ["a"]);
    assert_eq!(
        store
            .moved_after(EventId::ZERO, |_| true)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(store.last_ids(&[name("a")]).await.unwrap(), [Some(last)]);
    assert_eq!(store.totals().await.unwrap().events, 2);
    let wanted = Wanted {
        channel: name("a"),
        after: EventId::ZERO,
        last,
    };
    let bounds = Bounds {
        upto: last,
        max_events: 10,
        max_bytes: 1000,
    };
    let read = store.collect(vec![wanted], bounds).await.unwrap();
    let ids: Vec<EventId> = read.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [first, last]);
    let (subscriptions, mut events) = redis.subscriptions();
    subscriptions.want([Arc::from(keys().events("a"))]);
    let heard = async {
        loop {
            match events.recv().await.unwrap() {
                Event::Confirmed(_) => drop(fixture.append("a", &["3"]).await),
                Event::Message(message) => break message,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(LIMIT, heard).await.unwrap();
    let session = store.primary().wait(LIMIT).await.unwrap();
    let refused = store
        .append(&session, &[batch("a", &["x"])], Attempt::First, epoch(1))
        .await;
    assert!(is_forbidden(&refused.unwrap_err()));
    assert!(is_forbidden(&store.open(epoch(1)).await.unwrap_err()));
}
