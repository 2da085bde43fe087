//! Which replicas live, as far as Redis last told. Pure.

use crate::cursor::UnixMillis;
use std::time::Duration;

/// A replica that was not heard of for so long is taken for dead; it beats every second.
pub const LEASE: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub id: Box<str>,
    /// When it was heard of last, by the clock of Redis.
    pub seen: UnixMillis,
}

/// All replicas that are remembered, in the order of their ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster {
    now: UnixMillis,
    members: Vec<Member>,
}

/// What is known of a replica's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pulse {
    Alive,
    /// It was heard of last so many milliseconds ago.
    Dead(u64),
    /// Nothing is known of it: it is long gone, or never was.
    Unknown,
}

impl Roster {
    /// `now` is by the clock of Redis.
    pub fn new(now: UnixMillis, mut members: Vec<Member>) -> Roster {
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Roster { now, members }
    }

    pub fn pulse(&self, id: &str) -> Pulse {
        let member = self.members.iter().find(|member| *member.id == *id);
        match member.map(|member| self.silence(member)) {
            None => Pulse::Unknown,
            Some(silence) if silence > LEASE => Pulse::Dead(silence.as_millis() as u64),
            Some(_) => Pulse::Alive,
        }
    }

    fn silence(&self, member: &Member) -> Duration {
        Duration::from_millis(self.now.saturating_sub(member.seen))
    }

    /// Replicas that live, and how long ago they were heard of.
    pub fn living(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.members
            .iter()
            .map(|member| (&*member.id, self.silence(member)))
            .filter(|(_, silence)| *silence <= LEASE)
    }

    /// The same but for one.
    pub fn others(&self, me: &str) -> Vec<Box<str>> {
        let others = self.living().map(|(id, _)| id);
        others.filter(|id| *id != me).map(Into::into).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, seen: UnixMillis) -> Member {
        Member {
            id: id.into(),
            seen,
        }
    }

    #[test]
    fn who_was_not_heard_of_for_a_lease_is_dead_and_after_that_forgotten() {
        let roster = Roster::new(
            100_000,
            vec![
                member("c", 99_000),
                member("a", 90_000),
                member("b", 89_999),
            ],
        );
        assert_eq!(roster.pulse("a"), Pulse::Alive);
        assert_eq!(roster.pulse("b"), Pulse::Dead(10_001));
        assert_eq!(roster.pulse("d"), Pulse::Unknown);
        let living: Vec<_> = roster.living().map(|(id, _)| id).collect();
        assert_eq!(living, ["a", "c"], "in the order of their ids");
        assert_eq!(roster.others("a"), [Box::<str>::from("c")]);
    }

    #[test]
    fn one_that_was_heard_of_after_the_time_of_the_answer_lives() {
        assert_eq!(
            Roster::new(5, vec![member("a", 9)]).pulse("a"),
            Pulse::Alive
        );
    }
}
