//! What the journal holds, and its encoding.

use jiff::Timestamp;

use super::file::Life;
use crate::channel::ChannelName;
use crate::codec::{Malformed, Reader, put_signed, put_text, put_varint};
use crate::cursor::{Epoch, EventId, Predecessor, UnixMillis};
use crate::event::{Attributes, Data, Ending, Event, EventType};

/// One fact about the log. What the file holds, in order, is what happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    Event {
        channel: ChannelName,
        id: EventId,
        predecessor: Predecessor,
        event: Event,
        idempotency: Option<Idempotency>,
    },
    /// Highest id ever given out (compaction drops events, and ids must never repeat), and the
    /// highest id that the index of channels has forgotten.
    Head { last: EventId, forgotten: EventId },
    /// An epoch that ended, and the id up to which its events survived.
    EpochEnded { epoch: Epoch, fork: EventId },
    /// A channel whose events were all trimmed but which is still known.
    Channel {
        channel: ChannelName,
        last: EventId,
        ending: Ending,
    },
    /// What a channel had up to an id was purged.
    Purged {
        channel: ChannelName,
        until: EventId,
    },
    /// An idempotency key whose publish may be trimmed. Only snapshots need it: elsewhere the events
    /// themselves carry their key.
    Key {
        channel: ChannelName,
        key: String,
        fingerprint: [u8; 32],
        /// When it was used.
        at: UnixMillis,
        /// Of all events of the publish, in their order.
        ids: Vec<EventId>,
    },
}

/// By which a publisher's second try is recognised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Idempotency {
    pub key: String,
    /// Digest of what was published.
    pub fingerprint: [u8; 32],
    /// Events in that publish.
    pub count: u32,
    /// Which of them this is.
    pub index: u32,
}

impl Record {
    /// The highest id that this record tells of.
    pub(super) fn highest(&self) -> EventId {
        match self {
            Record::Event { id, .. } => *id,
            Record::Head { last, .. } => *last,
            Record::EpochEnded { fork, .. } => *fork,
            Record::Channel { last, .. } => *last,
            Record::Purged { until, .. } => *until,
            Record::Key { ids, .. } => ids.iter().copied().max().unwrap_or(EventId::ZERO),
        }
    }
}

/// A record, or a mark of the journal's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    Record(Record),
    /// The file was opened again; the life says by whom.
    Opened(Life),
    /// All before this is on the disk, and nobody appended after it.
    Closed,
    /// The last entry of a compacted file.
    SnapshotEnd,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Undecodable {
    Malformed(&'static str),
    /// A kind of record that this release does not know.
    UnknownKind(u8),
}

impl From<Malformed> for Undecodable {
    fn from(Malformed(what): Malformed) -> Undecodable {
        Undecodable::Malformed(what)
    }
}

const EVENT: u8 = 1;
const HEAD: u8 = 2;
const EPOCH_ENDED: u8 = 3;
const CHANNEL: u8 = 4;
const KEY: u8 = 5;
const PURGED: u8 = 6;
const OPENED: u8 = 128;
const CLOSED: u8 = 129;
const SNAPSHOT_END: u8 = 130;

const FORGOTTEN_PREDECESSOR: u8 = 1;
const HAS_TYPE: u8 = 2;
const HAS_DATA: u8 = 4;
const HAS_ATTRIBUTES: u8 = 8;
const HAS_RETRY: u8 = 16;
const HAS_TIME: u8 = 32;
const ENDS: u8 = 64;
const HAS_IDEMPOTENCY: u8 = 128;

impl Entry {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Entry::Record(record) => record.encode(out),
            Entry::Opened(life) => {
                out.push(OPENED);
                out.extend_from_slice(&life.bytes());
            }
            Entry::Closed => out.push(CLOSED),
            Entry::SnapshotEnd => out.push(SNAPSHOT_END),
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Entry, Undecodable> {
        let record = match reader.byte()? {
            EVENT => decode_event(reader)?,
            HEAD => Record::Head {
                last: id(reader)?,
                forgotten: id(reader)?,
            },
            EPOCH_ENDED => Record::EpochEnded {
                epoch: Epoch::from_random(reader.small()?),
                fork: id(reader)?,
            },
            CHANNEL => Record::Channel {
                channel: channel(reader)?,
                last: id(reader)?,
                ending: match reader.byte()? {
                    0 => Ending::Continues,
                    1 => Ending::Ends,
                    _ => return Err(Undecodable::Malformed("no such ending")),
                },
            },
            KEY => decode_key(reader)?,
            PURGED => Record::Purged {
                channel: channel(reader)?,
                until: id(reader)?,
            },
            OPENED => return Ok(Entry::Opened(Life::read(reader)?)),
            CLOSED => return Ok(Entry::Closed),
            SNAPSHOT_END => return Ok(Entry::SnapshotEnd),
            kind => return Err(Undecodable::UnknownKind(kind)),
        };
        Ok(Entry::Record(record))
    }
}

impl Record {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Event {
                channel,
                id,
                predecessor,
                event,
                idempotency,
            } => encode_event(out, channel, *id, *predecessor, event, idempotency.as_ref()),
            Record::Head { last, forgotten } => {
                out.push(HEAD);
                put_varint(out, last.get());
                put_varint(out, forgotten.get());
            }
            Record::EpochEnded { epoch, fork } => {
                out.push(EPOCH_ENDED);
                put_varint(out, u64::from(epoch.get()));
                put_varint(out, fork.get());
            }
            Record::Channel {
                channel,
                last,
                ending,
            } => {
                out.push(CHANNEL);
                put_text(out, channel.as_str());
                put_varint(out, last.get());
                out.push(u8::from(*ending == Ending::Ends));
            }
            Record::Purged { channel, until } => {
                out.push(PURGED);
                put_text(out, channel.as_str());
                put_varint(out, until.get());
            }
            Record::Key {
                channel,
                key,
                fingerprint,
                at,
                ids,
            } => {
                out.push(KEY);
                put_text(out, channel.as_str());
                put_text(out, key);
                out.extend_from_slice(fingerprint);
                put_varint(out, *at);
                put_varint(out, ids.len() as u64);
                for id in ids {
                    put_varint(out, id.get());
                }
            }
        }
    }
}

