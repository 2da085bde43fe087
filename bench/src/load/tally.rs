//! The account of one stream.

use super::ledger::Ledger;

/// What one stream got, event by event.
#[derive(Debug, Default)]
pub struct Tally {
    seen: Vec<u64>,
    received: u32,
    highest: Option<u32>,
    /// A hash of the order of arrival.
    order: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub overtaken: u64,
    pub corrupt: u64,
    pub misrouted: u64,
    pub announced_gaps: u64,
    pub disconnected: u64,
    /// The stream ended unasked and did not come back.
    pub dead: bool,
}

/// Whether an event came for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    First,
    Again,
}

impl Tally {
    pub fn record(&mut self, ledger: &Ledger, channel: u32, sequence: u32) -> Arrival {
        let (word, bit) = (sequence as usize / 64, 1 << (sequence % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.duplicated += 1;
            return Arrival::Again;
        }
        self.seen[word] |= bit;
        self.received += 1;
        self.order = (self.order ^ u64::from(sequence)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match self.highest {
            Some(highest) if sequence < highest => {
                if ledger.ordered(channel, sequence, highest) {
                    self.reordered += 1;
                } else {
                    self.overtaken += 1;
                }
            }
            _ => self.highest = Some(sequence),
        }
        Arrival::First
    }

    /// Different events so far.
    #[must_use]
    pub fn received(&self) -> u32 {
        self.received
    }

    #[must_use]
    pub fn has(&self, sequence: u32) -> bool {
        let word = self.seen.get(sequence as usize / 64).copied().unwrap_or(0);
        word & (1 << (sequence % 64)) != 0
    }

    /// Whether all of the channel's first `count` events have come.
    #[must_use]
    pub fn has_first(&self, count: u32) -> bool {
        let whole = count as usize / 64;
        let rest = (1 << (count % 64)) - 1;
        self.seen
            .iter()
            .take(whole)
            .filter(|&&word| word == u64::MAX)
            .count()
            == whole
            && (rest == 0 || self.seen.get(whole).is_some_and(|word| word & rest == rest))
    }

    /// Adds this stream's faults, given all that its channel accepted.
    pub fn add_to(&self, faults: &mut Faults, ledger: &Ledger, channel: u32) {
        let mut lost = 0;
        let complete = self.received as usize == ledger.channel(channel).len();
        if !complete {
            for entry in ledger.channel(channel) {
                let missing = entry.accepted && !self.has(entry.sequence);
                if !missing {
                    continue;
                }
                if self.dead && self.highest.is_none_or(|highest| entry.sequence > highest) {
                    faults.unserved += 1;
                } else {
                    lost += 1;
                }
            }
        }
        faults.lost += u64::saturating_sub(lost, self.corrupt);
        faults.duplicated += self.duplicated;
        faults.reordered += self.reordered;
        faults.corrupt += self.corrupt;
        faults.misrouted += self.misrouted;
        faults.disconnected += self.disconnected;
        faults.announced_gaps += self.announced_gaps;
    }

    /// The order of arrival, comparable between streams that got everything.
    #[must_use]
    pub fn order(&self) -> u64 {
        self.order
    }
}

/// What went wrong, over all streams. All zero: every stream got every event once, in order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Faults {
    /// Accepted by the server, never seen on a stream that was there to see it.
    pub lost: u64,
    /// Seen again.
    pub duplicated: u64,
    /// Seen after an event that was published only when this one had been answered.
    pub reordered: u64,
    /// Data that was never published; each stands for one event that is then not counted as lost.
    pub corrupt: u64,
    /// An event of another channel.
    pub misrouted: u64,
    /// Streams that ended unasked.
    pub disconnected: u64,
    /// Events after the last one that an ended stream saw.
    pub unserved: u64,
    /// Streams that saw all events of their channel in another order than the channel's first.
    pub disagreed: u64,
    /// Gaps that the server announced (`event: gap`).
    pub announced_gaps: u64,
}

impl Faults {
    #[must_use]
    pub fn none(&self) -> bool {
        *self == Self::default()
    }

    pub fn add(&mut self, other: &Faults) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.misrouted += other.misrouted;
        self.disconnected += other.disconnected;
        self.unserved += other.unserved;
        self.disagreed += other.disagreed;
        self.announced_gaps += other.announced_gaps;
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("corrupt", self.corrupt),
            ("misrouted", self.misrouted),
            ("disconnected", self.disconnected),
            ("unserved", self.unserved),
            ("disagreed", self.disagreed),
            ("announced gaps", self.announced_gaps),
        ];
        let found: Vec<_> = named
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        f.write_str(if found.is_empty() { "none" } else { "" })?;
        f.write_str(&found.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_overtake_another_only_while_both_are_unanswered() {
        let mut ledger = Ledger::new(1, 1, 0);
        let first = ledger.publish(0, 0, 10, 1);
        ledger.publish(0, 0, 20, 1);
        for (answered, expected) in [(15, (1, 0)), (25, (0, 1))] {
            ledger.entry_mut(first).answered = answered;
            let mut tally = Tally::default();
            tally.record(&ledger, 0, 1);
            tally.record(&ledger, 0, 0);
            assert_eq!((tally.reordered, tally.overtaken), expected);
        }
    }

    #[test]
    fn later_events_do_not_stand_for_earlier_ones() {
        let mut ledger = Ledger::new(1, 1, 0);
        let mut tally = Tally::default();
        assert!(tally.has_first(0));
        for sequence in 0..200 {
            ledger.publish(0, 0, 0, 1);
            if sequence != 70 {
                tally.record(&ledger, 0, sequence);
            }
        }
        assert!(tally.has_first(70) && !tally.has_first(71) && !tally.has_first(150));
        tally.record(&ledger, 0, 70);
        assert!(tally.has_first(64) && tally.has_first(200) && !tally.has_first(201));
    }

    #[test]
    fn what_the_server_refused_is_not_lost() {
        let mut ledger = Ledger::new(1, 1, 0);
        let refused = ledger.publish(0, 0, 10, 1);
        ledger.entry_mut(refused).accepted = false;
        let mut faults = Faults::default();
        Tally::default().add_to(&mut faults, &ledger, 0);
        assert!(faults.none());
    }
}
