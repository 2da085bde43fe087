//! What stands in a stream's entry and in a message of pub/sub. Pure.
//!
//! A stream's entry has one field, `e`: `1 BYTES PREDECESSOR TOKEN EVENT`. `1` is the format, BYTES is
//! what was appended to the channel before it, PREDECESSOR an id (`~` before it: at most that), TOKEN
//! tells the attempt that wrote it. A message has the entries of one append, whose ids follow each
//! other: `1 EPOCH FIRST PREDECESSOR` and then, for each, `LENGTH:EVENT`. The scripts write these heads;
//! an EVENT is binary and begins with its own format.
//!
//! Anything else is [`Undecodable`]: it is announced as missing, never skipped in silence.

use crate::{
    channel::ChannelName,
    codec::{Malformed, Reader, put_signed, put_text, put_varint},
    cursor::{Epoch, EventId, Partition, Predecessor},
    event::{Attributes, Data, Ending, Event, EventType},
    event_log::Entry,
};
use jiff::Timestamp;
use std::sync::Arc;

/// The format that this release writes.
const FORMAT: u8 = 1;

const HAS_TYPE: u8 = 1;
const HAS_DATA: u8 = 2;
const HAS_ATTRIBUTES: u8 = 4;
const HAS_RETRY: u8 = 8;
const HAS_TIME: u8 = 16;
const ENDS: u8 = 32;
/// The event belongs to the same publish as the one before it.
const CONTINUES_PUBLISH: u8 = 64;

/// What cannot be understood: of a later release, or not ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Undecodable {
    #[error(
        "it is of another format than this release knows; are all replicas of one release, or of two that follow each other?"
    )]
    OtherFormat,
    #[error("it is damaged, or another program wrote it: {0}")]
    Damaged(&'static str),
}

impl From<Malformed> for Undecodable {
    fn from(Malformed(what): Malformed) -> Undecodable {
        Undecodable::Damaged(what)
    }
}

/// Where an event stands in its publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Begins,
    Continues,
}

/// An event as it is stored.
pub fn encode_event(event: &Event, part: Part) -> Vec<u8> {
    let Event {
        kind,
        data,
        attributes,
        retry,
        time,
        ending,
    } = event;
    let flag = |bit: u8, set: bool| if set { bit } else { 0 };
    let mut out = Vec::with_capacity(16 + event.size());
    out.push(FORMAT);
    out.push(
        flag(HAS_TYPE, !kind.is_default())
            | flag(HAS_DATA, data.is_some())
            | flag(HAS_ATTRIBUTES, !attributes.is_empty())
            | flag(HAS_RETRY, retry.is_some())
            | flag(HAS_TIME, time.is_some())
            | flag(ENDS, *ending == Ending::Ends)
            | flag(CONTINUES_PUBLISH, part == Part::Continues),
    );
    if !kind.is_default() {
        put_text(&mut out, kind.as_str());
    }
    if let Some(data) = data {
        put_text(&mut out, data.as_str());
    }
    if !attributes.is_empty() {
        put_varint(&mut out, attributes.len() as u64);
        for (name, value) in attributes.iter() {
            put_text(&mut out, name);
            put_text(&mut out, value);
        }
    }
    if let Some(retry) = retry {
        put_varint(&mut out, u64::from(*retry));
    }
    if let Some(time) = time {
        put_signed(&mut out, time.as_second());
        put_signed(&mut out, i64::from(time.subsec_nanosecond()));
    }
    out
}

/// The inverse of [`encode_event`].
pub fn decode_event(bytes: &[u8]) -> Result<(Event, Part), Undecodable> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != FORMAT {
        return Err(Undecodable::OtherFormat);
    }
    let flags = reader.byte()?;
    if flags
        & !(HAS_TYPE | HAS_DATA | HAS_ATTRIBUTES | HAS_RETRY | HAS_TIME | ENDS | CONTINUES_PUBLISH)
        != 0
    {
        return Err(Undecodable::OtherFormat);
    }
    let has = |bit: u8| flags & bit != 0;
    let event = Event {
        kind: match has(HAS_TYPE) {
            true => EventType::parse(reader.text()?)
                .map_err(|_| Undecodable::Damaged("its type is not legal"))?,
            false => EventType::default(),
        },
        data: match has(HAS_DATA) {
            true => Some(Data::text(reader.text()?)),
            false => None,
        },
        attributes: match has(HAS_ATTRIBUTES) {
            true => attributes(&mut reader)?,
            false => Attributes::default(),
        },
        retry: match has(HAS_RETRY) {
            true => Some(reader.small()?),
            false => None,
        },
        time: match has(HAS_TIME) {
            true => Some(time(&mut reader)?),
            false => None,
        },
        ending: match has(ENDS) {
            true => Ending::Ends,
            false => Ending::Continues,
        },
    };
    if !reader.is_empty() {
        return Err(Undecodable::Damaged("something follows it"));
    }
    let part = match has(CONTINUES_PUBLISH) {
        true => Part::Continues,
        false => Part::Begins,
    };
    Ok((event, part))
}

