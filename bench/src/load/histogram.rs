//! A histogram of durations, exact to 1.6 %.

use std::time::Duration;

/// Steps within one power of two.
const STEPS_BITS: u32 = 6;
const STEPS: u64 = 1 << STEPS_BITS;
const BUCKETS: usize = ((64 - STEPS_BITS + 1) as usize) << STEPS_BITS;

#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            max: 0,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.max = self.max.max(nanoseconds);
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The least recorded duration that the share `q` (0 to 1) does not exceed; zero when empty.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = ((self.total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_bound(index).min(self.max));
            }
        }
        self.max()
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS_BITS;
    (((u64::from(shift) + 1) << STEPS_BITS) + ((value >> shift) - STEPS)) as usize
}

/// The largest value that falls into the bucket.
fn upper_bound(bucket: usize) -> u64 {
    let (power, step) = ((bucket as u64) >> STEPS_BITS, (bucket as u64) % STEPS);
    match power {
        0 => step,
        _ => {
            let shift = (power - 1) as u32;
            ((STEPS + step) << shift) + ((1 << shift) - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_the_bucket_is_narrow() {
        for value in (0..62)
            .flat_map(|p| [1u64 << p, (1 << p) + 1, (1 << p) * 3 / 2])
            .chain([u64::MAX])
        {
            let upper = upper_bound(bucket(value));
            assert!(upper >= value, "{value}");
            assert!(
                (upper - value) as f64 <= value as f64 / 64.0,
                "{value} {upper}"
            );
        }
    }

    #[test]
    fn quantiles_of_one_to_a_thousand() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.record(value));
        let p50 = histogram.quantile(0.5).as_nanos();
        assert!((500..=508).contains(&p50), "{p50}");
        assert_eq!(histogram.quantile(1.0).as_nanos(), 1000);
        assert_eq!(histogram.max().as_nanos(), 1000);
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Histogram::default().quantile(0.99), Duration::ZERO);
    }
}
