//! When the next call to Redis goes, while publishes come in a stream (`redis.publishWindow`). Pure.
//!
//! The window is the least time between the beginnings of two calls, so a publish that comes after a
//! quiet while goes at once. Within it a call goes as soon as as many wait as ever did lately: who
//! publishes one after another, each after the answer to the one before, has no company and is not held
//! up. That nobody else comes is found out by waiting once in a while.

use std::time::Duration;
use tokio::time::Instant;

/// Calls after which what is known of company is renewed.
const PERIOD: u32 = 16;
/// Periods after which a call waits a whole window, at most, when that brought no more company before.
const MOST_QUIET: u32 = 16;

/// The calls of one partition.
#[derive(Debug)]
pub struct Pace {
    window: Duration,
    /// When the last call began.
    began: Option<Instant>,
    /// Calls of this period.
    calls: u32,
    /// Publishes of the largest call of the period before, and of this one.
    company: usize,
    largest: usize,
    looking: Looking,
    /// Periods between two looks, and until the next one.
    quiet: u32,
    until_look: u32,
}

/// Whether a call waits a whole window, to see how many come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Looking {
    Next,
    Now,
    Not,
}

impl Pace {
    /// Without a window every call goes at once.
    pub fn new(window: Duration) -> Pace {
        Pace {
            window,
            began: None,
            calls: 0,
            company: 1,
            largest: 0,
            looking: Looking::Next,
            quiet: 1,
            until_look: 1,
        }
    }

    /// Until when a call with so many publishes waits for more; `None` if it goes now.
    pub fn wait(&mut self, now: Instant, publishes: usize) -> Option<Instant> {
        let until = self.began? + self.window;
        if until <= now || (self.looking == Looking::Not && publishes >= self.company) {
            return None;
        }
        if self.looking == Looking::Next {
            self.looking = Looking::Now;
        }
        Some(until)
    }

    /// A call begins.
    pub fn began(&mut self, now: Instant, publishes: usize) {
        self.began = Some(now);
        self.largest = self.largest.max(publishes);
        self.calls += 1;
        if self.looking == Looking::Now {
            self.looking = Looking::Not;
            self.quiet = match self.largest > self.company {
                true => 1,
                false => (self.quiet * 2).min(MOST_QUIET),
            };
            self.until_look = self.quiet;
            self.company = self.company.max(self.largest);
        }
        if self.calls == PERIOD {
            self.company = self.largest;
            (self.calls, self.largest) = (0, 0);
            self.until_look = self.until_look.saturating_sub(1);
            if self.until_look == 0 && self.looking == Looking::Not {
                self.looking = Looking::Next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WINDOW: Duration = Duration::from_millis(2);

    /// What a stream of publishes comes to.
    #[derive(Default, Debug)]
    struct Sum {
        calls: u32,
        publishes: u32,
        longest: Duration,
        held: u32,
    }

    impl Sum {
        fn add(&mut self, publishes: usize, waited: Duration) {
            self.calls += 1;
            self.publishes += u32::try_from(publishes).unwrap();
            self.longest = self.longest.max(waited);
            self.held += u32::from(!waited.is_zero());
        }
    }

    /// One publish each `every`, whatever becomes of those before; answers come at once.
    fn open_loop(pace: &mut Pace, every: Duration, count: u32) -> Sum {
        let mut sum = Sum::default();
        let mut waiting: Vec<Instant> = Vec::new();
        let mut now = Instant::now();
        for _ in 0..count {
            now += every;
            if let Some(&first) = waiting.first()
                && let Some(until) = pace.began.map(|began| began + WINDOW)
                && until <= now
            {
                pace.began(until, waiting.len());
                sum.add(waiting.len(), until - first);
                waiting.clear();
            }
            waiting.push(now);
            if pace.wait(now, waiting.len()).is_none() {
                pace.began(now, waiting.len());
                sum.add(waiting.len(), now - waiting[0]);
                waiting.clear();
            }
        }
        sum
    }

    /// So many publishers, each of which publishes anew a moment after its answer.
    fn closed_loop(pace: &mut Pace, publishers: usize, rounds: u32) -> Sum {
        let mut sum = Sum::default();
        let mut now = Instant::now();
        for _ in 0..rounds {
            let mut until = None;
            for waiting in 1..=publishers {
                now += MS / 20;
                until = pace.wait(now, waiting);
                if until.is_none() && waiting < publishers {
                    pace.began(now, waiting); // the others have the next call
                    sum.add(waiting, Duration::ZERO);
                    break;
                }
            }
            let at = until.unwrap_or(now);
            pace.began(at, publishers);
            sum.add(publishers, at - now);
            now = at + MS / 5;
        }
        sum
    }

    #[test]
    fn publishes_that_come_seldom_go_at_once() {
        let sum = open_loop(&mut Pace::new(WINDOW), 3 * MS, 100);
        assert_eq!((sum.calls, sum.held), (100, 0));
    }

    #[test]
    fn a_stream_of_publishes_shares_calls_and_none_waits_longer_than_the_window() {
        let sum = open_loop(&mut Pace::new(WINDOW), 3 * MS / 10, 4000);
        let each = f64::from(sum.publishes) / f64::from(sum.calls);
        assert!(each >= 5.0, "{each} publishes a call");
        assert!(sum.longest <= WINDOW, "{sum:?}");
    }

    #[test]
    fn one_who_waits_for_each_answer_is_hardly_ever_held_up() {
        let sum = closed_loop(&mut Pace::new(WINDOW), 1, 10_000);
        assert!(sum.held <= 10_000 / 200, "{sum:?}");
    }

    #[test]
    fn several_who_wait_for_their_answers_share_calls_and_are_hardly_held_up() {
        let sum = closed_loop(&mut Pace::new(WINDOW), 8, 10_000);
        let each = f64::from(sum.publishes) / f64::from(sum.calls);
        assert!(each >= 7.9, "{each} publishes a call");
        assert!(sum.held <= 10_000 / 100, "{sum:?}");
    }

    #[test]
    fn fewer_publishers_are_noticed_soon() {
        let mut pace = Pace::new(WINDOW);
        closed_loop(&mut pace, 8, 1000);
        let sum = closed_loop(&mut pace, 3, 1000);
        assert!(sum.held <= 3 * PERIOD, "{sum:?}");
    }

    #[test]
    fn without_a_window_nothing_waits() {
        let sum = open_loop(&mut Pace::new(Duration::ZERO), MS / 10, 1000);
        assert_eq!((sum.calls, sum.held), (1000, 0));
    }
}
