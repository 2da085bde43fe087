//! Reading a part of a partition's history: the index first, then the streams, merged in order of ids.
//!
//! The index comes first, or an append between the two would look like a gap. What is read is bounded
//! by what is asked for, not by how much there is: each changed channel is read a few entries at a
//! time, and read on when those are used up.

use super::{CANARIES, Store, StoreError, next, parse_head, survey::score_of};
use crate::{
    channel::{ChannelName, Selector},
    cursor::{EventId, Partition, Predecessor},
    event::Event,
    event_log::{
        Completeness, Entry, Gaps, Read, Standing,
        gap::{self, Certainty, Gap, Known, missing},
        merge::Part,
        redis::{
            entry::{Undecodable, decode_event, parse_stored, parse_stream_id},
            keys::channel_named,
        },
    },
    frame::GapReason,
    redis::{Command, CommandError, Refusal, Reply},
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

/// Entries that a read begins with, over all channels.
const FIRST_ENTRIES: usize = 512;
/// Entries of one channel that are read at once, at most.
const MOST_ENTRIES: usize = 256;
/// Channels of the index that are read at once.
const INDEX_PAGE: usize = 5000;
/// Streams that one pipeline reads.
const STREAMS: usize = 500;

/// One channel on the way into a page.
struct Source {
    channel: ChannelName,
    /// Everything up to here was taken from the stream.
    read_to: EventId,
    waiting: VecDeque<Arc<Entry>>,
    /// Whether the stream may have more than is waiting.
    more: bool,
    /// Entries to ask for next.
    count: usize,
}

/// What the index says of a read.
struct Index {
    /// How far the page may reach.
    upto: EventId,
    /// The highest id among channels that the index has forgotten.
    head_forgotten: EventId,
    /// Channels that may be among them, or, without a name, any.
    forgotten: Vec<Option<ChannelName>>,
    /// Channels that moved after the cursor.
    changed: Vec<Wanted>,
}

/// Entries of a stream after an id, as they were read.
struct Slice {
    entries: Vec<Arc<Entry>>,
    /// What the gap rule needs to know, if there was anything at all.
    known: Option<Known>,
    /// The highest id that could not be understood, before the first entry.
    damaged: Option<EventId>,
    /// Where reading must go on; later than the last entry only if that one is damaged.
    read_to: Option<EventId>,
    more: bool,
}

/// A channel to be read after an id; its last one as the index told it.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub channel: ChannelName,
    pub after: EventId,
    pub last: EventId,
}

/// How far and how much is read.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub upto: EventId,
    /// Reading stops after the entry with which one of these is reached.
    pub max_bytes: usize,
    pub max_events: usize,
}

/// What channels have, in order of ids.
#[derive(Debug)]
pub struct Collected {
    pub entries: Vec<Arc<Entry>>,
    /// What of each channel is missing before its first entry.
    pub missing: Vec<Missing>,
    pub completeness: Completeness,
}

impl Cause {
    pub fn reason(self) -> GapReason {
        match self {
            Cause::Purged => GapReason::Purged,
            Cause::Trimmed | Cause::Damaged => GapReason::Trimmed,
        }
    }
}

/// What a channel misses.
#[derive(Clone, Debug)]
pub struct Missing {
    pub channel: ChannelName,
    pub certainty: Certainty,
    pub until: EventId,
    pub cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    Trimmed,
    Purged,
    /// It is there and cannot be understood: to be told to whoever reads.
    Damaged,
}

