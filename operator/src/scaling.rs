//! How many replicas there should be, from what they say about themselves. Nothing here asks or
//! writes anything, and time is an argument.
//!
//! Replicas are added at once. One is taken away when for a while fewer were enough, one after the
//! other. What is not known counts as busy: a replica that is silent, or leaves, has as much to serve
//! as one is meant to, so nothing is taken away because of an answer that is missing.

mod aim;
mod past;

pub use aim::{Aim, HEADROOM, replicas};
pub use past::Past;

use std::time::Instant;

/// What there is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// Replicas that are asked for.
    pub wanted: i32,
    /// Pods that there are, those included that start or leave.
    pub pods: usize,
    /// What those say that answered.
    pub heard: Vec<Busy>,
}

/// What one replica serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Busy {
    /// Streams that are open.
    pub streams: u64,
    /// Bytes that it hands to them in a second; `None` until it was asked twice.
    pub egress: Option<f64>,
}

/// How many replicas there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// So many.
    pub replicas: i32,
    /// So many, if there were no largest number.
    pub needed: i32,
}

/// Room that is left when a replica is taken away, so that it need not come back at once: a tenth.
const SPARE: f64 = 0.9;
const NO_SPARE: f64 = 1.0;
/// The next replica leaves at the earliest after this part of the time that was waited for the first.
const BETWEEN: u32 = 10;

/// How many replicas there should be `now`; `past` is what was seen before, and remembers this.
pub fn verdict(aim: &Aim, fleet: &Fleet, past: &mut Past, now: Instant) -> Verdict {
    let needed = enough(aim, fleet, 0, NO_SPARE);
    let verdict = |replicas| Verdict { replicas, needed };
    let bounded = aim.within(fleet.wanted);
    if bounded != fleet.wanted {
        return verdict(bounded);
    }
    let up = aim.within(needed);
    if up > fleet.wanted {
        past.note(up, now, aim.down_after);
        return verdict(up);
    }
    let unknown = fleet.pods.saturating_sub(fleet.heard.len());
    let down = aim.within(enough(aim, fleet, unknown, SPARE));
    past.note(down, now, aim.down_after);
    let long_enough = past.highest(now, aim.down_after);
    let settled = usize::try_from(fleet.wanted) == Ok(fleet.pods);
    let may_leave = past.took_away_before(now, aim.down_after / BETWEEN);
    if settled && may_leave && long_enough.is_some_and(|highest| highest < fleet.wanted) {
        past.took_away(now);
        return verdict(fleet.wanted - 1);
    }
    verdict(fleet.wanted)
}

