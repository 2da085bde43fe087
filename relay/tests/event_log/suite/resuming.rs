//! Where a subscription starts.

use crate::subject::*;
use sse_relay::{
    cursor::{Cursor, Epoch, EventId, Place, Places},
    event_log::{Gaps, resume::Verdict},
    frame::GapReason,
};
use std::time::Duration;

pub async fn latest_earliest_and_times_start_where_they_say(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let early = subject.append("a", "x").await;
    subject.clock.forward(Duration::from_secs(5));
    let time = subject.clock.now();
    let late = subject.fill("a", 3).await;
    let head = subject.head();
    let start = |cursor| subject.resume(&cursor, head);
    assert_eq!(start(Cursor::Latest).after, head);
    let earliest = start(Cursor::Earliest);
    assert_eq!(
        (earliest.after, earliest.gaps),
        (EventId::ZERO, Gaps::SinceFirst)
    );
    for (at, follow) in [
        (time, &late[..]),
        (time - 1, &late),
        (time + 1, &[]),
        (u64::MAX, &[]),
    ] {
        let start = start(Cursor::At(at));
        assert_eq!((start.lost, start.verdict), (None, Verdict::Fresh));
        assert_eq!(entry_ids(&subject.after(&["a"], start.after).await), follow);
    }
    let all = start(Cursor::At(early.unix_millis()));
    assert_eq!(entry_ids(&subject.after(&["a"], all.after).await).len(), 4);
}

pub async fn a_place_of_this_epoch_is_resumed_exactly(implementation: &dyn Implementation) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let ids = subject.fill("a", 4).await;
    let at = |id| Cursor::After(Places::one(subject.place(id)));
    let start = subject.resume(&at(ids[1]), subject.head());
    assert_eq!(
        (start.after, start.lost, start.verdict, start.gaps),
        (ids[1], None, Verdict::Exact, Gaps::Report)
    );
    let ahead = subject.resume(&at(newest()), subject.head());
    let after = match implementation.ahead() {
        Ahead::Forgotten => subject.head(),
        Ahead::Elsewhere => newest(),
    };
    assert_eq!((ahead.after, ahead.lost), (after, None));
    // once a log that is shared was asked, it knows that nobody can have had more than it holds
    let surely = subject.resume_surely(&at(newest())).await;
    assert_eq!((surely.after, surely.lost), (subject.head(), None));
}

pub async fn other_epochs_and_unknown_ids_get_a_possible_gap_and_all_there_is(
    implementation: &dyn Implementation,
) {
    let subject = Subject::open(implementation, Limits::none()).await;
    let ids = subject.fill("a", 4).await;
    let here = subject.place(ids[2]);
    let elsewhere = Place {
        epoch: Epoch::from_random(here.epoch.get() ^ 1),
        ..here
    };
    for (cursor, verdict, reason) in [
        (Cursor::Unknown, Verdict::Unknown, GapReason::UnknownId),
        (
            Cursor::After(Places::one(elsewhere)),
            Verdict::OtherEpoch,
            GapReason::Epoch,
        ),
    ] {
        let start = subject.resume_surely(&cursor).await;
        assert_eq!((start.after, start.verdict), (EventId::ZERO, verdict));
        let lost = start.lost.unwrap();
        assert_eq!((lost.reason, lost.certain), (reason, false));
    }
}
