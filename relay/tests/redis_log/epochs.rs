//! Another primary, or the same in another life, is another epoch.

use crate::{
    fixture::*,
    servers::{Server, replication_id, until_async},
};
use sse_relay::{
    cursor::EventId,
    event_log::redis::{
        scripts::{Adoption, Answer, Begun, Outcome},
        store::{Attempt, EndedEpoch, MAX_ENDED_EPOCHS, Orphan},
    },
};

/// A server that keeps what it has over a restart.
async fn lasting() -> Fixture {
    let server = Server::start_with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    Fixture::with(server, UNLIMITED, |_| {}).await
}

/// A log whose first epoch ended with a restart, after one event, and whose second has begun; and where it
/// forked. Some replica had seen the first epoch `past` ids further.
async fn in_its_second_epoch(past: u64) -> (Fixture, EventId) {
    let mut fixture = lasting().await;
    let (_, fork) = fixture.append("a", &["1"]).await;
    let seen = EventId::new(fork.get() + past).unwrap();
    fixture.restart().await;
    let confirmed_on = fixture.recheck().await;
    let session = fixture.session().await;
    let begun = fixture
        .store
        .begin_epoch(&session, epoch(1), &confirmed_on, epoch(2), seen)
        .await;
    begun.unwrap();
    (fixture, fork)
}

impl Fixture {
    /// Restarts the server, which makes its replication id another one.
    async fn restart(&mut self) {
        let before = replication_id(&self.server);
        self.server.restart();
        let now = replication_id(&self.server);
        assert_ne!(before, now);
        let store = &self.store;
        until_async("a session of the new life", || async {
            let session = store.primary().session().ok()?;
            (session.replication_id().as_str() == now).then_some(())
        })
        .await;
    }

