//! Partitions: shares of the channels, each with one order and one epoch of its own.

use crate::channel::{ChannelName, Selector};

/// A share of the channels with one order of its own. At most [`Partition::MAX`] of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Partition(u8);

impl Partition {
    /// Eight places of 15 characters and seven dots are 127 bytes: one below the size from which
    /// browsers ask for permission to send `Last-Event-ID` (WHATWG Fetch, CORS-safelisted headers).
    pub const MAX: usize = 8;
    /// The only partition of an embedded log and of a single Redis.
    pub const ONLY: Partition = Partition(0);

    pub fn new(number: u8) -> Option<Partition> {
        ((number as usize) < Partition::MAX).then_some(Partition(number))
    }

    pub fn get(self) -> u8 {
        self.0
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Into how many partitions a log shares its channels out. Fixed when the log is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partitioning(u8);

impl Partitioning {
    /// One order over all channels.
    pub const SINGLE: Partitioning = Partitioning(1);

    /// `None` unless it is 1 to [`Partition::MAX`].
    pub fn new(count: usize) -> Option<Partitioning> {
        (1..=Partition::MAX)
            .contains(&count)
            .then_some(Partitioning(count as u8))
    }

    pub fn count(self) -> usize {
        usize::from(self.0)
    }

    pub fn all(self) -> PartitionSet {
        PartitionSet(u8::MAX >> (Partition::MAX as u8 - self.0))
    }

    /// A channel's partition: the same in every process and every release, since ids and keys that
    /// are kept depend on it. FNV-1a of the name, in 64 bits, modulo the count.
    pub fn of(self, channel: &ChannelName) -> Partition {
        if self == Partitioning::SINGLE {
            return Partition::ONLY;
        }
        Partition((fnv_1a(channel.as_str().as_bytes()) % u64::from(self.0)) as u8)
    }

    /// Those that a subscription needs: of each channel its own, of a pattern all.
    pub fn in_use(self, selectors: &[Selector]) -> PartitionSet {
        if self == Partitioning::SINGLE {
            return self.all();
        }
        let used = selectors.iter().map(|selector| match selector {
            Selector::Channel(name) => PartitionSet::one(self.of(name)),
            Selector::Pattern(_) => self.all(),
        });
        used.fold(PartitionSet::default(), PartitionSet::and)
    }
}

/// Fowler, Noll and Vo's hash, variant 1a (draft-eastlake-fnv, 64 bits).
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Some of the partitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PartitionSet(u8);

impl PartitionSet {
    pub fn one(partition: Partition) -> PartitionSet {
        PartitionSet(1 << partition.0)
    }

    #[must_use]
    pub fn and(self, other: PartitionSet) -> PartitionSet {
        PartitionSet(self.0 | other.0)
    }

    pub fn contains(self, partition: Partition) -> bool {
        self.0 & 1 << partition.0 != 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In ascending order.
    pub fn iter(self) -> impl Iterator<Item = Partition> {
        (0..Partition::MAX as u8)
            .map(Partition)
            .filter(move |partition| self.contains(*partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    #[test]
    fn the_hash_is_the_published_one_and_never_changes() {
        // test vectors of the draft
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
        let eight = Partitioning::new(8).unwrap();
        let partitions = ["a", "b", "orders.eu", "café"].map(|text| eight.of(&name(text)).get());
        assert_eq!(partitions, [4, 5, 4, 1]);
    }

    #[test]
    fn channels_spread_over_all_partitions() {
        let eight = Partitioning::new(8).unwrap();
        let mut counts = [0; 8];
        for number in 0..8000 {
            counts[eight.of(&name(&format!("user.{number}"))).index()] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
        assert_eq!(Partitioning::SINGLE.of(&name("x")), Partition::ONLY);
        assert_eq!(Partitioning::new(0), None);
        assert_eq!(Partitioning::new(9), None);
    }

    #[test]
    fn a_subscription_uses_the_partitions_of_its_channels_and_a_pattern_all() {
        let eight = Partitioning::new(8).unwrap();
        let select = |text: &str| Selector::parse(text).unwrap();
        let used = eight.in_use(&[select("a"), select("b"), select("a")]);
        assert_eq!(used.iter().map(Partition::get).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(eight.in_use(&[select("a"), select("x.*")]), eight.all());
        assert_eq!(eight.all().len(), 8);
        assert_eq!(
            Partitioning::SINGLE.in_use(&[select("a")]),
            PartitionSet::one(Partition::ONLY)
        );
    }
}
