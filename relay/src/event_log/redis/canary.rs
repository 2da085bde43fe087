//! An event of each replica and second in each partition, published as any other, that tells whether
//! what is published really arrives. Pure.

use super::entry::{Message, Undecodable};
use crate::{
    channel::ChannelName,
    event::{Data, Event},
    event_log::health::Hearing,
};
use std::time::{Duration, Instant};

/// How often a canary is sent.
pub const EVERY: Duration = Duration::from_secs(1);
/// A canary that has not come back after this says that the log is not as it should be.
pub const LATE: Duration = Duration::from_millis(2500);
/// Canaries of others that count as news of how they are.
pub const RECENT: Duration = Duration::from_secs(3);
/// A replica is alone when so many of its canaries in a row went out before the one before them came
/// back, while those of another did come back. It is more of them than [`RECENT`] covers, so that a fault
/// of all is not taken for one of whoever looks first.
const ALONE: u32 = 6;
/// Ends the text of a canary that is sent while none is out.
const WELL: &str = "well";
const WAITING: &str = "waiting";

/// What recent canaries of other replicas say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Others {
    /// At least one hears its own.
    Well,
    NotKnownToBeWell,
}

/// The canaries of one replica in one partition.
#[derive(Debug)]
pub struct Canary {
    /// Tells this process from all others.
    name: u64,
    number: u64,
    /// The oldest that is still out, and when it was sent.
    out: Option<(u64, Instant)>,
    lag: Duration,
    /// How many were sent in a row while one was out and another replica was well.
    alone: u32,
}

impl Canary {
    pub fn new(name: u64) -> Canary {
        Canary {
            name,
            number: 0,
            out: None,
            lag: Duration::ZERO,
            alone: 0,
        }
    }

    /// The next one to be sent.
    pub fn send(&mut self, now: Instant) -> Event {
        self.number += 1;
        let how = match self.out {
            None => WELL,
            Some(_) => WAITING,
        };
        self.out.get_or_insert((self.number, now));
        Event {
            data: Some(Data::text(&format!(
                "{:x} {} {how}",
                self.name, self.number
            ))),
            ..Event::default()
        }
    }

    /// Whether the last one was sent while one before it was out: then it is to be found out how other
    /// replicas are.
    pub fn is_waiting(&self) -> bool {
        self.out.is_some_and(|(oldest, _)| oldest < self.number)
    }

    /// Whether a canary is another replica's that hears its own.
    pub fn is_of_another_that_is_well(&self, canary: &Event) -> bool {
        let text = canary.data.as_ref().map_or("", Data::as_str);
        let mut words = text.split(' ');
        let name = words.next().map(|name| u64::from_str_radix(name, 16));
        name.is_some_and(|name| name.is_ok_and(|name| name != self.name))
            && words.nth(1) == Some(WELL)
    }

    /// After each that was sent, what was found of the others.
    pub fn note(&mut self, others: Others) {
        self.alone = match others {
            Others::Well if self.is_waiting() => self.alone.saturating_add(1),
            Others::Well | Others::NotKnownToBeWell => 0,
        };
    }

    pub fn hearing(&self) -> Hearing {
        match self.alone {
            ALONE.. => Hearing::Alone,
            _ => Hearing::Shared,
        }
    }

    /// One arrived, perhaps another replica's.
    pub fn arrived(
        &mut self,
        message: &Message<'_>,
        channel: &ChannelName,
        now: Instant,
    ) -> Result<(), Undecodable> {
        let partition = crate::cursor::Partition::ONLY;
        for entry in message.publishes(partition, channel)?.iter().flatten() {
            let text = entry.event.data.as_ref().map_or("", Data::as_str);
            let mut words = text.split(' ');
            let (Some(name), Some(number)) = (words.next(), words.next()) else {
                continue;
            };
            let ours = u64::from_str_radix(name, 16) == Ok(self.name);
            if let (true, Ok(number), Some((oldest, sent))) =
                (ours, number.parse::<u64>(), self.out)
                && number >= oldest
            {
                // a later one is as good: what was before it has come, or never will
                let every = u32::try_from(number - oldest).unwrap_or(u32::MAX);
                let since = now
                    .duration_since(sent)
                    .saturating_sub(EVERY.saturating_mul(every));
                self.lag = since;
                self.out = None;
            }
        }
        Ok(())
    }

