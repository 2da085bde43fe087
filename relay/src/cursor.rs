//! Order, ids and cursors (decision record 0001).
//!
//! An [`EventId`] is one integer below 2^53 from a hybrid clock. A [`Place`] is an id together with
//! the partition and the epoch that give it a meaning, and has a text form for the wire. A
//! [`Cursor`] says where a subscription stands.

pub mod places;

pub use crate::partition::Partition;
pub use places::Places;

use std::fmt;

/// Milliseconds since the Unix epoch. Always an argument of pure code, never read from a clock here.
pub type UnixMillis = u64;

/// The clock of ids starts at 2020-09-13T12:26:40Z, so that 53 bits last until the year 2090.
pub const CLOCK_START: UnixMillis = 1_600_000_000_000;
/// Ids of one millisecond; the next one borrows from the following millisecond.
pub const PER_MILLISECOND: u64 = 4096;
/// Ids stay exact in an IEEE double: a sorted-set score, a JSON number, a JavaScript number.
const LIMIT: u64 = 1 << 53;

/// An event's place in the order of its partition: `(milliseconds - CLOCK_START) * 4096 + counter`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EventId(u64);

impl EventId {
    /// Before every event.
    pub const ZERO: EventId = EventId(0);

    /// From its integer; `None` at or above 2^53.
    pub fn new(value: u64) -> Option<EventId> {
        (value < LIMIT).then_some(EventId(value))
    }

    pub fn get(self) -> u64 {
        self.0
    }

    /// The id before the first one that an event of this millisecond can have, so that reading
    /// after it gives everything from this time on. Clamped to the range of the clock.
    pub fn before(time: UnixMillis) -> EventId {
        let ticks = time
            .saturating_sub(CLOCK_START)
            .saturating_mul(PER_MILLISECOND);
        EventId(ticks.min(LIMIT - 1).saturating_sub(1))
    }

    /// The id that an append at `now` gets after `last`: `max(now, last + 1)`, so that a clock
    /// that steps back neither repeats nor hides an event. `None` when the clock is exhausted (2090).
    pub fn following(last: EventId, now: UnixMillis) -> Option<EventId> {
        let ticks = now
            .saturating_sub(CLOCK_START)
            .saturating_mul(PER_MILLISECOND);
        EventId::new(ticks.max(last.0 + 1))
    }

    /// As the id of an entry in a Redis stream: milliseconds since the Unix epoch, `-`, the counter.
    pub fn to_stream(self) -> String {
        format!("{}-{}", self.unix_millis(), self.0 % PER_MILLISECOND)
    }

    /// The inverse; `None` for ids that no append gives.
    pub fn from_stream(millis: UnixMillis, counter: u64) -> Option<EventId> {
        let ticks = millis
            .checked_sub(CLOCK_START)?
            .checked_mul(PER_MILLISECOND)?;
        if counter >= PER_MILLISECOND {
            return None;
        }
        EventId::new(ticks.checked_add(counter)?)
    }

    /// When the event was appended, as its id tells (exact unless ids borrowed from the future).
    pub fn unix_millis(self) -> UnixMillis {
        self.0 / PER_MILLISECOND + CLOCK_START
    }
}

/// What is known of the event before an event in its channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Predecessor {
    /// The channel's previous event; [`EventId::ZERO`]: it is the channel's first.
    Known(EventId),
    /// The previous event is forgotten; its id is at most this.
    AtMost(EventId),
}

/// One unbroken life of a partition's log. It changes when acknowledged events may have been lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Epoch(u32);

impl Epoch {
    const BITS: u32 = 30;

    /// From random bits, of which 30 count.
    pub fn from_random(bits: u32) -> Epoch {
        Epoch(bits & ((1 << Epoch::BITS) - 1))
    }

    pub fn get(self) -> u32 {
        self.0
    }
}

/// An id with the partition and the epoch it belongs to.
///
/// Its text is 15 characters, `P EEEEE IIIIIIIII` without the spaces: the partition as a digit, then
/// epoch and id in base 64 with the ASCII-ordered alphabet `-0-9A-Z_a-z`. Places of one epoch sort as
/// text, and none needs escaping in a header, a URL, JSON or a shell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub partition: Partition,
    pub epoch: Epoch,
    pub id: EventId,
}

const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

fn encode(mut value: u64, out: &mut [u8]) {
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(value & 63) as usize];
        value >>= 6;
    }
}