fn encode_event(
    out: &mut Vec<u8>,
    channel: &ChannelName,
    id: EventId,
    predecessor: Predecessor,
    event: &Event,
    idempotency: Option<&Idempotency>,
) {
    let Event {
        kind,
        data,
        attributes,
        retry,
        time,
        ending,
    } = event;
    let (previous, forgotten) = match predecessor {
        Predecessor::Known(id) => (id, false),
        Predecessor::AtMost(id) => (id, true),
    };
    let flag = |bit: u8, set: bool| if set { bit } else { 0 };
    out.push(EVENT);
    out.push(
        flag(FORGOTTEN_PREDECESSOR, forgotten)
            | flag(HAS_TYPE, !kind.is_default())
            | flag(HAS_DATA, data.is_some())
            | flag(HAS_ATTRIBUTES, !attributes.is_empty())
            | flag(HAS_RETRY, retry.is_some())
            | flag(HAS_TIME, time.is_some())
            | flag(ENDS, *ending == Ending::Ends)
            | flag(HAS_IDEMPOTENCY, idempotency.is_some()),
    );
    put_text(out, channel.as_str());
    put_varint(out, id.get());
    put_varint(out, previous.get());
    if !kind.is_default() {
        put_text(out, kind.as_str());
    }
    if let Some(data) = data {
        put_text(out, data.as_str());
    }
    if !attributes.is_empty() {
        put_varint(out, attributes.len() as u64);
        for (name, value) in attributes.iter() {
            put_text(out, name);
            put_text(out, value);
        }
    }
    if let Some(retry) = retry {
        put_varint(out, u64::from(*retry));
    }
    if let Some(time) = time {
        put_signed(out, time.as_second());
        put_signed(out, i64::from(time.subsec_nanosecond()));
    }
    if let Some(idempotency) = idempotency {
        put_text(out, &idempotency.key);
        out.extend_from_slice(&idempotency.fingerprint);
        put_varint(out, u64::from(idempotency.count));
        put_varint(out, u64::from(idempotency.index));
    }
}

fn decode_event(reader: &mut Reader) -> Result<Record, Undecodable> {
    let flags = reader.byte()?;
    let has = |bit: u8| flags & bit != 0;
    let channel = channel(reader)?;
    let id = id(reader)?;
    let previous = self::id(reader)?;
    let event = Event {
        kind: has(HAS_TYPE)
            .then(|| kind(reader))
            .transpose()?
            .unwrap_or_default(),
        data: has(HAS_DATA)
            .then(|| reader.text().map(Data::text))
            .transpose()?,
        attributes: has(HAS_ATTRIBUTES)
            .then(|| attributes(reader))
            .transpose()?
            .unwrap_or_default(),
        retry: has(HAS_RETRY).then(|| reader.small()).transpose()?,
        time: has(HAS_TIME).then(|| time(reader)).transpose()?,
        ending: if has(ENDS) {
            Ending::Ends
        } else {
            Ending::Continues
        },
    };
    Ok(Record::Event {
        channel,
        id,
        predecessor: if has(FORGOTTEN_PREDECESSOR) {
            Predecessor::AtMost(previous)
        } else {
            Predecessor::Known(previous)
        },
        event,
        idempotency: has(HAS_IDEMPOTENCY)
            .then(|| idempotency(reader))
            .transpose()?,
    })
}

fn id(reader: &mut Reader) -> Result<EventId, Undecodable> {
    EventId::new(reader.varint()?).ok_or(Undecodable::Malformed("an id is out of range"))
}

fn channel(reader: &mut Reader) -> Result<ChannelName, Undecodable> {
    ChannelName::restore(reader.text()?)
        .map_err(|_| Undecodable::Malformed("a channel's name is not legal"))
}

