//! How the password of a relay at its own Redis is replaced, with nobody locked out in between.
//!
//! Redis and the relay's pods see a changed Secret at different times. So a new password is first
//! made known to Redis, then used by the relay, then the old one is taken away; each step waits
//! until everybody must have seen the one before.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::tokens::Token;

/// In this time every kubelet has brought a changed Secret to its pods: its default is a minute and
/// what it takes to hear of it.
pub const SETTLED: Duration = Duration::from_secs(180);

/// Passwords of the relay's user at its own Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passwords {
    /// The one that the relay uses.
    pub current: Token,
    /// Where its replacement is.
    pub stage: Stage,
    /// What was asked for last: the replacement that is under way, or done.
    pub asked: Option<String>,
}

/// Where a replacement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is under way.
    Settled,
    /// Redis is told of the one to come.
    Announced {
        /// It.
        next: Token,
        /// Since when.
        since: Timestamp,
    },
    /// The relay uses the new one; the old one still works.
    Switched {
        /// The old one.
        previous: Token,
        /// Since when.
        since: Timestamp,
    },
}

impl Passwords {
    /// What they are now: `wanted` asks for a replacement if it is another text than before, and
    /// `fresh` is a new password, in case one is needed.
    #[must_use]
    pub fn step(self, wanted: Option<&str>, fresh: Token, now: Timestamp) -> Self {
        let settled = |since: Timestamp| {
            let passed = now.duration_since(since);
            // a clock that was set back asks for patience, not for a lockout
            passed.is_positive() && passed.unsigned_abs() >= SETTLED
        };
        match self.stage {
            Stage::Settled if wanted.is_some() && wanted != self.asked.as_deref() => Self {
                stage: Stage::Announced {
                    next: fresh,
                    since: now,
                },
                asked: wanted.map(ToOwned::to_owned),
                ..self
            },
            Stage::Announced { next, since } if settled(since) => Self {
                current: next,
                stage: Stage::Switched {
                    previous: self.current,
                    since: now,
                },
                ..self
            },
            Stage::Switched { since, .. } if settled(since) => Self {
                stage: Stage::Settled,
                ..self
            },
            _ => self,
        }
    }

    /// All that Redis must take now.
    #[must_use]
    pub fn taken(&self) -> Vec<&Token> {
        match &self.stage {
            Stage::Settled => vec![&self.current],
            Stage::Announced { next: other, .. }
            | Stage::Switched {
                previous: other, ..
            } => vec![&self.current, other],
        }
    }

    /// How long it is until the next step, if there is one.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Duration> {
        let since = match &self.stage {
            Stage::Settled => return None,
            Stage::Announced { since, .. } | Stage::Switched { since, .. } => *since,
        };
        let passed = now.duration_since(since);
        let passed = match passed.is_positive() {
            true => passed.unsigned_abs(),
            false => Duration::ZERO,
        };
        Some(SETTLED.saturating_sub(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u8) -> Token {
        Token::from_random([n; 32])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn redis_takes_the_new_password_before_it_is_used_and_the_old_one_while_it_may_be() {
        let start = Passwords {
            current: token(1),
            stage: Stage::Settled,
            asked: None,
        };
        let same = start.clone().step(None, token(9), at(0));
        assert_eq!(same, start);
        let announced = start.step(Some("monday"), token(2), at(0));
        assert_eq!(announced.current, token(1));
        assert_eq!(announced.taken(), [&token(1), &token(2)]);
        assert_eq!(announced.due(at(1)), Some(Duration::from_secs(179)));
        assert_eq!(announced.due(at(-1)), Some(SETTLED));
        assert_eq!(announced.due(at(500)), Some(Duration::ZERO));
        let waiting = announced.step(Some("monday"), token(9), at(179));
        assert_eq!(waiting.current, token(1));
        let switched = waiting.step(Some("monday"), token(9), at(180));
        assert_eq!(switched.current, token(2));
        assert_eq!(switched.taken(), [&token(2), &token(1)]);
        let waiting = switched.step(Some("tuesday"), token(9), at(181));
        let done = waiting.step(Some("tuesday"), token(9), at(360));
        assert_eq!(done.taken(), [&token(2)]);
        assert_eq!(done.due(at(360)), None);
        let again = done.step(Some("tuesday"), token(3), at(361));
        assert_eq!(again.taken(), [&token(2), &token(3)]);
    }

    #[test]
    fn a_clock_that_was_set_back_takes_nothing_away() {
        let switched = Passwords {
            current: token(2),
            stage: Stage::Switched {
                previous: token(1),
                since: at(0),
            },
            asked: None,
        };
        assert_eq!(switched.clone().step(None, token(9), at(-500)), switched);
    }
}
