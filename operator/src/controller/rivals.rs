//! Who changes a relay's objects again and again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::life::Life;

/// So many times within [`WINDOW`] is no accident any more.
const TIMES: usize = 3;
const WINDOW: Duration = Duration::from_secs(600);
/// At most so many changes of one relay are remembered.
const REMEMBERED: usize = 32;

/// Changes by others that were put back, for each relay.
#[derive(Debug, Default)]
pub struct Rivals {
    healed: HashMap<Life, VecDeque<(Instant, String)>>,
}

impl Rivals {
    /// What `manager` changed was put back.
    pub fn healed(&mut self, relay: &Life, manager: &str, now: Instant) {
        let healed = self.healed.entry(relay.clone()).or_default();
        healed.push_back((now, manager.to_owned()));
        if healed.len() > REMEMBERED {
            healed.pop_front();
        }
    }

    /// Who has done so again and again, sorted.
    pub fn of(&mut self, relay: &Life, now: Instant) -> Vec<String> {
        let Some(healed) = self.healed.get_mut(relay) else {
            return Vec::new();
        };
        healed.retain(|(at, _)| now.duration_since(*at) < WINDOW);
        let mut rivals: Vec<String> = healed
            .iter()
            .filter(|(_, who)| healed.iter().filter(|(_, other)| other == who).count() >= TIMES)
            .map(|(_, who)| who.clone())
            .collect();
        rivals.sort();
        rivals.dedup();
        if healed.is_empty() {
            self.healed.remove(relay);
        }
        rivals
    }

    /// Forgets all but these relays.
    pub fn only(&mut self, there: &HashSet<Life>) {
        self.healed.retain(|relay, _| there.contains(relay));
    }

    /// The relay is gone.
    pub fn forget(&mut self, relay: &Life) {
        self.healed.remove(relay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_things_three_times_in_ten_minutes_is_a_rival() {
        let (mut rivals, relay, start) = (Rivals::default(), Life::named("live"), Instant::now());
        rivals.healed(&relay, "kubectl", start);
        for _ in 0..2 {
            rivals.healed(&relay, "other", start);
        }
        assert!(rivals.of(&relay, start).is_empty());
        rivals.healed(&relay, "other", start + WINDOW / 2);
        assert_eq!(rivals.of(&relay, start + WINDOW / 2), ["other"]);
        assert!(rivals.of(&relay, start + WINDOW).is_empty());
    }

    #[test]
    fn only_so_many_changes_are_remembered() {
        let (mut rivals, relay, now) = (Rivals::default(), Life::named("live"), Instant::now());
        for _ in 0..10 * REMEMBERED {
            rivals.healed(&relay, "other", now);
        }
        assert_eq!(rivals.healed[&relay].len(), REMEMBERED);
    }
}