impl Store {
    /// What selected channels of this partition have. `upto` is where the page is to end at most.
    ///
    /// # Errors
    /// [`StoreError::OtherEpoch`] when the partition is in another epoch than `from`.
    pub async fn read(
        &self,
        read: &Read,
        from: Standing,
        upto: Option<EventId>,
    ) -> Result<Part, StoreError> {
        let after = from.after.id;
        let index = self.changed(read, from, upto).await?;
        let bounds = Bounds {
            upto: index.upto,
            max_bytes: read.max_bytes,
            max_events: read.max_events,
        };
        let collected = self.collect(index.changed, bounds).await?;
        let told = match from.gaps {
            Gaps::Report => Some(after),
            Gaps::ReportAfter(told) => Some(told),
            Gaps::Ignore | Gaps::SinceFirst => None,
        };
        let mut gap = None;
        for missing in &collected.missing {
            // what cannot be understood is told to whoever reads
            let told = told.or((missing.cause == Cause::Damaged).then_some(after));
            if told.is_some_and(|told| missing.until > told) {
                let what = (missing.certainty, missing.until);
                let reason = missing.cause.reason();
                Gap::add(&mut gap, from.after, what, reason, Some(&missing.channel));
            }
        }
        if let Some(told) = told {
            for channel in &index.forgotten {
                let known = Known::Forgotten(index.head_forgotten);
                if let Some(what) =
                    missing(after, index.upto, known).filter(|(_, until)| *until > told)
                {
                    let reason = GapReason::Trimmed;
                    Gap::add(&mut gap, from.after, what, reason, channel.as_ref());
                }
            }
        }
        Ok(Part {
            from,
            upto: index.upto,
            gap,
            entries: collected.entries,
            completeness: collected.completeness,
        })
    }

    async fn changed(
        &self,
        read: &Read,
        from: Standing,
        upto: Option<EventId>,
    ) -> Result<Index, StoreError> {
        let after = from.after.id;
        let ours = |channel: &&ChannelName| self.options.partitioning.of(channel) == self.partition;
        let named: Vec<&ChannelName> = read
            .selectors
            .iter()
            .filter_map(name_of)
            .filter(ours)
            .collect();
        let patterns = read
            .selectors
            .iter()
            .any(|selector| name_of(selector).is_none());
        let mut commands = vec![self.head_command()];
        if !named.is_empty() {
            let names = named.iter().map(|name| name.as_str());
            commands.push(Command::new("ZMSCORE").arg(self.keys.index()).args(names));
        }
        let mut replies = self.primary.pipeline(&commands).await?.into_iter();
        let head = parse_head(&next(&mut replies)?)?.filter(|head| head.epoch == from.after.epoch);
        let head = head.ok_or(StoreError::OtherEpoch)?;
        let mut index = Index {
            upto: upto.unwrap_or(head.last).min(head.last),
            head_forgotten: head.forgotten,
            forgotten: Vec::new(),
            changed: Vec::new(),
        };
        if !named.is_empty() {
            let scores = next(&mut replies)?;
            for (name, score) in named.into_iter().zip(scores.list().unwrap_or_default()) {
                match score_of(score)? {
                    Some(last) if last > after && after < index.upto => {
                        index.changed.push(Wanted {
                            channel: name.clone(),
                            after,
                            last,
                        })
                    }
                    Some(_) => {}
                    None => index.forgotten.push(Some(name.clone())),
                }
            }
        }
        if patterns {
            // the names of forgotten channels are not kept, so any may have matched
            index.forgotten.push(None);
            if after < index.upto {
                let matches = |name: &ChannelName| {
                    read.selectors.iter().any(|selector| selector.matches(name))
                };
                let named: HashSet<ChannelName> = index
                    .changed
                    .drain(..)
                    .map(|wanted| wanted.channel)
                    .collect();
                let moved = self
                    .moved_after(after, |name| named.contains(name) || matches(name))
                    .await?;
                index
                    .changed
                    .extend(moved.into_iter().map(|(channel, last)| Wanted {
                        channel,
                        after,
                        last,
                    }));
            }
        }
        Ok(index)
    }

    /// Channels that moved after an id and that `wanted` says yes to, with their last ids. The index is
    /// paged by id: a channel only ever moves up in it, so none is skipped.
    pub async fn moved_after(
        &self,
        mut after: EventId,
        wanted: impl Fn(&ChannelName) -> bool,
    ) -> Result<Vec<(ChannelName, EventId)>, StoreError> {
        let mut moved = HashMap::new();
        loop {
            let (page, full) = self.index_after(after, INDEX_PAGE).await?;
            after = page.last().map_or(after, |(_, last)| *last);
            for (name, last) in page {
                if let Some(name) = channel_named(&name).filter(&wanted) {
                    moved.insert(name, last);
                }
            }
            if !full {
                return Ok(moved.into_iter().collect());
            }
        }
    }

