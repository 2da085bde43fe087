//! Places in several partitions at once: a cursor, a head, how far something has come.

use super::{Epoch, EventId, Place};
use crate::partition::{Partition, PartitionSet};
use smallvec::SmallVec;
use std::fmt;

/// At most one place a partition, ordered by partition. Text: the places' texts joined by dots, at
/// most 127 bytes. With one partition it is as cheap as a [`Place`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places(SmallVec<[Place; 1]>);

impl Places {
    /// Longest text: [`Partition::MAX`] places and the dots between them.
    pub const MAX_LEN: usize = Partition::MAX * (Place::LEN + 1) - 1;

    pub fn one(place: Place) -> Places {
        Places(SmallVec::from_buf([place]))
    }

    /// `None` for anything that the text of at least one place could not be.
    pub fn parse(text: &str) -> Option<Places> {
        if text.len() > Places::MAX_LEN {
            return None;
        }
        let places = text
            .split('.')
            .map(Place::parse)
            .collect::<Option<SmallVec<[Place; 1]>>>()?;
        let ascending = places
            .windows(2)
            .all(|pair| pair[0].partition < pair[1].partition);
        ascending.then_some(Places(places))
    }

    pub fn in_partition(&self, partition: Partition) -> Option<Place> {
        self.iter().find(|place| place.partition == partition)
    }

    pub fn epoch(&self, partition: Partition) -> Option<Epoch> {
        self.in_partition(partition).map(|place| place.epoch)
    }

    /// The id in a partition; before every event where there is no place.
    pub fn id(&self, partition: Partition) -> EventId {
        self.in_partition(partition)
            .map_or(EventId::ZERO, |place| place.id)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Place> {
        self.0.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn partitions(&self) -> PartitionSet {
        let sets = self.iter().map(|place| PartitionSet::one(place.partition));
        sets.fold(PartitionSet::default(), PartitionSet::and)
    }

    /// Puts a place in its partition, whatever was there.
    pub fn set(&mut self, place: Place) {
        match self
            .0
            .binary_search_by_key(&place.partition, |p| p.partition)
        {
            Ok(index) => self.0[index] = place,
            Err(index) => self.0.insert(index, place),
        }
    }

    /// Goes forward to a place of the same epoch, never back. A place of another epoch is taken as
    /// it is: ids of two epochs do not compare.
    pub fn advance(&mut self, place: Place) {
        match self
            .0
            .binary_search_by_key(&place.partition, |p| p.partition)
        {
            Ok(index) => {
                let known = &mut self.0[index];
                if known.epoch != place.epoch || known.id < place.id {
                    *known = place;
                }
            }
            Err(index) => self.0.insert(index, place),
        }
    }

    /// Only those in some partitions.
    #[must_use]
    pub fn within(&self, partitions: PartitionSet) -> Places {
        self.iter()
            .filter(|place| partitions.contains(place.partition))
            .collect()
    }

    /// Whether it is past other places in some partition. Ids of two epochs do not compare.
    pub fn is_past(&self, others: &Places) -> bool {
        self.iter().any(|place| {
            others
                .in_partition(place.partition)
                .is_some_and(|other| other.epoch == place.epoch && other.id < place.id)
        })
    }

    /// Whether every place is of the epoch that others have in its partition.
    pub fn same_epochs(&self, others: &Places) -> bool {
        self.iter()
            .all(|place| others.epoch(place.partition) == Some(place.epoch))
    }

    /// The text, if there is any place.
    pub fn text(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_string())
    }
}

impl FromIterator<Place> for Places {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Places {
        let mut collected = Places::default();
        places.into_iter().for_each(|place| collected.set(place));
        collected
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, place) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            place.fmt(f)?;
        }
        Ok(())
    }
}

impl serde::Serialize for Places {
    /// Its text; `null` without a place.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.is_empty() {
            true => serializer.serialize_none(),
            false => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 53;

    fn place(partition: u8, epoch: u32, id: u64) -> Place {
        Place {
            partition: Partition::new(partition).unwrap(),
            epoch: Epoch::from_random(epoch),
            id: EventId::new(id).unwrap(),
        }
    }

    fn places() -> impl Strategy<Value = Places> {
        let parts = proptest::collection::btree_map(0u8..8, (0u32..3, 0..LIMIT), 1..=8);
        parts.prop_map(|parts| {
            parts
                .into_iter()
                .map(|(p, (e, i))| place(p, e, i))
                .collect()
        })
    }

    #[test]
    fn the_largest_cursor_stays_under_the_preflight_limit() {
        let places: Places = (0..8).map(|p| place(p, u32::MAX, LIMIT - 1)).collect();
        let text = places.to_string();
        assert_eq!(text.len(), Places::MAX_LEN);
        assert!(text.len() < 128);
        assert_eq!(Places::parse(&text), Some(places));
    }

    #[test]
    fn one_place_is_no_larger_than_a_pointer_and_a_place() {
        assert_eq!(size_of::<Places>(), size_of::<Place>() + size_of::<usize>());
        assert_eq!(
            Places::one(place(0, 7, 9)).to_string(),
            place(0, 7, 9).to_string()
        );
    }

    #[test]
    fn nothing_of_another_epoch_is_compared() {
        let mut at = Places::one(place(2, 1, 50));
        let fork = Places::one(place(2, 2, 10));
        assert!(!at.is_past(&fork) && !fork.is_past(&at) && !at.same_epochs(&fork));
        at.advance(place(2, 2, 10));
        assert_eq!(at, fork);
    }

    proptest! {
        #[test]
        fn places_survive_their_text(places in places()) {
            let text = places.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
            prop_assert_eq!(Places::parse(&text), Some(places));
        }

        #[test]
        fn going_forward_never_goes_back_and_touches_no_other_partition(
            before in places(), p in 0u8..8, id in 0..LIMIT,
        ) {
            let partition = Partition::new(p).unwrap();
            let epoch = before.epoch(partition).unwrap_or(Epoch::from_random(1));
            let mut after = before.clone();
            after.advance(Place { partition, epoch, id: EventId::new(id).unwrap() });
            prop_assert!(!before.is_past(&after));
            prop_assert_eq!(after.id(partition), before.id(partition).max(EventId::new(id).unwrap()));
            for other in before.iter().filter(|place| place.partition != partition) {
                prop_assert_eq!(after.in_partition(other.partition), Some(other));
            }
            prop_assert!(after.iter().map(|p| p.partition).is_sorted());
        }

        #[test]
        fn a_part_of_the_places_is_those_of_its_partitions(places in places(), used in places()) {
            let set = used.partitions();
            let part = places.within(set);
            for partition in (0..8).filter_map(Partition::new) {
                let wanted = places.in_partition(partition).filter(|_| set.contains(partition));
                prop_assert_eq!(part.in_partition(partition), wanted);
            }
        }
    }
}
