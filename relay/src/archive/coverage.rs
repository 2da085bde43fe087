//! What the archive has of a partition, and what it lacks. Pure.

use crate::{
    channel::{ChannelName, Selector},
    cursor::{Epoch, EventId},
    event_log::gap::Certainty,
    frame::GapReason,
};
use relay_config::ChannelPattern;

/// Of these channels, every event after `from` up to and including `through` was written, as far as
/// no hole says otherwise.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    pub epoch: Epoch,
    pub from: EventId,
    pub through: EventId,
    pub channels: Vec<ChannelPattern>,
}

/// What is, or may be, missing within the spans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hole {
    pub after: EventId,
    pub until: EventId,
    pub certainty: Certainty,
    pub reason: GapReason,
    /// Empty: of any channel.
    pub channels: Vec<ChannelName>,
}

/// All that is known of one partition.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Coverage {
    /// In the order in which they were begun.
    pub spans: Vec<Span>,
    pub holes: Vec<Hole>,
    /// Everything up to here was dropped since it was too old.
    pub dropped: EventId,
}

/// What counts as missing before the first event that there is of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// All from where it is asked for.
    Asked,
    /// Nothing: all is asked for that there is.
    First,
}

/// What the archive cannot fill in: something up to here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    pub until: EventId,
    pub certainty: Certainty,
    pub reason: GapReason,
}

impl Coverage {
    /// Up to where it was written.
    pub fn through(&self) -> EventId {
        self.spans.last().map_or(EventId::ZERO, |span| span.through)
    }

    /// Whether an event that was written is still one of the log's. Where an epoch ended, what it had
    /// past the place where the next one began was lost by the log: nobody is told of it again.
    pub fn belongs(&self, epoch: Epoch, id: EventId) -> bool {
        self.ends_at(epoch).is_none_or(|end| id <= end)
    }

    /// Where the epoch after one began, if there is one.
    fn ends_at(&self, epoch: Epoch) -> Option<EventId> {
        let last = self.spans.iter().rposition(|span| span.epoch == epoch)?;
        let later = self.spans[last + 1..].iter().map(|span| span.from);
        later.min()
    }

    /// What is not here of these channels, after an id up to and including another one.
    pub fn missing(
        &self,
        selectors: &[Selector],
        after: EventId,
        until: EventId,
        beginning: Beginning,
    ) -> Option<Missing> {
        let each = selectors.iter().map(|selector| {
            let first = match beginning {
                Beginning::Asked => after,
                Beginning::First => self.first(selector).map_or(until, |first| first.max(after)),
            };
            self.uncovered(selector, first, until)
        });
        let mut found = each.flatten().max().map(|until| Missing {
            until,
            certainty: Certainty::Possible,
            reason: GapReason::Trimmed,
        });
        for hole in &self.holes {
            let concerned = hole.channels.is_empty()
                || selectors
                    .iter()
                    .any(|selector| hole.channels.iter().any(|name| selector.matches(name)));
            if !concerned || hole.until <= after || hole.after >= until {
                continue;
            }
            let here = Missing {
                until: hole.until.min(until),
                certainty: hole.certainty,
                reason: hole.reason,
            };
            found = Some(found.map_or(here, |found| found.and(here)));
        }
        found
    }

    /// After which id it has anything of a selector.
    fn first(&self, selector: &Selector) -> Option<EventId> {
        let covering = self.spans.iter().filter(|span| span.covers(selector));
        let first = covering.map(|span| span.from).min()?;
        Some(first.max(self.dropped))
    }

    /// The last id of the range that no span covers for a selector.
    fn uncovered(&self, selector: &Selector, after: EventId, until: EventId) -> Option<EventId> {
        let mut reached = until;
        let covers = |span: &&Span| span.covers(selector);
        // an older span never begins after a younger one of its epoch, and ends where another begins
        for span in self.spans.iter().rev().filter(covers) {
            let end = self.ends_at(span.epoch).unwrap_or(span.through);
            if span.through.min(end) >= reached && span.from < reached {
                reached = span.from;
            }
        }
        let reached = reached.max(self.dropped.min(until));
        (reached > after).then_some(reached)
    }
}

impl Span {
    fn covers(&self, selector: &Selector) -> bool {
        self.channels.iter().any(|pattern| match selector {
            Selector::Channel(name) => name.is_in(pattern),
            Selector::Pattern(asked) => pattern.covers(asked),
        })
    }
}