fn attributes(reader: &mut Reader) -> Result<Attributes, Undecodable> {
    let count = reader.varint()?;
    // collected as they are read, so that a false count costs no memory
    let pairs = (0..count)
        .map(|_| Ok((reader.text()?.to_owned(), reader.text()?.to_owned())))
        .collect::<Result<Vec<_>, Malformed>>()?;
    Attributes::new(pairs).map_err(|_| Undecodable::Damaged("an attribute is not legal"))
}

fn time(reader: &mut Reader) -> Result<Timestamp, Undecodable> {
    let (seconds, nanoseconds) = (reader.signed()?, reader.signed()?);
    i32::try_from(nanoseconds)
        .ok()
        .and_then(|nanoseconds| Timestamp::new(seconds, nanoseconds).ok())
        .ok_or(Undecodable::Damaged("its time is out of range"))
}

/// An entry of a stream, its event not yet decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored<'a> {
    /// Bytes that were appended to the channel before it.
    pub bytes_before: u64,
    pub predecessor: Predecessor,
    pub event: &'a [u8],
}

/// What an event counts for against the limit in bytes, beside its own.
pub const OVERHEAD: usize = 64;

/// Parses the field of a stream's entry.
pub fn parse_stored(field: &[u8]) -> Result<Stored<'_>, Undecodable> {
    let mut words = Words(field);
    format_of(&mut words)?;
    let bytes_before = words.number()?;
    let predecessor = words.predecessor()?;
    words.next()?; // the token is the script's
    Ok(Stored {
        bytes_before,
        predecessor,
        event: words.0,
    })
}

/// A message of pub/sub, its events not yet decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    pub epoch: Epoch,
    /// Id of the first event; those of the others follow it.
    pub first: EventId,
    pub predecessor: Predecessor,
    events: Vec<&'a [u8]>,
}

impl<'a> Message<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Undecodable> {
        let mut words = Words(bytes);
        format_of(&mut words)?;
        let epoch = words.epoch()?;
        let first = words.id()?;
        let predecessor = words.predecessor()?;
        let mut events = Vec::new();
        while !words.0.is_empty() {
            let length = words.until(b':')?;
            let length = number(length).ok_or(Undecodable::Damaged("a length is no number"))?;
            let split = usize::try_from(length)
                .ok()
                .and_then(|length| words.0.split_at_checked(length));
            let (event, rest) = split.ok_or(Undecodable::Damaged("it ends early"))?;
            events.push(event);
            words.0 = rest;
        }
        if events.is_empty() {
            return Err(Undecodable::Damaged("it has no event"));
        }
        Ok(Message {
            epoch,
            first,
            predecessor,
            events,
        })
    }

    /// Id of the last event.
    pub fn last(&self) -> EventId {
        let last = self.first.get() + self.events.len() as u64 - 1;
        EventId::new(last).unwrap_or(self.first)
    }

    /// The entries of a channel of this partition, publish by publish.
    pub fn publishes(
        &self,
        partition: Partition,
        channel: &ChannelName,
    ) -> Result<Vec<Vec<Arc<Entry>>>, Undecodable> {
        let mut publishes: Vec<Vec<Arc<Entry>>> = Vec::new();
        let mut predecessor = self.predecessor;
        for (index, bytes) in self.events.iter().enumerate() {
            let (event, part) = decode_event(bytes)?;
            let id = EventId::new(self.first.get() + index as u64)
                .ok_or(Undecodable::Damaged("an id is out of range"))?;
            let entry = Arc::new(Entry {
                partition,
                channel: channel.clone(),
                id,
                predecessor,
                event,
            });
            predecessor = Predecessor::Known(id);
            match publishes.last_mut() {
                Some(publish) if part == Part::Continues => publish.push(entry),
                _ => publishes.push(vec![entry]),
            }
        }
        Ok(publishes)
    }
}

/// News of a partition, as the scripts publish them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News<'a> {
    /// A channel that was not known before, and the id of its first event.
    Channel {
        epoch: Epoch,
        first: EventId,
        name: String,
        /// Its first message, unless that was a large one.
        events: &'a [u8],
    },
    /// An epoch began after another.
    Epoch { epoch: Epoch, after: Epoch },
    /// More of an ended epoch is known to be lost.
    Witness { ended: Epoch },
    /// A channel was purged, and how many purges there were.
    Purge { name: String, number: u64 },
}

