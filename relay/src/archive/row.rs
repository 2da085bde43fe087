//! Events as rows, and back.

use crate::{
    channel::ChannelName,
    cursor::{Epoch, EventId, Partition, Predecessor},
    event::{Attributes, Data, Ending, Event, EventType},
    event_log::Entry,
};
use std::collections::BTreeMap;
use tokio_postgres::{Row, types::ToSql, types::Type};

/// Columns of an event that is read, as [`read`] takes them.
pub const COLUMNS: &str = "epoch, id, channel, predecessor, predecessor_known, type, data, \
                           attributes::text, retry, time, ends";

/// Why a row is no event: somebody else wrote it, or a later version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a row of the archive is damaged: {0}")]
pub struct Damaged(pub &'static str);

/// An event with the epoch that it was appended in.
pub struct Archived {
    pub epoch: Epoch,
    pub entry: Entry,
}

pub fn read(row: &Row, partition: Partition) -> Result<Archived, Damaged> {
    fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
        row: &'a Row,
        column: usize,
        what: &'static str,
    ) -> Result<T, Damaged> {
        row.try_get(column).map_err(|_| Damaged(what))
    }
    let id = |value: i64, what| {
        let id = u64::try_from(value).ok().and_then(EventId::new);
        id.ok_or(Damaged(what))
    };
    let epoch: i32 = get(row, 0, "its epoch")?;
    let predecessor = id(get(row, 3, "its predecessor")?, "its predecessor")?;
    let data: Option<&[u8]> = get(row, 6, "its data")?;
    let data = data.map(std::str::from_utf8).transpose();
    let attributes: BTreeMap<String, String> = serde_json::from_str(get(row, 7, "its attributes")?)
        .map_err(|_| Damaged("its attributes"))?;
    let retry: Option<i64> = get(row, 8, "its retry")?;
    let time: Option<&str> = get(row, 9, "its time")?;
    let event = Event {
        kind: EventType::parse(get(row, 5, "its type")?).map_err(|_| Damaged("its type"))?,
        data: data.map_err(|_| Damaged("its data"))?.map(Data::text),
        attributes: Attributes::new(attributes).map_err(|_| Damaged("its attributes"))?,
        retry: retry
            .map(u32::try_from)
            .transpose()
            .map_err(|_| Damaged("its retry"))?,
        time: time
            .map(str::parse)
            .transpose()
            .map_err(|_| Damaged("its time"))?,
        ending: match get(row, 10, "its end")? {
            true => Ending::Ends,
            false => Ending::Continues,
        },
    };
    Ok(Archived {
        epoch: Epoch::from_random(u32::try_from(epoch).map_err(|_| Damaged("its epoch"))?),
        entry: Entry {
            partition,
            channel: ChannelName::restore(get(row, 2, "its channel")?)
                .map_err(|_| Damaged("its channel"))?,
            id: id(get(row, 1, "its id")?, "its id")?,
            predecessor: match get(row, 4, "its predecessor")? {
                true => Predecessor::Known(predecessor),
                false => Predecessor::AtMost(predecessor),
            },
            event,
        },
    })
}

/// A value of an id's column. Ids are below 2^53.
pub fn bigint(id: EventId) -> i64 {
    i64::try_from(id.get()).unwrap_or(i64::MAX)
}

/// An epoch has 30 bits.
pub fn integer(epoch: Epoch) -> i32 {
    i32::try_from(epoch.get()).unwrap_or(i32::MAX)
}

/// Events to be written with one statement, by columns.
#[derive(Default)]
pub struct Columns<'a> {
    partition: Vec<i16>,
    epoch: Vec<i32>,
    id: Vec<i64>,
    channel: Vec<&'a str>,
    predecessor: Vec<i64>,
    predecessor_known: Vec<bool>,
    kind: Vec<&'a str>,
    data: Vec<Option<&'a [u8]>>,
    attributes: Vec<String>,
    retry: Vec<Option<i64>>,
    time: Vec<Option<String>>,
    ends: Vec<bool>,
}

/// Writes what was not purged and is not there yet; answers how many that were.
pub const INSERT: &str = "\
INSERT INTO events (partition, epoch, id, channel, predecessor, predecessor_known, type, data,
                    attributes, retry, time, ends)
SELECT e.partition, e.epoch, e.id, e.channel, e.predecessor, e.predecessor_known, e.type, e.data,
       e.attributes::jsonb, e.retry, e.time, e.ends
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
     AS e (partition, epoch, id, channel, predecessor, predecessor_known, type, data, attributes,
           retry, time, ends)
WHERE NOT EXISTS (SELECT FROM purges p WHERE p.channel = e.channel AND e.id <= p.until_id)
ON CONFLICT DO NOTHING";

impl<'a> Columns<'a> {
    pub fn push(&mut self, entry: &'a Entry, epoch: Epoch) {
        let event = &entry.event;
        let (predecessor, known) = match entry.predecessor {
            Predecessor::Known(id) => (id, true),
            Predecessor::AtMost(id) => (id, false),
        };
        let attributes: BTreeMap<&str, &str> = event.attributes.iter().collect();
        self.partition.push(entry.partition.get().into());
        self.epoch.push(integer(epoch));
        self.id.push(bigint(entry.id));
        self.channel.push(entry.channel.as_str());
        self.predecessor.push(bigint(predecessor));
        self.predecessor_known.push(known);
        self.kind.push(event.kind.as_str());
        let data = event.data.as_ref();
        self.data.push(data.map(|data| data.as_str().as_bytes()));
        let attributes = serde_json::to_string(&attributes);
        self.attributes.push(attributes.expect("texts are JSON"));
        self.retry.push(event.retry.map(i64::from));
        self.time.push(event.time.map(|time| time.to_string()));
        self.ends.push(event.ending == Ending::Ends);
    }

    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    /// The parameters of [`INSERT`].
    pub fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 12] {
        [
            (&self.partition, Type::INT2_ARRAY),
            (&self.epoch, Type::INT4_ARRAY),
            (&self.id, Type::INT8_ARRAY),
            (&self.channel, Type::TEXT_ARRAY),
            (&self.predecessor, Type::INT8_ARRAY),
            (&self.predecessor_known, Type::BOOL_ARRAY),
            (&self.kind, Type::TEXT_ARRAY),
            (&self.data, Type::BYTEA_ARRAY),
            (&self.attributes, Type::TEXT_ARRAY),
            (&self.retry, Type::INT8_ARRAY),
            (&self.time, Type::TEXT_ARRAY),
            (&self.ends, Type::BOOL_ARRAY),
        ]
    }
}
