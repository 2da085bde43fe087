//! Two samples make a rate. Pure; what the counters cannot tell is `None`, never a made-up number.

use super::proc::{Bytes, CpuTicks, IDLE};
use std::{collections::BTreeMap, time::Duration};

/// Two samples further apart than this say nothing of now: the machine was suspended, or its clock
/// was set. The later one is a new start.
pub const LONGEST: Duration = Duration::from_secs(60);
/// Two samples closer together than this measure noise.
const SHORTEST: Duration = Duration::from_millis(50);

/// Time between two samples that rates can be told of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Elapsed {
    seconds: f64,
}

impl Elapsed {
    /// `milliseconds` is negative when a clock was set back.
    pub fn of_milliseconds(milliseconds: i64) -> Option<Elapsed> {
        let time = Duration::from_millis(u64::try_from(milliseconds).ok()?);
        (SHORTEST..=LONGEST).contains(&time).then_some(Elapsed {
            seconds: time.as_secs_f64(),
        })
    }

    fn per_second(self, bytes: u64) -> u64 {
        (bytes as f64 / self.seconds).round() as u64
    }
}

/// How busy a processor was between two samples, in percent with one decimal. Each kind of time is
/// compared for itself, since the kernel lets some (iowait) run backwards.
pub fn busy_percent(before: &CpuTicks, after: &CpuTicks) -> Option<f64> {
    let mut spent = [0u64; 8];
    for (slot, (before, after)) in spent
        .iter_mut()
        .zip(before.fields.iter().zip(&after.fields))
    {
        *slot = after.saturating_sub(*before);
    }
    let total: u64 = spent.iter().sum();
    let idle: u64 = IDLE.iter().map(|index| spent[*index]).sum();
    (total > 0).then(|| percent(total - idle, total))
}

/// With one decimal. `whole` is not zero.
pub fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 1000.0).round() / 10.0
}

/// Bytes per second of every device that is in both samples and whose counters did not go back, as
/// they do when a device was taken out and put in again. `None` when there are devices and nothing
/// can be told of any.
pub fn per_second(
    before: &BTreeMap<String, Bytes>,
    after: &BTreeMap<String, Bytes>,
    elapsed: Elapsed,
) -> Option<BTreeMap<String, Bytes>> {
    let rate = |name: &String, now: &Bytes| {
        let then = before.get(name)?;
        Some(Bytes {
            inward: elapsed.per_second(now.inward.checked_sub(then.inward)?),
            outward: elapsed.per_second(now.outward.checked_sub(then.outward)?),
        })
    };
    let rates: BTreeMap<_, _> = after
        .iter()
        .filter_map(|(name, now)| Some((name.clone(), rate(name, now)?)))
        .collect();
    (after.is_empty() || !rates.is_empty()).then_some(rates)
}

pub fn sum<'a>(all: impl Iterator<Item = &'a Bytes>) -> Bytes {
    all.fold(Bytes::default(), |sum, one| Bytes {
        inward: sum.inward.saturating_add(one.inward),
        outward: sum.outward.saturating_add(one.outward),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(user: u64, idle: u64, iowait: u64) -> CpuTicks {
        CpuTicks {
            fields: [user, 0, 0, idle, iowait, 0, 0, 0],
        }
    }

    fn devices(all: &[(&str, u64, u64)]) -> BTreeMap<String, Bytes> {
        let one = |(name, inward, outward): &(&str, u64, u64)| {
            let bytes = Bytes {
                inward: *inward,
                outward: *outward,
            };
            ((*name).to_owned(), bytes)
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn busy_is_what_was_neither_idle_nor_waiting() {
        assert_eq!(
            busy_percent(&ticks(100, 100, 0), &ticks(125, 165, 10)),
            Some(25.0)
        );
        assert_eq!(busy_percent(&ticks(0, 0, 0), &ticks(1, 2, 0)), Some(33.3));
    }

    #[test]
    fn ticks_that_stand_still_or_go_back_are_no_percentage() {
        assert_eq!(busy_percent(&ticks(5, 5, 5), &ticks(5, 5, 5)), None);
        assert_eq!(busy_percent(&ticks(50, 50, 5), &ticks(1, 1, 1)), None);
        assert_eq!(
            busy_percent(&ticks(0, 0, 9), &ticks(1, 1, 8)),
            Some(50.0),
            "only iowait went back"
        );
    }

    #[test]
    fn a_device_that_came_anew_has_no_rate_yet() {
        let before = devices(&[("a", 0, 0), ("b", 10, 10), ("gone", 1, 1)]);
        let after = devices(&[("a", 500, 1000), ("b", 5, 20), ("new", 9, 9)]);
        let half = Elapsed::of_milliseconds(500).unwrap();
        assert_eq!(
            per_second(&before, &after, half),
            Some(devices(&[("a", 1000, 2000)]))
        );
        assert_eq!(per_second(&devices(&[]), &after, half), None);
        let none = devices(&[]);
        assert_eq!(per_second(&none, &none, half), Some(none.clone()));
    }

    #[test]
    fn a_suspended_machine_and_a_clock_set_back_give_no_rates() {
        assert!(Elapsed::of_milliseconds(1000).is_some());
        for milliseconds in [-1000, 0, 49, 60_001, i64::MAX] {
            assert_eq!(Elapsed::of_milliseconds(milliseconds), None);
        }
    }
}