impl<'a> News<'a> {
    /// `None` for a kind of news that this release does not know: they are hints, and the log tells.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<News<'a>>, Undecodable> {
        let mut words = Words(bytes);
        format_of(&mut words)?;
        let kind = words.next()?;
        let (epoch, id) = (words.epoch()?, words.id()?);
        let (rest, events) = match memchr::memchr(b'\n', words.0) {
            Some(end) => (&words.0[..end], &words.0[end + 1..]),
            None => (words.0, &b""[..]),
        };
        let rest =
            std::str::from_utf8(rest).map_err(|_| Undecodable::Damaged("a text is not UTF-8"))?;
        let other = || {
            let number = number(rest.as_bytes()).and_then(|number| u32::try_from(number).ok());
            number
                .map(Epoch::from_random)
                .ok_or(Undecodable::Damaged("an epoch is no number"))
        };
        Ok(match kind {
            b"channel" => Some(News::Channel {
                epoch,
                first: id,
                name: rest.to_owned(),
                events,
            }),
            b"epoch" => Some(News::Epoch {
                epoch,
                after: other()?,
            }),
            b"purge" => Some(News::Purge {
                name: rest.to_owned(),
                number: number(events).ok_or(Undecodable::Damaged("a count is no number"))?,
            }),
            b"witness" => Some(News::Witness { ended: other()? }),
            _ => None,
        })
    }
}

fn format_of(words: &mut Words<'_>) -> Result<(), Undecodable> {
    match words.next()? {
        b"1" => Ok(()),
        word if number(word).is_some() => Err(Undecodable::OtherFormat),
        _ => Err(Undecodable::Damaged("it does not begin with a format")),
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten()
}

/// Takes words off the front.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn until(&mut self, end: u8) -> Result<&'a [u8], Undecodable> {
        let at = memchr::memchr(end, self.0).ok_or(Undecodable::Damaged("it ends early"))?;
        let word = &self.0[..at];
        self.0 = &self.0[at + 1..];
        Ok(word)
    }

    fn next(&mut self) -> Result<&'a [u8], Undecodable> {
        self.until(b' ')
    }

    fn number(&mut self) -> Result<u64, Undecodable> {
        number(self.next()?).ok_or(Undecodable::Damaged("a number is none"))
    }

    fn id(&mut self) -> Result<EventId, Undecodable> {
        EventId::new(self.number()?).ok_or(Undecodable::Damaged("an id is out of range"))
    }

    fn epoch(&mut self) -> Result<Epoch, Undecodable> {
        let number = u32::try_from(self.number()?);
        number
            .map(Epoch::from_random)
            .map_err(|_| Undecodable::Damaged("an epoch is out of range"))
    }

    fn predecessor(&mut self) -> Result<Predecessor, Undecodable> {
        if self.0.first() == Some(&b'~') {
            self.0 = &self.0[1..];
            return Ok(Predecessor::AtMost(self.id()?));
        }
        Ok(Predecessor::Known(self.id()?))
    }
}