fn decode(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |value, byte| {
        let digit = ALPHABET.binary_search(byte).ok()?;
        Some(value << 6 | digit as u64)
    })
}

impl Place {
    /// Bytes of its text, always.
    pub const LEN: usize = 15;

    pub fn text(self) -> [u8; Place::LEN] {
        let mut out = [0; Place::LEN];
        out[0] = b'0' + self.partition.get();
        encode(u64::from(self.epoch.0), &mut out[1..6]);
        encode(self.id.0, &mut out[6..]);
        out
    }

    pub fn parse(text: &str) -> Option<Place> {
        let bytes = text.as_bytes();
        if bytes.len() != Place::LEN {
            return None;
        }
        Some(Place {
            partition: Partition::new(bytes[0].checked_sub(b'0')?)?,
            epoch: Epoch(decode(&bytes[1..6])? as u32),
            id: EventId::new(decode(&bytes[6..])?)?,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("the alphabet is ASCII"))
    }
}

impl serde::Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a subscription stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cursor {
    /// Before all that the log still has.
    Earliest,
    /// After these places, exactly.
    After(Places),
    /// After all that the log has.
    Latest,
    /// Before the first event of this time.
    At(UnixMillis),
    /// A client came back with an id that no log of this kind ever gave out. What it missed cannot
    /// be told, so it gets a possible gap and then all that there is.
    Unknown,
}

impl Cursor {
    /// Of what a client sent as its last event id. Never an error: a browser's EventSource does not
    /// return after one, so an id that is not ours becomes [`Cursor::Unknown`] and an announced gap.
    /// An empty id means that the client has none.
    pub fn from_last_event_id(text: &str) -> Option<Cursor> {
        if text.is_empty() {
            return None;
        }
        Some(Places::parse(text).map_or(Cursor::Unknown, Cursor::After))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(partition: u8, epoch: u32, id: u64) -> Place {
        Place {
            partition: Partition::new(partition).unwrap(),
            epoch: Epoch::from_random(epoch),
            id: EventId::new(id).unwrap(),
        }
    }

    #[test]
    fn an_id_follows_the_clock_and_never_goes_back() {
        let now = CLOCK_START + 5;
        let first = EventId::following(EventId::ZERO, now).unwrap();
        assert_eq!(first.get(), 5 * 4096);
        assert_eq!(
            EventId::following(first, now).unwrap().get(),
            first.get() + 1
        );
        assert_eq!(
            EventId::following(first, now - 3).unwrap().get(),
            first.get() + 1
        );
        assert_eq!(first.unix_millis(), now);
    }

    #[test]
    fn the_clock_ends_instead_of_wrapping() {
        let last = EventId::new(LIMIT - 1).unwrap();
        assert_eq!(EventId::following(last, CLOCK_START), None);
        assert_eq!(EventId::new(LIMIT), None);
        let year_2089 = EventId::following(EventId::ZERO, 3_755_000_000_000);
        assert!(year_2089.is_some());
    }

    #[test]
    fn reading_from_a_time_includes_its_first_event() {
        let now = CLOCK_START + 7;
        let first = EventId::following(EventId::ZERO, now).unwrap();
        assert!(EventId::before(now) < first);
        assert!(EventId::before(now) >= EventId::following(EventId::ZERO, now - 1).unwrap());
        assert_eq!(EventId::before(0), EventId::ZERO);
    }

    #[test]
    fn what_is_not_ours_is_unknown_and_never_an_error() {
        for text in [
            "1",
            "169-0",
            "0abcde",
            "é",
            &"0".repeat(4000),
            "000000000000000.000000000000000",
        ] {
            assert_eq!(
                Cursor::from_last_event_id(text),
                Some(Cursor::Unknown),
                "{text}"
            );
        }
        assert_eq!(Cursor::from_last_event_id(""), None);
    }

    proptest! {
        #[test]
        fn texts_of_one_epoch_sort_as_their_ids(epoch: u32, a in 0..LIMIT, b in 0..LIMIT) {
            let (x, y) = (place(0, epoch, a), place(0, epoch, b));
            prop_assert_eq!(x.text().cmp(&y.text()), a.cmp(&b));
        }

        #[test]
        fn any_text_is_parsed_or_refused_without_a_panic(text: String) {
            let _ = Cursor::from_last_event_id(&text);
        }
    }
}