    /// The last ids of channels; `None` for those that the index does not know.
    pub async fn last_ids(
        &self,
        channels: &[ChannelName],
    ) -> Result<Vec<Option<EventId>>, StoreError> {
        let mut ids = Vec::with_capacity(channels.len());
        for names in channels.chunks(STREAMS) {
            let names = names.iter().map(ChannelName::as_str);
            let command = Command::new("ZMSCORE").arg(self.keys.index()).args(names);
            let mut replies = self.primary.pipeline(&[command]).await?.into_iter();
            let scores = next(&mut replies)?;
            for score in scores.list().unwrap_or_default() {
                ids.push(score_of(score)?);
            }
        }
        Ok(ids)
    }

    /// Reads channels, each after an id of its own, and merges them in order of ids.
    pub async fn collect(
        &self,
        wanted: Vec<Wanted>,
        bounds: Bounds,
    ) -> Result<Collected, StoreError> {
        let most = bounds.max_events.clamp(1, MOST_ENTRIES);
        let count = (FIRST_ENTRIES / wanted.len().max(1))
            .clamp(2, 64)
            .min(most + 1);
        let asked: Vec<_> = wanted
            .iter()
            .map(|wanted| (&wanted.channel, wanted.after, count))
            .collect();
        let slices = self.slices(&asked).await?;
        let (mut sources, mut gaps) = (Vec::with_capacity(slices.len()), Vec::new());
        for (wanted, slice) in wanted.into_iter().zip(slices) {
            let known = slice.known.unwrap_or(Known::Last(wanted.last));
            if let Some((certainty, until)) = missing(wanted.after, bounds.upto, known) {
                gaps.push(Missing {
                    channel: wanted.channel.clone(),
                    certainty,
                    until,
                    cause: match slice.damaged {
                        Some(_) => Cause::Damaged,
                        None => Cause::Trimmed,
                    },
                });
            }
            sources.push(Source {
                channel: wanted.channel,
                read_to: slice.read_to.unwrap_or(wanted.after),
                waiting: slice.entries.into(),
                more: slice.more,
                count: count * 2,
            });
        }
        self.name_purged(&mut gaps).await?;
        let (entries, completeness) = self.merge(&mut sources, bounds).await?;
        Ok(Collected {
            entries,
            missing: gaps,
            completeness,
        })
    }

    /// Canaries after an id.
    pub async fn canaries_after(&self, after: EventId) -> Result<Vec<Event>, StoreError> {
        let canary = ChannelName::canary();
        let slices = self.slices(&[(&canary, after, CANARIES)]).await?;
        let entries = slices.into_iter().flat_map(|slice| slice.entries);
        Ok(entries.map(|entry| entry.event.clone()).collect())
    }

    /// Tells what was purged from what was trimmed. Costs nothing where nothing is missing.
    async fn name_purged(&self, gaps: &mut [Missing]) -> Result<(), StoreError> {
        for gaps in gaps.chunks_mut(STREAMS) {
            let channels: Vec<ChannelName> = gaps.iter().map(|gap| gap.channel.clone()).collect();
            for (missing, purged) in gaps.iter_mut().zip(self.purged(&channels).await?) {
                let purged = gap::reason(missing.until, purged) == GapReason::Purged;
                if purged && missing.cause == Cause::Trimmed {
                    missing.cause = Cause::Purged;
                }
            }
        }
        Ok(())
    }

    /// Reads so many entries of each of these streams after an id.
    async fn slices(
        &self,
        asked: &[(&ChannelName, EventId, usize)],
    ) -> Result<Vec<Slice>, StoreError> {
        let mut slices = Vec::with_capacity(asked.len());
        for asked in asked.chunks(STREAMS) {
            let commands: Vec<Command> = asked
                .iter()
                .map(|(channel, after, count)| {
                    Command::new("XRANGE")
                        .arg(self.keys.stream(channel.as_str()))
                        .arg(format!("({}", after.to_stream()))
                        .args(["+", "COUNT"])
                        .arg(count.to_string())
                })
                .collect();
            let mut replies = self.primary.pipeline(&commands).await?.into_iter();
            for (channel, after, count) in asked {
                slices.push(match next(&mut replies) {
                    Ok(reply) => parse_slice(&reply, self.partition, channel, *after, *count),
                    Err(StoreError::Command(CommandError::Refused {
                        why: Refusal::WrongType,
                        ..
                    })) => no_stream(channel),
                    Err(error) => return Err(error),
                });
            }
        }
        Ok(slices)
    }