/// Replicas that can serve what `fleet` does, if each is filled to this share of what is aimed at, and
/// so many more serve as much as is aimed at.
fn enough(aim: &Aim, fleet: &Fleet, unknown: usize, share: f64) -> i32 {
    let streams: u64 = fleet.heard.iter().map(|busy| busy.streams).sum();
    let mut most = streams as f64 / aim.streams as f64 + unknown as f64;
    if let Some(egress) = aim.egress {
        let each = fleet.heard.iter().map(|busy| match busy.egress {
            Some(bytes) => bytes / egress as f64,
            // counts against taking away, and for nothing when replicas are added
            None if share < NO_SPARE => 1.0,
            None => 0.0,
        });
        most = most.max(each.sum::<f64>() + unknown as f64);
    }
    // more than fits is cut to what fits
    (most / share).ceil() as i32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn aim() -> Aim {
        Aim {
            min: 2,
            max: 10,
            streams: 100,
            egress: None,
            down_after: 10 * MINUTE,
        }
    }

    fn fleet(wanted: i32, streams: &[u64]) -> Fleet {
        let heard = streams.iter().map(|streams| Busy {
            streams: *streams,
            egress: None,
        });
        Fleet {
            wanted,
            pods: streams.len(),
            heard: heard.collect(),
        }
    }

    /// Looks every minute for so long, and returns what the last look says.
    fn look_for(minutes: u32, aim: &Aim, fleet: &Fleet, past: &mut Past, from: Instant) -> i32 {
        let looks = (0..=minutes).map(|n| verdict(aim, fleet, past, from + n * MINUTE).replicas);
        looks.last().expect("there is one")
    }

    #[test]
    fn replicas_are_added_at_once_and_at_most_as_many_as_allowed() {
        let now = Instant::now();
        let mut past = Past::default();
        let mut look =
            |wanted, streams: &[u64]| verdict(&aim(), &fleet(wanted, streams), &mut past, now);
        assert_eq!(look(2, &[100, 100]).replicas, 2);
        assert_eq!(look(2, &[100, 101]).replicas, 3);
        let flood = look(2, &[900, 900]);
        assert_eq!((flood.replicas, flood.needed), (10, 18));
        assert_eq!(look(2, &[0, 0]).replicas, 2);
    }

    #[test]
    fn a_replica_leaves_when_for_ten_minutes_fewer_were_enough() {
        let (start, mut past) = (Instant::now(), Past::default());
        let quiet = fleet(5, &[30; 5]);
        assert_eq!(look_for(9, &aim(), &quiet, &mut past, start), 5);
        assert_eq!(
            look_for(0, &aim(), &quiet, &mut past, start + 10 * MINUTE),
            4
        );
        // the next one a minute later, and only when the first has gone
        let soon = start + 10 * MINUTE + MINUTE / 2;
        assert_eq!(look_for(0, &aim(), &fleet(4, &[40; 4]), &mut past, soon), 4);
        let leaving = fleet(4, &[40; 5]);
        assert_eq!(
            look_for(0, &aim(), &leaving, &mut past, start + 11 * MINUTE),
            4
        );
        let gone = fleet(4, &[40; 4]);
        assert_eq!(
            look_for(0, &aim(), &gone, &mut past, start + 11 * MINUTE),
            3
        );
    }

    #[test]
    fn one_busy_moment_keeps_replicas_for_ten_minutes_more() {
        let (start, mut past) = (Instant::now(), Past::default());
        look_for(8, &aim(), &fleet(4, &[10; 4]), &mut past, start);
        look_for(
            0,
            &aim(),
            &fleet(4, &[95; 4]),
            &mut past,
            start + 9 * MINUTE,
        );
        let quiet = fleet(4, &[10; 4]);
        assert_eq!(
            look_for(9, &aim(), &quiet, &mut past, start + 10 * MINUTE),
            4
        );
        assert_eq!(
            look_for(0, &aim(), &quiet, &mut past, start + 20 * MINUTE),
            3
        );
    }

    #[test]
    fn what_is_left_has_room_when_a_replica_leaves() {
        let full = |streams: &[u64]| {
            let wanted = i32::try_from(streams.len()).unwrap();
            look_for(
                30,
                &aim(),
                &fleet(wanted, streams),
                &mut Past::default(),
                Instant::now(),
            )
        };
        assert_eq!(full(&[95, 95, 1]), 3, "191 are over nine tenths of 200");
        assert_eq!(full(&[90, 80, 1]), 2);
    }

    #[test]
    fn silent_replicas_count_as_busy_and_nothing_is_taken_away_blindly() {
        let silent = |pods: usize, heard: &[u64]| {
            let mut fleet = fleet(4, heard);
            fleet.pods = pods;
            look_for(60, &aim(), &fleet, &mut Past::default(), Instant::now())
        };
        assert_eq!(silent(4, &[]), 4);
        assert_eq!(silent(4, &[90, 90]), 4);
        assert_eq!(silent(4, &[0, 0]), 3);
        assert_eq!(silent(5, &[0, 0, 0, 0]), 4, "one leaves already");
        assert_eq!(silent(0, &[]), 4, "none is there yet");
    }

    #[test]
    fn bytes_count_as_streams_do() {
        let aim = Aim {
            egress: Some(1_000),
            ..aim()
        };
        let sends = |bytes: Option<f64>| Busy {
            streams: 1,
            egress: bytes,
        };
        let fleet = |bytes: Option<f64>| Fleet {
            wanted: 3,
            pods: 3,
            heard: vec![sends(bytes); 3],
        };
        let verdict = |bytes| {
            let mut past = Past::default();
            look_for(30, &aim, &fleet(bytes), &mut past, Instant::now())
        };
        assert_eq!(verdict(Some(1_500.0)), 5);
        assert_eq!(verdict(Some(900.0)), 3);
        assert_eq!(verdict(Some(10.0)), 2);
        assert_eq!(verdict(None), 3, "not known yet");
    }

    #[test]
    fn other_bounds_hold_at_once() {
        let look = |wanted| {
            let fleet = fleet(wanted, &vec![100; wanted as usize]);
            verdict(&aim(), &fleet, &mut Past::default(), Instant::now()).replicas
        };
        assert_eq!(look(14), 10);
        assert_eq!(look(1), 2);
    }

    #[test]
    fn absurd_answers_do_no_more_than_ask_for_the_most() {
        let fleet = fleet(2, &[u64::MAX / 4, u64::MAX / 4]);
        let verdict = verdict(&aim(), &fleet, &mut Past::default(), Instant::now());
        assert_eq!((verdict.replicas, verdict.needed), (10, i32::MAX));
    }
}