impl Missing {
    fn and(self, other: Missing) -> Missing {
        Missing {
            until: self.until.max(other.until),
            certainty: self.certainty.max(other.certainty),
            reason: match self.reason == other.reason {
                true => self.reason,
                false => GapReason::Trimmed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn span(epoch: u32, from: u64, through: u64, channels: &[&str]) -> Span {
        let parse = |text: &&str| ChannelPattern::parse(text).unwrap();
        Span {
            epoch: Epoch::from_random(epoch),
            from: id(from),
            through: id(through),
            channels: channels.iter().map(parse).collect(),
        }
    }

    fn selectors(texts: &[&str]) -> Vec<Selector> {
        texts
            .iter()
            .map(|text| Selector::parse(text).unwrap())
            .collect()
    }

    fn until(coverage: &Coverage, of: &[&str], after: u64, to: u64) -> Option<u64> {
        let missing = coverage.missing(&selectors(of), id(after), id(to), Beginning::Asked);
        missing.map(|missing| missing.until.get())
    }

    #[test]
    fn what_spans_cover_without_a_break_is_there() {
        let coverage = Coverage {
            spans: vec![span(1, 10, 50, &["**"]), span(1, 50, 90, &["**"])],
            ..Coverage::default()
        };
        assert_eq!(until(&coverage, &["a"], 10, 90), None);
        assert_eq!(until(&coverage, &["a.**"], 20, 60), None);
        assert_eq!(until(&coverage, &["a"], 9, 90), Some(10), "before it began");
        assert_eq!(
            until(&coverage, &["a"], 10, 91),
            Some(91),
            "not written yet"
        );
        assert_eq!(until(&Coverage::default(), &["a"], 1, 5), Some(5));
    }

    #[test]
    fn channels_that_were_not_chosen_at_the_time_are_missing() {
        let coverage = Coverage {
            spans: vec![span(1, 0, 50, &["a.**"]), span(1, 50, 90, &["a.**", "b"])],
            ..Coverage::default()
        };
        assert_eq!(until(&coverage, &["a.x"], 5, 90), None);
        assert_eq!(until(&coverage, &["b"], 5, 90), Some(50));
        assert_eq!(until(&coverage, &["a.x", "b"], 5, 90), Some(50));
        assert_eq!(
            until(&coverage, &["**"], 5, 90),
            Some(90),
            "more than was chosen"
        );
    }

    #[test]
    fn a_break_between_spans_is_missing_up_to_its_end() {
        let coverage = Coverage {
            spans: vec![span(1, 0, 40, &["**"]), span(1, 60, 90, &["**"])],
            ..Coverage::default()
        };
        assert_eq!(until(&coverage, &["a"], 10, 90), Some(60));
        assert_eq!(until(&coverage, &["a"], 10, 40), None);
        assert_eq!(until(&coverage, &["a"], 60, 90), None);
    }

    #[test]
    fn holes_concern_the_channels_that_they_name() {
        let hole = |after, until, channels: &[&str]| Hole {
            after: id(after),
            until: id(until),
            certainty: Certainty::Certain,
            reason: GapReason::Trimmed,
            channels: channels
                .iter()
                .map(|name| ChannelName::parse(name).unwrap())
                .collect(),
        };
        let mut coverage = Coverage {
            spans: vec![span(1, 0, 90, &["**"])],
            holes: vec![hole(20, 30, &["a"])],
            ..Coverage::default()
        };
        assert_eq!(until(&coverage, &["a"], 10, 90), Some(30));
        assert_eq!(until(&coverage, &["a"], 10, 25), Some(25));
        assert_eq!(until(&coverage, &["a"], 30, 90), None);
        assert_eq!(until(&coverage, &["b"], 10, 90), None);
        assert_eq!(until(&coverage, &["*"], 10, 90), Some(30));
        coverage.holes.push(hole(40, 50, &[]));
        let missing = coverage
            .missing(&selectors(&["b"]), id(10), id(90), Beginning::Asked)
            .unwrap();
        assert_eq!(
            (missing.until, missing.certainty),
            (id(50), Certainty::Certain)
        );
    }

    #[test]
    fn what_is_too_old_is_missing() {
        let coverage = Coverage {
            spans: vec![span(1, 0, 90, &["**"])],
            dropped: id(30),
            ..Coverage::default()
        };
        assert_eq!(until(&coverage, &["a"], 10, 90), Some(30));
        assert_eq!(until(&coverage, &["a"], 30, 90), None);
        assert_eq!(until(&coverage, &["a"], 10, 20), Some(20));
    }

    #[test]
    fn who_asks_for_all_misses_nothing_before_a_channel_was_chosen_and_what_was_lost_after() {
        let coverage = Coverage {
            spans: vec![
                span(1, 10, 40, &["a"]),
                span(1, 40, 50, &["a", "b"]),
                span(1, 60, 90, &["a", "b"]),
            ],
            dropped: id(20),
            ..Coverage::default()
        };
        let until = |of: &[&str], after: u64, to: u64| {
            let missing = coverage.missing(&selectors(of), id(after), id(to), Beginning::First);
            missing.map(|missing| missing.until.get())
        };
        assert_eq!(until(&["a", "b"], 0, 50), None);
        assert_eq!(until(&["b"], 0, 90), Some(60));
        assert_eq!(until(&["a", "b"], 60, 90), None);
        assert_eq!(
            until(&["c"], 0, 90),
            None,
            "never chosen: the log's own affair"
        );
        assert_eq!(until(&["b"], 0, 95), Some(95), "not written yet");
    }

    #[test]
    fn what_an_ended_epoch_had_past_its_end_is_nobodys_any_more() {
        let coverage = Coverage {
            spans: vec![span(1, 0, 50, &["**"]), span(2, 40, 90, &["**"])],
            ..Coverage::default()
        };
        let (first, second) = (Epoch::from_random(1), Epoch::from_random(2));
        assert!(coverage.belongs(first, id(40)) && !coverage.belongs(first, id(41)));
        assert!(coverage.belongs(second, id(41)));
        assert_eq!(until(&coverage, &["a"], 5, 90), None);
    }
}
