//! Shares of limits that hold for all replicas together. Pure.
//!
//! A replica that nobody has told otherwise has an even share of each limit. What it uses and wants of
//! a limit it tells the others once a second, and gets a share by that: what it uses, and an even part
//! of what nobody uses. So the shares add up to the limit, and what one replica does not need another
//! one has.

use super::bucket::Moment;
use relay_config::{ByteSize, Limit};
use std::time::Duration;

/// How long what is asked is counted before it is a rate.
const WINDOW: Duration = Duration::from_millis(900);

/// What is used: streams that are open, and so much of the rest in a second.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    pub streams: u64,
    pub opens: u64,
    pub publishes: u64,
    pub bytes: u64,
}

impl Usage {
    pub fn is_nothing(&self) -> bool {
        *self == Usage::default()
    }

    fn plus(self, other: Usage) -> Usage {
        Usage {
            streams: self.streams.saturating_add(other.streams),
            opens: self.opens.saturating_add(other.opens),
            publishes: self.publishes.saturating_add(other.publishes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What one account shares with the same account of other replicas.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sharing {
    /// Asked for since then, whether it was let through or not.
    asked: Usage,
    since: Moment,
    /// The same in a second, before that.
    rates: Usage,
    /// What the others know.
    pub reported: Usage,
    pub share: Option<Usage>,
    /// It waits to be looked at.
    pub listed: bool,
    /// It waits for a larger share.
    pub urgent: bool,
}

impl Sharing {
    pub fn ask(&mut self, asked: Usage, now: Moment) {
        if self.asked.is_nothing() && self.rates.is_nothing() {
            self.since = now;
        }
        self.asked = self.asked.plus(asked);
    }

    /// What it uses and wants now, no more of it than all may have together.
    pub fn usage(&mut self, limit: Limit, streams: u32, now: Moment) -> Usage {
        let elapsed = now.saturating_sub(self.since);
        if elapsed >= WINDOW {
            let of = |asked: u64, before: u64| {
                let rate = u128::from(asked) * 1000 / elapsed.as_millis().max(1);
                // it falls slowly, so that a share does not go up and down with each pause
                u64::try_from(rate).unwrap_or(u64::MAX).max(before / 2)
            };
            self.rates = Usage {
                streams: 0,
                opens: of(self.asked.opens, self.rates.opens),
                publishes: of(self.asked.publishes, self.rates.publishes),
                bytes: of(self.asked.bytes, self.rates.bytes),
            };
            self.asked = Usage::default();
            self.since = now;
        }
        let cut = |used: u64, max: Option<u64>| max.map_or(0, |max| used.min(max));
        let most = amounts(limit);
        Usage {
            streams: cut(u64::from(streams), most[0].map(|_| u64::MAX)),
            opens: cut(self.rates.opens, most[1]),
            publishes: cut(self.rates.publishes, most[2]),
            bytes: cut(self.rates.bytes, most[3]),
        }
    }

    /// Whether nothing is asked for any more, and the others know what is used.
    pub fn is_settled(&self, usage: Usage) -> bool {
        let rates = Usage {
            streams: 0,
            ..usage
        };
        rates.is_nothing() && self.asked.is_nothing() && self.reported == usage
    }
}

/// A limit as numbers: streams, opens, publishes, bytes.
fn amounts(limit: Limit) -> [Option<u64>; 4] {
    [
        limit.streams.map(u64::from),
        limit.opens_per_second.map(u64::from),
        limit.publishes_per_second.map(u64::from),
        limit.publish_bytes_per_second.map(ByteSize::get),
    ]
}

/// The share of a replica that uses `mine` of what all together use.
pub fn share(limit: Limit, mine: Usage, all: Usage, replicas: u64) -> Usage {
    let [streams, opens, publishes, bytes] = amounts(limit).map(Option::unwrap_or_default);
    let part = |max: u64, mine: u64, all: u64| {
        let all = all.max(mine);
        match max.checked_sub(all) {
            Some(free) => mine + free / replicas.max(1),
            None => {
                let part = u128::from(max) * u128::from(mine) / u128::from(all.max(1));
                u64::try_from(part).unwrap_or(max)
            }
        }
    };
    // streams stay, so whoever has them has them; the last free ones may be had by anybody
    let free = streams.saturating_sub(all.streams.max(mine.streams));
    Usage {
        streams: mine.streams + free.div_ceil(replicas.max(1)),
        opens: part(opens, mine.opens, all.opens),
        publishes: part(publishes, mine.publishes, all.publishes),
        bytes: part(bytes, mine.bytes, all.bytes),
    }
}

/// The bounds of this replica: its share, or an even one; one of anything at least.
pub fn bounded(limit: Limit, share: Option<Usage>, replicas: u64) -> Limit {
    let of = |max: u64, share: Option<u64>| {
        let even = max.div_ceil(replicas.max(1));
        share.unwrap_or(even).min(max)
    };
    let small = |max: Option<u32>, share: Option<u64>| {
        let bound = max.map(|max| of(u64::from(max), share));
        bound.map(|bound| u32::try_from(bound).unwrap_or(u32::MAX))
    };
    Limit {
        streams: small(limit.streams, share.map(|share| share.streams)),
        opens_per_second: small(
            limit.opens_per_second,
            share.map(|share| share.opens.max(1)),
        ),
        publishes_per_second: small(
            limit.publishes_per_second,
            share.map(|share| share.publishes.max(1)),
        ),
        publish_bytes_per_second: limit
            .publish_bytes_per_second
            .map(|max| ByteSize(of(max.get(), share.map(|share| share.bytes.max(1))))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(streams: u32, publishes: u32) -> Limit {
        Limit {
            streams: Some(streams),
            publishes_per_second: Some(publishes),
            ..Limit::default()
        }
    }

    #[test]
    fn without_a_share_each_replica_has_an_even_part() {
        let even = bounded(limit(10, 100), None, 3);
        assert_eq!(
            (even.streams, even.publishes_per_second),
            (Some(4), Some(34))
        );
        assert_eq!(even.opens_per_second, None, "what is not bounded stays so");
        assert_eq!(bounded(limit(1, 1), None, 30).streams, Some(1));
        assert_eq!(bounded(limit(10, 100), None, 1), limit(10, 100));
    }

    #[test]
    fn what_others_do_not_use_one_replica_has() {
        let mine = Usage {
            streams: 4,
            publishes: 90,
            ..Usage::default()
        };
        let alone = share(limit(10, 100), mine, mine, 3);
        assert_eq!((alone.streams, alone.publishes), (6, 93));
        let all = Usage {
            streams: 10,
            publishes: 180,
            ..Usage::default()
        };
        let busy = share(limit(10, 100), mine, all, 3);
        assert_eq!((busy.streams, busy.publishes), (4, 50));
        let bound = bounded(limit(10, 100), Some(busy), 3);
        assert_eq!(
            (bound.streams, bound.publishes_per_second),
            (Some(4), Some(50))
        );
    }

    #[test]
    fn a_rate_is_what_was_asked_in_a_second_and_falls_slowly() {
        let second = Duration::from_secs(1);
        let mut sharing = Sharing::default();
        let asked = Usage {
            publishes: 80,
            ..Usage::default()
        };
        sharing.ask(asked, second);
        let mut at = |now: Moment| sharing.usage(limit(1, 1000), 0, now).publishes;
        assert_eq!(at(second + second / 2), 0, "not yet");
        assert_eq!(at(2 * second), 80);
        assert_eq!(at(3 * second), 40);
        for later in 4..12 {
            at(later * second);
        }
        let usage = sharing.usage(limit(1, 1000), 0, 12 * second);
        assert!(sharing.is_settled(usage), "{sharing:?}");
    }

    proptest! {
        /// Replicas that report after each stream that they open or close.
        #[test]
        fn streams_pass_a_limit_by_less_than_one_for_each_other_replica(
            replicas in 1_usize..6,
            max in 1_u32..30,
            steps in prop::collection::vec((0_usize..6, any::<bool>()), 1..200),
        ) {
            let count = replicas as u64;
            let mut open = vec![0_u32; replicas];
            let mut shares = vec![None; replicas];
            for (replica, opens) in steps {
                let one = replica % replicas;
                if opens {
                    let bound = bounded(limit(max, 1), shares[one], count).streams.unwrap();
                    if open[one] < bound {
                        open[one] += 1;
                    }
                } else {
                    open[one] = open[one].saturating_sub(1);
                }
                let usage = |streams: u32| Usage { streams: u64::from(streams), ..Usage::default() };
                let all = usage(open.iter().sum());
                shares[one] = Some(share(limit(max, 1), usage(open[one]), all, count));
                let all = open.iter().sum::<u32>();
                prop_assert!(all < max + replicas as u32, "{open:?} of {max}");
            }
        }

        #[test]
        fn shares_of_a_rate_add_up_to_it_once_all_have_told(
            wanted in prop::collection::vec(0_u64..500, 1..8),
            max in 1_u32..1000,
        ) {
            let count = wanted.len() as u64;
            let capped: Vec<u64> = wanted.iter().map(|one| (*one).min(u64::from(max))).collect();
            let usage = |publishes| Usage { publishes, ..Usage::default() };
            let all = usage(capped.iter().sum());
            let shares = capped.iter().map(|one| share(limit(1, max), usage(*one), all, count).publishes);
            let sum: u64 = shares.clone().sum();
            prop_assert!(sum <= u64::from(max), "{sum} of {max}");
            prop_assert!(sum + count >= u64::from(max), "{sum} of {max}: nothing is left unused");
            for (wanted, share) in capped.iter().zip(shares) {
                prop_assert!(all.publishes > u64::from(max) || share >= *wanted);
            }
        }
    }
}