fn kind(reader: &mut Reader) -> Result<EventType, Undecodable> {
    EventType::parse(reader.text()?)
        .map_err(|_| Undecodable::Malformed("an event's type is not legal"))
}

fn attributes(reader: &mut Reader) -> Result<Attributes, Undecodable> {
    // Collected as they are read, so that a false count costs no memory.
    let count = reader.varint()?;
    let pairs = (0..count)
        .map(|_| Ok((reader.text()?.to_owned(), reader.text()?.to_owned())))
        .collect::<Result<Vec<_>, Undecodable>>()?;
    Attributes::new(pairs).map_err(|_| Undecodable::Malformed("an attribute is not legal"))
}

fn time(reader: &mut Reader) -> Result<Timestamp, Undecodable> {
    let (seconds, nanoseconds) = (reader.signed()?, reader.signed()?);
    i32::try_from(nanoseconds)
        .ok()
        .and_then(|nanoseconds| Timestamp::new(seconds, nanoseconds).ok())
        .ok_or(Undecodable::Malformed("a time is out of range"))
}

fn idempotency(reader: &mut Reader) -> Result<Idempotency, Undecodable> {
    Ok(Idempotency {
        key: reader.text()?.to_owned(),
        fingerprint: reader.array()?,
        count: reader.small()?,
        index: reader.small()?,
    })
}

fn decode_key(reader: &mut Reader) -> Result<Record, Undecodable> {
    let (channel, key) = (channel(reader)?, reader.text()?.to_owned());
    let (fingerprint, at) = (reader.array()?, reader.varint()?);
    let count = reader.varint()?;
    let ids = (0..count).map(|_| id(reader)).collect::<Result<_, _>>()?;
    Ok(Record::Key {
        channel,
        key,
        fingerprint,
        at,
        ids,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn ids()(value in prop_oneof![Just(0), Just((1u64 << 53) - 1), 0..1u64 << 53]) -> EventId {
            EventId::new(value).unwrap()
        }
    }

    prop_compose! {
        fn channels()(
            name in "[^\\p{Cc}@*][^\\p{Cc}*]{0,40}".prop_filter_map("`.` and `..` name no channel", |text| {
                ChannelName::parse(&text).ok()
            }),
        ) -> ChannelName {
            name
        }
    }

    fn endings() -> impl Strategy<Value = Ending> {
        prop_oneof![Just(Ending::Continues), Just(Ending::Ends)]
    }

    prop_compose! {
        fn events()(
            kind in "([a-z][^\\p{Cc}]{0,20}x)?",
            data in proptest::option::of(".*|\\PC{300}"),
            attributes in proptest::collection::btree_map("[a-z_.-]{1,9}", "\\PC{0,20}", 0..4),
            retry in any::<Option<u32>>(),
            time in proptest::option::of((-100_000_000_000i64..100_000_000_000, 0..1_000_000_000)),
            ending in endings(),
        ) -> Event {
            Event {
                kind: EventType::parse(&kind).unwrap(),
                data: data.map(|data| Data::text(&data)),
                attributes: Attributes::new(attributes).unwrap(),
                retry,
                time: time.map(|(seconds, nanos)| Timestamp::new(seconds, nanos).unwrap()),
                ending,
            }
        }
    }

    prop_compose! {
        fn idempotencies()(key in "\\PC{0,40}", fingerprint: [u8; 32], count: u32, index: u32)
            -> Idempotency {
            Idempotency { key, fingerprint, count, index }
        }
    }

    pub(in crate::journal) fn records() -> impl Strategy<Value = Record> {
        let predecessors = prop_oneof![
            ids().prop_map(Predecessor::Known),
            ids().prop_map(Predecessor::AtMost)
        ];
        prop_oneof![
            8 => (channels(), ids(), predecessors, events(), proptest::option::of(idempotencies()))
                .prop_map(|(channel, id, predecessor, event, idempotency)| {
                    Record::Event { channel, id, predecessor, event, idempotency }
                }),
            1 => (ids(), ids()).prop_map(|(last, forgotten)| Record::Head { last, forgotten }),
            1 => (channels(), ids(), endings()).prop_map(|(channel, last, ending)| {
                Record::Channel { channel, last, ending }
            }),
            1 => (channels(), idempotencies(), any::<u64>(), proptest::collection::vec(ids(), 0..4))
                .prop_map(|(channel, of, at, ids)| {
                    let Idempotency { key, fingerprint, .. } = of;
                    Record::Key { channel, key, fingerprint, at, ids }
                }),
        ]
    }

    proptest! {
        #[test]
        fn a_record_survives_its_encoding(record in records()) {
            let mut out = Vec::new();
            record.encode(&mut out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(Entry::decode(&mut reader), Ok(Entry::Record(record)));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_decoded_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = Entry::decode(&mut Reader::new(&bytes));
        }
    }

    #[test]
    fn a_kind_of_a_later_release_is_named() {
        assert_eq!(
            Entry::decode(&mut Reader::new(&[77])),
            Err(Undecodable::UnknownKind(77))
        );
    }
}
