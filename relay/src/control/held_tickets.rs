//! The tickets whose streams this replica has, and what the others are still to be told of them. Pure.

use super::recent::Recent;
use crate::{auth::TicketId, cursor::UnixMillis};
use std::collections::{HashMap, VecDeque};

/// How long a ticket is kept whose stream is open, unless its replica says so again, in milliseconds.
pub const KEPT: u64 = 15 * 60_000;
/// How often it does.
const AGAIN: u64 = 5 * 60_000;

/// What to say of one ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    pub id: TicketId,
    pub connection: Box<str>,
    /// When its stream ended; `None` while it is open.
    pub idle_since: Option<UnixMillis>,
}

/// A ticket as this replica wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub text: String,
    /// How often it had been changed by then.
    pub changes: u64,
    pub kept_until: UnixMillis,
}

/// Bounded by the streams of this replica: each has one ticket at most, and what is to be said of one
/// that ended takes the place of what was to be said before.
#[derive(Default, Debug)]
pub struct HeldTickets {
    open: HashMap<TicketId, Box<str>>,
    news: HashMap<TicketId, News>,
    /// New ends of their grants.
    extended: HashMap<TicketId, Option<UnixMillis>>,
    /// When those that are open are due again, in order; some are not open any more.
    due: VecDeque<(UnixMillis, TicketId, Box<str>)>,
    /// Streams that ended lately, and when.
    ended: Recent<(Box<str>, UnixMillis)>,
    written: Recent<Record>,
}

impl HeldTickets {
    pub fn opened(&mut self, id: TicketId, connection: &str, now: UnixMillis) {
        self.open.insert(id, connection.into());
        self.due.push_back((now + AGAIN, id, connection.into()));
        self.tell(id, connection, None);
    }

    /// One whose ticket has opened another stream here since has no say any more.
    pub fn closed(&mut self, id: TicketId, connection: &str, now: UnixMillis) {
        match self.open.get(&id) {
            Some(open) if **open == *connection => {
                self.open.remove(&id);
            }
            Some(_) => return,
            None => {}
        }
        self.ended.put(id, (connection.into(), now), now);
        self.tell(id, connection, Some(now));
    }

    /// Redis has confirmed what this replica wrote.
    pub fn wrote(&mut self, id: TicketId, record: Record, now: UnixMillis) {
        self.written.put(id, record, now);
    }

    /// What Redis confirmed lately.
    pub fn written(&mut self, now: UnixMillis) -> Vec<(TicketId, Record)> {
        self.written.forget(now);
        let written = self.written.iter();
        written.map(|(id, record)| (*id, record.clone())).collect()
    }

    /// Redis may have lost what it was told lately: all streams that are open, and those that ended
    /// lately, are to be told again.
    pub fn tell_again(&mut self, now: UnixMillis) {
        self.ended.forget(now);
        for (id, connection) in &self.open {
            self.news.entry(*id).or_insert_with(|| News {
                id: *id,
                connection: connection.clone(),
                idle_since: None,
            });
        }
        let ended = self.ended.iter();
        for (id, (connection, since)) in ended.filter(|(id, _)| !self.open.contains_key(id)) {
            self.news.entry(*id).or_insert_with(|| News {
                id: *id,
                connection: connection.clone(),
                idle_since: Some(*since),
            });
        }
    }

    /// The grant of its stream was extended to this end.
    pub fn extended(&mut self, id: TicketId, expires: Option<UnixMillis>) {
        self.extended.insert(id, expires);
    }

    /// New ends of grants to tell now, at most so many.
    pub fn take_extended(&mut self, most: usize) -> Vec<(TicketId, Option<UnixMillis>)> {
        let ids: Vec<TicketId> = self.extended.keys().take(most).copied().collect();
        ids.iter()
            .filter_map(|id| self.extended.remove_entry(id))
            .collect()
    }

    /// These could not be told; what was said since counts more.
    pub fn put_back_extended(&mut self, untold: Vec<(TicketId, Option<UnixMillis>)>) {
        for (id, expires) in untold {
            self.extended.entry(id).or_insert(expires);
        }
    }

    fn tell(&mut self, id: TicketId, connection: &str, idle_since: Option<UnixMillis>) {
        let connection = connection.into();
        let news = News {
            id,
            connection,
            idle_since,
        };
        self.news.insert(id, news);
    }