/// The id of a stream's entry, `MILLISECONDS-COUNTER`.
pub fn parse_stream_id(text: &[u8]) -> Option<EventId> {
    let at = memchr::memchr(b'-', text)?;
    EventId::from_stream(number(&text[..at])?, number(&text[at + 1..])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn events()(
            kind in "([a-z][^\\p{Cc}]{0,20}x)?",
            data in proptest::option::of(".*|\\PC{300}"),
            attributes in proptest::collection::btree_map("[a-z_.-]{1,9}", "\\PC{0,20}", 0..4),
            retry in any::<Option<u32>>(),
            time in proptest::option::of((-100_000_000_000i64..100_000_000_000, 0..1_000_000_000)),
            ends: bool,
        ) -> Event {
            Event {
                kind: EventType::parse(&kind).unwrap(),
                data: data.map(|data| Data::text(&data)),
                attributes: Attributes::new(attributes).unwrap(),
                retry,
                time: time.map(|(seconds, nanos)| Timestamp::new(seconds, nanos).unwrap()),
                ending: if ends { Ending::Ends } else { Ending::Continues },
            }
        }
    }

    /// A message as the script writes it.
    fn message(head: &str, events: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = head.as_bytes().to_vec();
        for event in events {
            bytes.extend_from_slice(format!("{}:", event.len()).as_bytes());
            bytes.extend_from_slice(event);
        }
        bytes
    }

    proptest! {
        #[test]
        fn an_event_survives_its_encoding(event in events(), begins: bool) {
            let part = if begins { Part::Begins } else { Part::Continues };
            prop_assert_eq!(decode_event(&encode_event(&event, part)), Ok((event, part)));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = decode_event(&bytes);
            let _ = parse_stored(&bytes);
            let _ = Message::parse(&bytes);
            let _ = News::parse(&bytes);
            let _ = parse_stream_id(&bytes);
        }

        #[test]
        fn an_event_that_was_cut_is_refused(event in events(), at: prop::sample::Index) {
            let bytes = encode_event(&event, Part::Begins);
            prop_assert!(decode_event(&bytes[..at.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn what_a_later_release_writes_is_told_from_damage() {
        let mut event = encode_event(&Event::text("x"), Part::Begins);
        event[0] = 2;
        assert_eq!(decode_event(&event), Err(Undecodable::OtherFormat));
        event[0] = 1;
        event[1] |= 128;
        assert_eq!(decode_event(&event), Err(Undecodable::OtherFormat));
        assert_eq!(parse_stored(b"2 0 0 t x"), Err(Undecodable::OtherFormat));
        assert!(matches!(
            parse_stored(b"hello world"),
            Err(Undecodable::Damaged(_))
        ));
        assert!(matches!(
            parse_stored(b"1 0 99999999999999999 t x"),
            Err(Undecodable::Damaged(_))
        ));
    }

    #[test]
    fn an_entry_names_its_predecessor() {
        let id = |value| EventId::new(value).unwrap();
        let stored = parse_stored(b"1 100 ~77 tok \x01\x00").unwrap();
        assert_eq!(stored.predecessor, Predecessor::AtMost(id(77)));
        assert_eq!((stored.bytes_before, stored.event), (100, &b"\x01\x00"[..]));
        assert_eq!(
            parse_stored(b"1 0 0 t x").unwrap().predecessor,
            Predecessor::Known(id(0))
        );
    }

    #[test]
    fn a_message_has_the_publishes_of_one_append_in_order() {
        let channel = ChannelName::parse("c").unwrap();
        let events: Vec<Vec<u8>> = [
            ("1", Part::Begins),
            ("2", Part::Continues),
            ("3: ", Part::Begins),
        ]
        .iter()
        .map(|(text, part)| encode_event(&Event::text(text), *part))
        .collect();
        let bytes = message("1 5 100 90 ", &events);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            (message.epoch, message.last().get()),
            (Epoch::from_random(5), 102)
        );
        let publishes = message.publishes(Partition::ONLY, &channel).unwrap();
        let shape: Vec<Vec<u64>> = publishes
            .iter()
            .map(|publish| publish.iter().map(|entry| entry.id.get()).collect())
            .collect();
        assert_eq!(shape, [vec![100, 101], vec![102]]);
        assert_eq!(
            publishes[1][0].predecessor,
            Predecessor::Known(EventId::new(101).unwrap())
        );
        assert_eq!(publishes[1][0].event, Event::text("3: "));
        for cut in 0..bytes.len() {
            assert!(
                Message::parse(&bytes[..cut]).is_err()
                    || cut == bytes.len() - events[2].len() - 2
                    || cut == bytes.len() - events[2].len() - events[1].len() - 4,
                "{cut}"
            );
        }
    }

    #[test]
    fn news_are_understood_and_unknown_ones_passed_over() {
        let epoch = Epoch::from_random;
        assert_eq!(
            News::parse(b"1 channel 5 100 a b\n1 5"),
            Ok(Some(News::Channel {
                epoch: epoch(5),
                first: EventId::new(100).unwrap(),
                name: "a b".into(),
                events: b"1 5",
            }))
        );
        assert_eq!(
            News::parse(b"1 epoch 6 100 5"),
            Ok(Some(News::Epoch {
                epoch: epoch(6),
                after: epoch(5)
            }))
        );
        assert_eq!(
            News::parse(b"1 witness 6 120 5"),
            Ok(Some(News::Witness { ended: epoch(5) }))
        );
        assert_eq!(News::parse(b"1 surprise 6 120 x"), Ok(None));
        assert!(News::parse(b"1 epoch 6 100 x").is_err());
    }

    #[test]
    fn ids_of_streams_are_those_of_events() {
        let id = EventId::new(5 * 4096 + 7).unwrap();
        assert_eq!(parse_stream_id(b"1600000000005-7"), Some(id));
        assert_eq!(id.to_stream(), "1600000000005-7");
        for other in ["", "5", "1-1", "1600000000005-4096", "x-1"] {
            assert_eq!(parse_stream_id(other.as_bytes()), None, "{other}");
        }
    }
}
