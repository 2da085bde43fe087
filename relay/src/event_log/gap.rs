//! The gap rule (decision record 0001): what a reader that stands after `cursor` misses in a channel.
//!
//! Let e be the channel's first event after the cursor. Something is missing for certain exactly if
//! e's predecessor is greater than the cursor. All else that is forgotten is a possible gap.
//!
//! A reader asks for events up to an id, and gets the later ones elsewhere (live). So a predecessor
//! after that id is only a possible gap: it, too, may be one of those that come live and were trimmed
//! meanwhile, and what was there before it cannot be told any more.

use crate::{
    channel::ChannelName,
    cursor::{EventId, Place, Places, Predecessor},
    frame::GapReason,
};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Certainty {
    Possible,
    Certain,
}

/// Events missing after `after`, up to and including `until`, in the partitions that stand there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    pub certainty: Certainty,
    /// [`GapReason::Purged`] if all that is missing was purged; else [`GapReason::Trimmed`].
    pub reason: GapReason,
    pub after: Places,
    pub until: Places,
    /// Of which channels: the first few. Empty when it may be any.
    pub channels: Vec<ChannelName>,
}

/// Names that a gap lists at most; a reader of many channels gets one gap, not thousands.
pub const MAX_CHANNELS: usize = 20;

/// What the log knows of a channel after a cursor.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// The predecessor of the first event after the cursor.
    Next(Predecessor),
    /// No event after the cursor is left; the channel's last id.
    Last(EventId),
    /// The channel is not known; the highest id among channels that the log has forgotten.
    Forgotten(EventId),
}

/// Why events up to and including `until` are missing in a channel that was purged up to an id, if ever.
pub fn reason(until: EventId, purged: Option<EventId>) -> GapReason {
    match purged {
        Some(purged) if until <= purged => GapReason::Purged,
        Some(_) | None => GapReason::Trimmed,
    }
}

/// The last id that is missing after `cursor` up to `upto`, and whether that is certain.
pub fn missing(cursor: EventId, upto: EventId, known: Known) -> Option<(Certainty, EventId)> {
    let (certainty, until) = match known {
        Known::Next(Predecessor::Known(id)) | Known::Last(id) if id <= upto => {
            (Certainty::Certain, id)
        }
        Known::Next(Predecessor::Known(id) | Predecessor::AtMost(id))
        | Known::Last(id)
        | Known::Forgotten(id) => (Certainty::Possible, id.min(upto)),
    };
    (until > cursor).then_some((certainty, until))
}

impl Gap {
    /// Adds what one channel misses after a place, or, without a name, what any channel may (to be
    /// added last).
    pub fn add(
        gap: &mut Option<Gap>,
        after: Place,
        missing: (Certainty, EventId),
        reason: GapReason,
        channel: Option<&ChannelName>,
    ) {
        let (certainty, until) = missing;
        let until = Place { id: until, ..after };
        let gap = gap.get_or_insert_with(|| Gap {
            certainty,
            reason,
            after: Places::one(after),
            until: Places::one(until),
            channels: Vec::new(),
        });
        gap.certainty = gap.certainty.max(certainty);
        gap.also_for(reason);
        gap.until.advance(until);
        match channel {
            Some(channel) if gap.channels.len() < MAX_CHANNELS => {
                gap.channels.push(channel.clone());
            }
            Some(_) => {}
            None => gap.channels.clear(),
        }
    }

    fn also_for(&mut self, reason: GapReason) {
        if self.reason != reason {
            self.reason = GapReason::Trimmed;
        }
    }