    /// What to tell now, at most so much.
    pub fn take(&mut self, now: UnixMillis, most: usize) -> Vec<News> {
        self.ended.forget(now);
        self.written.forget(now);
        let due = self.due.partition_point(|(due, ..)| *due <= now);
        for (_, id, connection) in self.due.drain(..due.min(most)).collect::<Vec<_>>() {
            if self.open.get(&id) == Some(&connection) {
                self.due.push_back((now + AGAIN, id, connection.clone()));
                self.tell(id, &connection, None);
            }
        }
        let ids: Vec<TicketId> = self.news.keys().take(most).copied().collect();
        ids.iter().filter_map(|id| self.news.remove(id)).collect()
    }

    /// It could not be told; what happened meanwhile counts more.
    pub fn put_back(&mut self, untold: Vec<News>) {
        for news in untold {
            self.news.entry(news.id).or_insert(news);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::recent::RECENT;

    fn id(text: &str) -> TicketId {
        TicketId::of(text)
    }

    fn told(held: &mut HeldTickets, now: UnixMillis) -> Vec<(Box<str>, Option<UnixMillis>)> {
        let news = held.take(now, 10);
        let mut told: Vec<_> = news
            .into_iter()
            .map(|n| (n.connection, n.idle_since))
            .collect();
        told.sort();
        told
    }

    #[test]
    fn others_are_told_of_a_stream_that_opened_and_again_while_it_lives() {
        let mut held = HeldTickets::default();
        held.opened(id("a"), "r-1", 0);
        assert_eq!(told(&mut held, 1), [("r-1".into(), None)]);
        assert_eq!(told(&mut held, AGAIN - 1), []);
        assert_eq!(told(&mut held, AGAIN), [("r-1".into(), None)]);
        held.closed(id("a"), "r-1", AGAIN + 5);
        assert_eq!(
            told(&mut held, AGAIN + 6),
            [("r-1".into(), Some(AGAIN + 5))]
        );
        assert_eq!(told(&mut held, 9 * AGAIN), []);
        assert!(held.due.is_empty() && held.open.is_empty());
    }

    #[test]
    fn a_stream_whose_place_another_took_has_no_say() {
        let mut held = HeldTickets::default();
        held.opened(id("a"), "r-1", 0);
        held.opened(id("a"), "r-2", 1);
        held.closed(id("a"), "r-1", 2);
        assert_eq!(told(&mut held, 3), [("r-2".into(), None)]);
    }

    #[test]
    fn what_redis_may_have_lost_is_told_again() {
        let mut held = HeldTickets::default();
        held.opened(id("a"), "r-1", 0);
        held.opened(id("b"), "r-2", 0);
        held.opened(id("c"), "r-3", 0);
        held.closed(id("b"), "r-2", 5);
        held.closed(id("c"), "r-3", 6);
        held.opened(id("c"), "r-4", 7);
        let all = [
            ("r-1".into(), None),
            ("r-2".into(), Some(5)),
            ("r-4".into(), None),
        ];
        assert_eq!(told(&mut held, 8), all);
        assert_eq!(told(&mut held, 9), []);
        held.tell_again(10);
        assert_eq!(told(&mut held, 10), all);
        held.tell_again(RECENT + 5);
        assert_eq!(
            told(&mut held, RECENT + 5),
            [("r-1".into(), None), ("r-4".into(), None)],
            "a failover loses no more than the last moments"
        );
        held.tell_again(20);
        held.closed(id("a"), "r-1", 20);
        assert!(told(&mut held, 21).contains(&("r-1".into(), Some(20))));
    }

    #[test]
    fn what_was_written_is_remembered_for_a_while_and_an_extension_until_it_is_told() {
        let mut held = HeldTickets::default();
        let record = |changes| Record {
            text: "x".into(),
            changes,
            kept_until: 9,
        };
        held.wrote(id("a"), record(0), 0);
        held.wrote(id("a"), record(1), 1);
        assert_eq!(held.written(2), [(id("a"), record(1))]);
        assert_eq!(held.written(RECENT + 1), []);
        held.extended(id("a"), Some(1));
        let untold = held.take_extended(10);
        held.extended(id("a"), Some(2));
        held.put_back_extended(untold);
        assert_eq!(held.take_extended(10), [(id("a"), Some(2))]);
    }

    #[test]
    fn what_could_not_be_told_is_told_later_unless_more_has_happened() {
        let mut held = HeldTickets::default();
        held.opened(id("a"), "r-1", 0);
        held.opened(id("b"), "r-2", 0);
        let untold = held.take(1, 10);
        held.closed(id("a"), "r-1", 2);
        held.put_back(untold);
        assert_eq!(
            told(&mut held, 3),
            [("r-1".into(), Some(2)), ("r-2".into(), None)]
        );
        for number in 0..20_u32 {
            held.opened(id(&number.to_string()), "r-9", 4);
        }
        assert_eq!(held.take(5, 15).len(), 15);
    }
}