    /// What an append says that must say "recheck".
    async fn recheck(&self) -> String {
        let sent = self.send_all(&batch("a", &["x"]), Attempt::First).await;
        match sent.unwrap() {
            Answer::Recheck { confirmed_on, .. } => confirmed_on,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn after_a_restart_nothing_is_written_before_a_new_epoch_began() {
    let mut fixture = lasting().await;
    let (_, last) = fixture.append("a", &["1", "2"]).await;
    fixture.restart().await;
    let confirmed_on = fixture.recheck().await;
    assert_eq!(fixture.ids("a").await.len(), 2);
    let session = fixture.session().await;
    let begin = |new| {
        fixture
            .store
            .begin_epoch(&session, epoch(1), &confirmed_on, epoch(new), last)
    };
    assert_eq!(begin(2).await.unwrap(), Begun::New);
    assert_eq!(begin(3).await.unwrap(), Begun::Stale, "one of two is first");
    let (first, _) = fixture.append("a", &["3"]).await;
    assert!(first > last);
    let (head, ended) = fixture.store.epochs().await.unwrap();
    assert_eq!(head.unwrap().epoch, epoch(2));
    assert_eq!(
        (ended[0].epoch, ended[0].fork, ended[0].lost),
        (epoch(1), last, None),
        "nothing is lost"
    );
}

#[tokio::test]
async fn what_a_replica_saw_past_the_fork_is_known_to_be_lost_and_its_ids_are_not_given_again() {
    let (fixture, fork) = in_its_second_epoch(5).await;
    let id = |off: u64| EventId::new(fork.get() + off).unwrap();
    let store = &fixture.store;
    let (_, ended) = store.epochs().await.unwrap();
    assert_eq!((ended[0].fork, ended[0].lost), (fork, Some(id(5))));
    let (first, _) = fixture.append("a", &["2"]).await;
    assert_eq!(
        first,
        id(6),
        "the clock stands, so it follows what was seen"
    );
    for (seen, lost) in [(id(3), id(5)), (fork, id(5)), (id(9), id(9))] {
        let ended = store.witness(epoch(1), seen).await.unwrap().unwrap();
        assert_eq!((ended.fork, ended.lost), (fork, Some(lost)));
    }
    let (next, _) = fixture.append("a", &["3"]).await;
    assert_eq!(next, id(10), "nor what another replica saw");
    assert_eq!(store.witness(epoch(77), id(9)).await.unwrap(), None);
}

#[tokio::test]
async fn an_epoch_that_is_lost_as_a_whole_stands_between_those_around_it_once_it_is_made_known() {
    let mut fixture = lasting().await;
    let (_, fork) = fixture.append("a", &["1"]).await;
    let id = |off: u64| EventId::new(fork.get() + off).unwrap();
    fixture.restart().await;
    let confirmed_on = fixture.recheck().await;
    let session = fixture.session().await;
    let store = &fixture.store;
    let orphan = |number, before, had, seen| Orphan {
        epoch: epoch(number),
        before: epoch(before),
        had,
        seen,
    };
    let adopt = async |orphan| store.adopt(orphan).await.unwrap();
    assert_eq!(adopt(orphan(1, 0, fork, id(9))).await, Adoption::Current);
    assert_eq!(adopt(orphan(7, 1, fork, id(9))).await, Adoption::Refused);
    store
        .begin_epoch(&session, epoch(1), &confirmed_on, epoch(2), EventId::ZERO)
        .await
        .unwrap();
    // it had more of the first than this server has
    for orphan in [
        orphan(7, 1, id(3), id(9)),
        orphan(8, 7, id(9), id(20)),
        orphan(8, 7, id(9), id(30)), // again
    ] {
        assert_eq!(adopt(orphan).await, Adoption::Known);
    }
    assert_eq!(adopt(orphan(9, 77, id(9), id(20))).await, Adoption::Refused);
    let (head, mut ended) = store.epochs().await.unwrap();
    ended.sort_by_key(|ended| ended.epoch.get());
    let of = |ended: &EndedEpoch| (ended.epoch, ended.fork, ended.lost, ended.next);
    assert_eq!(
        ended.iter().map(of).collect::<Vec<_>>(),
        [
            (epoch(1), fork, Some(id(3)), epoch(7)),
            (epoch(7), fork, Some(id(9)), epoch(8)),
            (epoch(8), fork, Some(id(20)), epoch(2)),
        ]
    );
    assert_eq!(head.unwrap().epoch, epoch(2));
    let (next, _) = fixture.append("a", &["2"]).await;
    assert_eq!(next, id(21), "its ids are not given again");
}

#[tokio::test]
async fn who_stands_after_a_report_of_losses_has_heard_of_it() {
    let (fixture, fork) = in_its_second_epoch(5).await;
    let id = |off: u64| EventId::new(fork.get() + off).unwrap();
    let store = &fixture.store;
    let told = async || store.epochs().await.unwrap().1[0].told;
    assert_eq!(told().await, id(5), "before the first event");
    let (_, last) = fixture.append("a", &["2", "3"]).await;
    store.witness(epoch(1), id(2)).await.unwrap();
    assert_eq!(told().await, id(5), "that is no news");
    store.witness(epoch(1), id(6)).await.unwrap();
    assert_eq!(told().await, last);
}

#[tokio::test]
async fn a_log_that_was_flushed_begins_a_new_life() {
    let fixture = Fixture::new(UNLIMITED).await;
    fixture.append("a", &["1"]).await;
    fixture.server.cli(&["FLUSHALL"]);
    assert_eq!(fixture.store.head().await.unwrap(), None);
    let session = fixture.session().await;
    let outcome = fixture
        .store
        .append(&session, &[batch("a", &["2"])], Attempt::First, epoch(8))
        .await;
    assert!(matches!(only(outcome.unwrap()), Outcome::Appended { epoch: e, .. } if e == epoch(8)));
}

#[tokio::test]
async fn only_the_latest_epochs_are_remembered() {
    let mut fixture = lasting().await;
    fixture.append("a", &["1"]).await;
    let ended = MAX_ENDED_EPOCHS as u32 + 2;
    fixture.restart().await;
    let mut confirmed_on = fixture.recheck().await;
    let session = fixture.session().await;
    for number in 1..=ended {
        let begun = fixture
            .store
            .begin_epoch(
                &session,
                epoch(number),
                &confirmed_on,
                epoch(number + 1),
                EventId::ZERO,
            )
            .await;
        assert_eq!(begun.unwrap(), Begun::New);
        confirmed_on = session.replication_id().as_str().to_owned();
    }
    let (_, remembered) = fixture.store.epochs().await.unwrap();
    assert_eq!(remembered.len(), MAX_ENDED_EPOCHS);
    assert!(
        remembered.iter().any(|one| one.epoch == epoch(ended)),
        "the latest is"
    );
}
