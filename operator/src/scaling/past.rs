//! What was seen of one relay before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// What was seen of one relay before. It begins anew with the operator: then nothing is taken away
/// before it has looked for long enough.
#[derive(Debug, Default)]
pub struct Past {
    since: Option<Instant>,
    /// Numbers of replicas that were needed, ever smaller ones: what a later and larger one follows
    /// is of no interest any more. So there are at most as many as there may be replicas.
    needed: VecDeque<(Instant, i32)>,
    took_away: Option<Instant>,
    /// Bytes that each replica had sent when it was asked last.
    sent: HashMap<String, (Instant, u64)>,
}

impl Past {
    /// So many replicas are needed now; what is older than `window` is forgotten.
    pub fn note(&mut self, replicas: i32, now: Instant, window: Duration) {
        self.since.get_or_insert(now);
        while self
            .needed
            .back()
            .is_some_and(|(_, last)| *last <= replicas)
        {
            self.needed.pop_back();
        }
        self.needed.push_back((now, replicas));
        while self
            .needed
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > window)
        {
            self.needed.pop_front();
        }
    }

    /// The most replicas that were needed within `window`; `None` while it is not over.
    #[must_use]
    pub fn highest(&self, now: Instant, window: Duration) -> Option<i32> {
        let watched = now.duration_since(self.since?);
        let (_, highest) = self.needed.front()?;
        (watched >= window).then_some(*highest)
    }

    /// A replica is taken away now.
    pub fn took_away(&mut self, now: Instant) {
        self.took_away = Some(now);
    }

    /// Whether the last one was taken away longer ago than `wait`, if any was.
    #[must_use]
    pub fn took_away_before(&self, now: Instant, wait: Duration) -> bool {
        self.took_away
            .is_none_or(|last| now.duration_since(last) >= wait)
    }

    /// `pod` has sent so many bytes since its start: what that is in a second since it was asked last,
    /// if it was, and has not begun anew.
    pub fn sent(&mut self, pod: &str, bytes: u64, now: Instant) -> Option<f64> {
        let (at, before) = self.sent.insert(pod.to_owned(), (now, bytes))?;
        let seconds = now.duration_since(at).as_secs_f64();
        let more = bytes.checked_sub(before)?;
        (seconds > 0.0).then(|| more as f64 / seconds)
    }

    /// Forgets pods that are not among `there`.
    pub fn only(&mut self, there: &HashSet<&str>) {
        self.sent.retain(|pod, _| there.contains(pod.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_most_that_was_needed_within_a_time_is_known_when_it_is_over() {
        let (mut past, start) = (Past::default(), Instant::now());
        let window = 5 * SECOND;
        let needs = [3, 7, 2, 4, 4, 1, 1, 1, 1, 1];
        let highest: Vec<Option<i32>> = (0..)
            .zip(needs)
            .map(|(second, need)| {
                let now = start + second * SECOND;
                past.note(need, now, window);
                past.highest(now, window)
            })
            .collect();
        let known: Vec<i32> = highest.into_iter().flatten().collect();
        assert_eq!(known, [7, 7, 4, 4, 4]);
    }

    #[test]
    fn it_remembers_no_more_than_the_numbers_that_there_may_be() {
        let (mut past, start) = (Past::default(), Instant::now());
        for look in 0..10_000 {
            let need = if look % 2 == 0 { 5 } else { look % 4 };
            past.note(need, start + look as u32 * SECOND, 100_000 * SECOND);
        }
        assert!(past.needed.len() <= 6, "{}", past.needed.len());
    }

    #[test]
    fn rates_are_known_from_the_second_answer_on_and_not_across_a_restart() {
        let (mut past, start) = (Past::default(), Instant::now());
        assert_eq!(past.sent("a", 1_000, start), None);
        assert_eq!(past.sent("a", 3_000, start + 2 * SECOND), Some(1_000.0));
        assert_eq!(past.sent("a", 10, start + 3 * SECOND), None);
        assert_eq!(past.sent("a", 20, start + 4 * SECOND), Some(10.0));
        past.only(&HashSet::new());
        assert_eq!(past.sent("a", 30, start + 5 * SECOND), None);
    }
}