    /// How long ago what is received now was published: what the last canary took, or how long one
    /// has been out if that is longer.
    pub fn lag(&self, now: Instant) -> Duration {
        let out = self.out.map(|(_, sent)| now.duration_since(sent));
        self.lag.max(out.unwrap_or_default())
    }

    /// Whether one has been out for too long.
    pub fn is_late(&self, now: Instant) -> bool {
        self.out
            .is_some_and(|(_, sent)| now.duration_since(sent) > LATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::redis::entry::{Part, encode_event};

    fn channel() -> ChannelName {
        ChannelName::parse("c").unwrap()
    }

    fn arrive(canary: &mut Canary, event: &Event, now: Instant) {
        let event = encode_event(event, Part::Begins);
        let mut bytes = format!("1 5 100 0 {}:", event.len()).into_bytes();
        bytes.extend_from_slice(&event);
        canary
            .arrived(&Message::parse(&bytes).unwrap(), &channel(), now)
            .unwrap();
    }

    #[test]
    fn a_canary_that_returns_tells_the_lag() {
        let start = Instant::now();
        let (mut canary, mut other) = (Canary::new(1), Canary::new(2));
        let at = |millis| start + Duration::from_millis(millis);
        let first = canary.send(at(0));
        assert_eq!(canary.lag(at(0)), Duration::ZERO);
        arrive(&mut canary, &other.send(at(0)), at(3));
        assert_eq!(
            canary.lag(at(3)),
            Duration::from_millis(3),
            "that was another replica's"
        );
        arrive(&mut canary, &first, at(5));
        assert_eq!(canary.lag(at(900)), Duration::from_millis(5));
        assert!(!canary.is_late(at(60_000)), "none is out");
    }

    #[test]
    fn a_replica_is_alone_only_while_another_hears_what_it_does_not() {
        let start = Instant::now();
        let (mut canary, mut other) = (Canary::new(1), Canary::new(2));
        let well = other.send(start);
        assert!(canary.is_of_another_that_is_well(&well));
        assert!(!other.is_of_another_that_is_well(&well), "its own");
        assert!(!canary.is_of_another_that_is_well(&other.send(start)));
        assert!(
            !canary.is_of_another_that_is_well(&Event::text("2 7")),
            "of an older release"
        );
        canary.send(start);
        assert!(!canary.is_waiting(), "the first is on its way");
        for _ in 0..ALONE {
            assert_eq!(canary.hearing(), Hearing::Shared);
            canary.send(start);
            canary.note(Others::Well);
        }
        assert_eq!(canary.hearing(), Hearing::Alone);
        canary.send(start);
        canary.note(Others::NotKnownToBeWell);
        assert_eq!(canary.hearing(), Hearing::Shared, "all share the fault");
        for _ in 0..ALONE {
            canary.send(start);
            canary.note(Others::Well);
        }
        let back = canary.send(start);
        arrive(&mut canary, &back, start);
        canary.note(Others::Well);
        assert_eq!(canary.hearing(), Hearing::Shared, "one came back");
    }

    #[test]
    fn one_that_stays_away_is_late_until_a_later_one_returns() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut canary = Canary::new(1);
        for second in 0..3 {
            canary.send(at(second * 1000));
        }
        assert!(canary.is_late(at(2600)) && !canary.is_late(at(2400)));
        let fourth = canary.send(at(3000));
        arrive(&mut canary, &fourth, at(3010));
        assert!(!canary.is_late(at(9000)));
        assert_eq!(canary.lag(at(3010)), Duration::from_millis(10));
    }
}