    /// Merges the sources in order of ids, and reads on where one is used up.
    async fn merge(
        &self,
        sources: &mut [Source],
        bounds: Bounds,
    ) -> Result<(Vec<Arc<Entry>>, Completeness), StoreError> {
        let mut next: BinaryHeap<Reverse<(EventId, usize)>> = sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| Some(Reverse((source.waiting.front()?.id, index))))
            .collect();
        let (mut entries, mut bytes): (Vec<Arc<Entry>>, usize) = (Vec::new(), 0);
        while let Some(Reverse((id, index))) = next.pop() {
            if id > bounds.upto {
                break; // and so are all others
            }
            let full = bytes >= bounds.max_bytes || entries.len() >= bounds.max_events;
            if full && !entries.is_empty() {
                return Ok((entries, Completeness::More));
            }
            let source = &mut sources[index];
            if let Some(entry) = source.waiting.pop_front() {
                bytes += entry.event.size();
                entries.push(entry);
            }
            if source.waiting.is_empty() && source.more && !self.read_on(source).await? {
                // something is missing there: the next page begins with saying so
                return Ok((entries, Completeness::More));
            }
            if let Some(entry) = sources[index].waiting.front() {
                next.push(Reverse((entry.id, index)));
            }
        }
        Ok((entries, Completeness::Complete))
    }

    /// False when the stream has lost what would come next.
    async fn read_on(&self, source: &mut Source) -> Result<bool, StoreError> {
        let asked = [(&source.channel, source.read_to, source.count)];
        let Some(slice) = self.slices(&asked).await?.pop() else {
            return Ok(true);
        };
        if let Some(known) = slice.known
            && missing(source.read_to, source.read_to.max(known_id(known)), known).is_some()
        {
            return Ok(false);
        }
        source.read_to = slice.read_to.unwrap_or(source.read_to);
        source.waiting = slice.entries.into();
        source.more = slice.more;
        source.count = (source.count * 2).min(MOST_ENTRIES);
        Ok(true)
    }
}

fn known_id(known: Known) -> EventId {
    match known {
        Known::Next(Predecessor::Known(id) | Predecessor::AtMost(id))
        | Known::Last(id)
        | Known::Forgotten(id) => id,
    }
}

fn name_of(selector: &Selector) -> Option<&ChannelName> {
    match selector {
        Selector::Channel(name) => Some(name),
        Selector::Pattern(_) => None,
    }
}

/// Takes what can be understood up to the first entry that cannot. Entries that cannot stand at the
/// front, if at all: reading stops before them otherwise.
fn parse_slice(
    reply: &Reply,
    partition: Partition,
    channel: &ChannelName,
    after: EventId,
    count: usize,
) -> Slice {
    let items = reply.list().unwrap_or_default();
    let mut slice = Slice {
        entries: Vec::with_capacity(items.len()),
        known: None,
        damaged: None,
        read_to: None,
        more: items.len() == count,
    };
    for item in items {
        let parts = item.list().unwrap_or_default();
        let id = parts
            .first()
            .and_then(Reply::bytes)
            .and_then(|id| parse_stream_id(id));
        let Some(id) = id else {
            // no event of ours: the predecessors of ours tell whether one is missing
            tracing::error!(
                event = "log.damaged",
                %channel,
                "the channel's stream has an entry that the relay did not write; it is left out"
            );
            continue;
        };
        match parse_entry(parts, partition, channel, id) {
            Ok(entry) => {
                if slice.entries.is_empty() {
                    let known = match (entry.predecessor, slice.damaged) {
                        (Predecessor::Known(before), Some(damaged)) => {
                            Predecessor::Known(before.max(damaged))
                        }
                        (Predecessor::AtMost(_), Some(damaged)) => Predecessor::Known(damaged),
                        (predecessor, None) => predecessor,
                    };
                    slice.known = Some(Known::Next(known));
                }
                slice.entries.push(Arc::new(entry));
                slice.read_to = Some(id);
            }
            Err(error) if slice.entries.is_empty() => {
                tracing::error!(
                    event = "log.damaged",
                    %channel,
                    id = id.to_stream(),
                    "an event cannot be read and counts as missing: {error}"
                );
                slice.damaged = Some(id);
                slice.known = Some(Known::Next(Predecessor::Known(id)));
                slice.read_to = Some(id);
            }
            Err(_) => {
                slice.more = true;
                break;
            }
        }
    }
    debug_assert!(slice.read_to.is_none_or(|id| id > after));
    slice
}

