//! Streams that are taken for dead: those whose connection takes nothing, and those that are old. A
//! client that is gone behind a proxy shows in no other way.

use super::{Connection, Shard, stream::Flow, tick::TICK};
use crate::hub::open::CloseReason;
use std::time::{Duration, Instant};

/// How often each stream is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// Ticks in that time.
const STEPS: usize = (PERIOD.as_millis() / TICK.as_millis()) as usize;

/// A wheel over all slots, as that of heartbeats: it costs a stream nothing.
#[derive(Default)]
pub struct Reaper {
    step: usize,
}

impl Shard {
    pub(super) fn reap(&mut self) {
        let step = self.ticker.reaper.step;
        self.ticker.reaper.step = (step + 1) % STEPS;
        let settings = &self.shared.config.stream;
        let (patience, max_age) = (settings.write_timeout.std(), settings.max_age.std());
        for index in (step..self.slots.capacity()).step_by(STEPS) {
            let Some(slot) = self.slots.get(index) else {
                continue;
            };
            let Connection::Stream(stream) = &slot.connection else {
                continue;
            };
            let own = stream.info.voice.as_ref();
            let own = own.and_then(|voice| voice.dialect.lifetime);
            let life = life(own.unwrap_or(max_age), stream.info.number);
            if has_stalled(stream.flow, patience, self.now) {
                self.close(index as u32, CloseReason::Stalled);
            } else if self.now.saturating_duration_since(stream.opened) >= life
                && !stream.is_closing()
            {
                self.finish(index as u32, CloseReason::MaxAge);
            }
        }
    }
}

fn has_stalled(flow: Flow, patience: Duration, now: Instant) -> bool {
    match flow {
        Flow::Open => false,
        Flow::Blocked(since) => now.saturating_duration_since(since) >= patience,
    }
}

/// How long a stream may live: between nine tenths of the most and the most, by its number, so that
/// streams that were opened together do not end together, and nothing has to be kept for it.
fn life(max: Duration, number: u64) -> Duration {
    // the multiplier of Fibonacci hashing (Knuth 6.4): neighbours are spread over the whole range
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let share = spread as f64 / (1_u64 << 24) as f64;
    max - (max / 10).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_streams_that_open_together_end_apart_and_in_time() {
        let max = Duration::from_secs(1000);
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let life = life(max, number);
            assert!(life <= max && life >= max * 9 / 10, "{number}: {life:?}");
            tenths[((max - life).as_secs_f64() / 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (80..120).contains(n)), "{tenths:?}");
    }

    #[test]
    fn a_connection_that_takes_something_now_and_then_has_not_stalled() {
        let (start, patience) = (Instant::now(), Duration::from_secs(10));
        let at = |seconds| start + Duration::from_secs(seconds);
        let flow = Flow::Open.short(3, start);
        assert!(!has_stalled(flow, patience, at(9)) && has_stalled(flow, patience, at(10)));
        let waiting = flow.short(0, at(9));
        assert!(has_stalled(waiting, patience, at(10)), "nothing was taken");
        let moving = flow.short(1, at(9));
        assert!(!has_stalled(moving, patience, at(18)) && has_stalled(moving, patience, at(19)));
        assert!(!has_stalled(Flow::Open, patience, at(99)));
    }
}