    /// One gap of those of several partitions.
    #[must_use]
    pub fn and(mut self, other: Gap) -> Gap {
        self.certainty = self.certainty.max(other.certainty);
        self.also_for(other.reason);
        other.after.iter().for_each(|place| self.after.set(place));
        other.until.iter().for_each(|place| self.until.set(place));
        if self.channels.is_empty() || other.channels.is_empty() {
            self.channels.clear(); // any
        } else {
            self.channels.extend(other.channels);
            self.channels.truncate(MAX_CHANNELS);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    #[test]
    fn a_predecessor_after_the_cursor_is_missing_for_certain() {
        assert_eq!(
            missing(id(5), id(100), Known::Next(Predecessor::Known(id(5)))),
            None
        );
        assert_eq!(
            missing(id(5), id(100), Known::Next(Predecessor::Known(id(4)))),
            None
        );
        assert_eq!(
            missing(id(5), id(100), Known::Next(Predecessor::Known(id(6)))),
            Some((Certainty::Certain, id(6)))
        );
        assert_eq!(
            missing(id(5), id(100), Known::Last(id(9))),
            Some((Certainty::Certain, id(9)))
        );
        assert_eq!(missing(id(9), id(100), Known::Last(id(9))), None);
    }

    #[test]
    fn what_is_forgotten_is_possibly_missing() {
        assert_eq!(
            missing(id(5), id(100), Known::Forgotten(id(8))),
            Some((Certainty::Possible, id(8)))
        );
        assert_eq!(missing(id(8), id(100), Known::Forgotten(id(8))), None);
        assert_eq!(
            missing(id(5), id(100), Known::Next(Predecessor::AtMost(id(8)))),
            Some((Certainty::Possible, id(8)))
        );
    }

    #[test]
    fn a_gap_is_of_a_purge_only_if_all_that_is_missing_was_purged() {
        use GapReason::{Purged, Trimmed};
        assert_eq!(reason(id(5), None), Trimmed);
        assert_eq!(reason(id(5), Some(id(5))), Purged);
        assert_eq!(
            reason(id(6), Some(id(5))),
            Trimmed,
            "later ones are missing"
        );
        let mut gap = None;
        for (why, expected) in [(Purged, Purged), (Purged, Purged), (Trimmed, Trimmed)] {
            let missing = (Certainty::Certain, id(9));
            Gap::add(&mut gap, place(0, 1), missing, why, None);
            assert_eq!(gap.as_ref().unwrap().reason, expected);
        }
    }

    #[test]
    fn gaps_of_two_partitions_are_told_as_one() {
        let gap = |partition, certainty, after, until, channels: &[&str]| Gap {
            certainty,
            reason: GapReason::Trimmed,
            after: Places::one(place(partition, after)),
            until: Places::one(place(partition, until)),
            channels: channels
                .iter()
                .map(|text| ChannelName::parse(text).unwrap())
                .collect(),
        };
        let (a, b) = (
            gap(0, Certainty::Possible, 1, 5, &["a"]),
            gap(3, Certainty::Certain, 2, 3, &["b"]),
        );
        let both = a.clone().and(b);
        assert_eq!(both.certainty, Certainty::Certain);
        assert_eq!(both.after, [place(0, 1), place(3, 2)].into_iter().collect());
        assert_eq!(both.until, [place(0, 5), place(3, 3)].into_iter().collect());
        assert_eq!(both.channels.len(), 2);
        let any = a.and(gap(5, Certainty::Possible, 1, 2, &[]));
        assert!(any.channels.is_empty(), "it may be any");
    }

    fn place(partition: u8, value: u64) -> Place {
        Place {
            partition: crate::cursor::Partition::new(partition).unwrap(),
            epoch: crate::cursor::Epoch::from_random(1),
            id: id(value),
        }
    }

    #[test]
    fn a_predecessor_after_what_is_read_is_possibly_missing_and_no_further() {
        for known in [Known::Next(Predecessor::Known(id(9))), Known::Last(id(9))] {
            assert_eq!(
                missing(id(5), id(7), known),
                Some((Certainty::Possible, id(7)))
            );
            assert_eq!(missing(id(7), id(7), known), None);
        }
        assert_eq!(
            missing(id(5), id(7), Known::Forgotten(id(9))),
            Some((Certainty::Possible, id(7)))
        );
    }
}