/// What remains of a channel whose stream is something else now: all of it is missing, and the other
/// channels go on.
fn no_stream(channel: &ChannelName) -> Slice {
    tracing::error!(
        event = "log.damaged",
        %channel,
        "the channel's key holds something else; its events count as missing until it is deleted"
    );
    Slice {
        entries: Vec::new(),
        known: None,
        damaged: None,
        read_to: None,
        more: false,
    }
}

fn parse_entry(
    parts: &[Reply],
    partition: Partition,
    channel: &ChannelName,
    id: EventId,
) -> Result<Entry, Undecodable> {
    let fields = parts.get(1).and_then(Reply::list).unwrap_or_default();
    let [name, field] = fields else {
        return Err(Undecodable::Damaged("it has other fields"));
    };
    let field = field.bytes().filter(|_| name.text() == Some("e"));
    let stored = parse_stored(field.ok_or(Undecodable::Damaged("it has another field"))?)?;
    let (event, _) = decode_event(stored.event)?;
    Ok(Entry {
        partition,
        channel: channel.clone(),
        id,
        predecessor: stored.predecessor,
        event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::redis::entry::{Part, encode_event};

    fn entry(counter: u64, predecessor: &str, event: &[u8]) -> Reply {
        let mut field = format!("1 0 {predecessor} t ").into_bytes();
        field.extend_from_slice(event);
        let id = EventId::new(5 * 4096 + counter).unwrap().to_stream();
        Reply::List(vec![
            Reply::Bytes(id.into()),
            Reply::List(vec![Reply::Bytes("e".into()), Reply::Bytes(field.into())]),
        ])
    }

    fn id(counter: u64) -> EventId {
        EventId::new(5 * 4096 + counter).unwrap()
    }

    fn slice(items: Vec<Reply>) -> Slice {
        let channel = ChannelName::parse("c").unwrap();
        parse_slice(
            &Reply::List(items),
            Partition::ONLY,
            &channel,
            EventId::ZERO,
            10,
        )
    }

    #[test]
    fn what_cannot_be_understood_counts_as_missing_and_what_follows_is_read() {
        let good = encode_event(&Event::text("x"), Part::Begins);
        let taken = slice(vec![
            entry(1, "0", b"nonsense"),
            entry(2, &id(1).get().to_string(), &good),
        ]);
        assert_eq!(taken.damaged, Some(id(1)));
        assert_eq!(taken.entries.len(), 1);
        assert!(matches!(taken.known, Some(Known::Next(Predecessor::Known(at))) if at == id(1)));
        // behind others it waits for the next slice, which begins with it
        let taken = slice(vec![
            entry(1, "0", &good),
            entry(2, "0", b"nonsense"),
            entry(3, "0", &good),
        ]);
        assert_eq!(
            (taken.entries.len(), taken.more, taken.read_to),
            (1, true, Some(id(1)))
        );
        let only = slice(vec![entry(1, "0", b"nonsense")]);
        assert!(only.entries.is_empty());
        assert!(matches!(only.known, Some(Known::Next(Predecessor::Known(at))) if at == id(1)));
    }

    #[test]
    fn entries_of_another_program_are_left_out_and_ours_are_read() {
        let good = encode_event(&Event::text("x"), Part::Begins);
        let other = Reply::List(vec![Reply::Bytes("5-0".into()), Reply::List(Vec::new())]);
        let taken = slice(vec![other.clone(), entry(1, "0", &good), other]);
        assert_eq!(taken.entries.len(), 1);
        assert_eq!(taken.read_to, Some(id(1)));
    }
}
