//! Pieces of one partition's history that several readers want within a moment: clients that come back
//! at once to a replica that did not have their channels. Who reads the same channels waits for its turn,
//! and takes from the piece that the one before has read. Pure, but for the turns.

use crate::{
    channel::{ChannelName, Selector},
    cursor::{Epoch, EventId},
    event_log::{Completeness, Entry, Gaps, Read, Retention, Standing, gap::Gap, merge::Part},
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// How long a piece serves others: those who come back at once, and not who comes later, since the log
/// may have trimmed what it has.
const FRESH: Duration = Duration::from_secs(2);
/// Of how many sets of channels pieces are kept at most; other readers read for themselves.
const MAX_SETS: usize = 10_000;
/// What an entry takes beside its event.
const OVERHEAD: usize = 200;

/// What a piece must be of to serve: the epoch, and how many purges there were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version {
    pub epoch: Epoch,
    pub purges: u64,
}

/// What some channels had after a place, as it was read.
#[derive(Clone, Debug)]
pub struct Piece {
    version: Version,
    from: Standing,
    /// All up to here is in it.
    upto: EventId,
    /// Whether it ends there because its reader wanted no more at once.
    ends: Completeness,
    gap: Option<Gap>,
    entries: Vec<Arc<Entry>>,
    bytes: usize,
    read: Instant,
}

impl Piece {
    /// Of what was read from `read` on, while the log was of this version.
    pub fn new(version: Version, part: &Part, read: Instant) -> Piece {
        let upto = match (part.completeness, part.entries.last()) {
            (Completeness::More, Some(last)) => last.id,
            _ => part.upto,
        };
        Piece {
            version,
            from: part.from,
            upto,
            ends: part.completeness,
            gap: part.gap.clone(),
            bytes: part.entries.iter().map(|entry| weight(entry)).sum(),
            entries: part.entries.clone(),
            read,
        }
    }

    /// Whether it has a gap that concerns only those who stand elsewhere: they read alone.
    pub fn is_of_others(&self, from: Standing) -> bool {
        self.gap.is_some() && self.from != from
    }

    /// What was read of a place, up to where it was asked for; `None` if what is missing reaches further.
    pub fn cut(mut part: Part, upto: EventId) -> Option<Part> {
        let partition = part.from.after.partition;
        if part.upto <= upto {
            return Some(part);
        }
        if part
            .gap
            .as_ref()
            .is_some_and(|gap| gap.until.id(partition) > upto)
        {
            return None;
        }
        let within = part.entries.partition_point(|entry| entry.id <= upto);
        if within < part.entries.len() {
            part.entries.truncate(within);
            part.completeness = Completeness::Complete;
        }
        part.upto = upto;
        Some(part)
    }

    /// The earlier piece and what follows it, if it does and nothing is missing in either.
    #[must_use]
    pub fn after(self, earlier: Option<&Piece>, max_bytes: usize) -> Piece {
        let Some(earlier) = earlier.filter(|earlier| {
            let after = self.from.after.id;
            earlier.version == self.version
                && earlier.gap.is_none()
                && self.gap.is_none()
                && (earlier.from.after.id..=earlier.upto).contains(&after)
                && earlier.upto <= self.upto
                && earlier.bytes + self.bytes <= max_bytes
        }) else {
            return self;
        };
        let kept = earlier
            .entries
            .partition_point(|entry| entry.id <= self.from.after.id);
        let mut entries = earlier.entries[..kept].to_vec();
        entries.extend(self.entries);
        Piece {
            from: earlier.from,
            bytes: entries.iter().map(|entry| weight(entry)).sum(),
            entries,
            read: earlier.read,
            ..self
        }
    }

    /// What a reader who stands there gets of it, if the log would tell it the same: all up to `upto`
    /// (`beyond` knows what follows the piece), or what was one page to another reader.
    pub fn serve(
        &self,
        read: &Read,
        from: Standing,
        upto: EventId,
        beyond: impl FnOnce(&Read, Standing) -> Option<Part>,
    ) -> Option<Part> {
        let after = from.after.id;
        let is_told = match &self.gap {
            None => self.from.after.id <= after && after <= self.upto,
            // who stands elsewhere misses something else, and what is missing must lie before `upto`
            Some(gap) => self.from == from && gap.until.id(from.after.partition) <= upto,
        };
        if !is_told {
            return None;
        }
        let start = self.entries.partition_point(|entry| entry.id <= after);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut completeness = Completeness::Complete;
        for entry in self.entries[start..]
            .iter()
            .take_while(|entry| entry.id <= upto)
        {
            let full = bytes >= read.max_bytes || entries.len() >= read.max_events;
            if full && !entries.is_empty() {
                completeness = Completeness::More;
                break;
            }
            bytes += entry.event.size();
            entries.push(entry.clone());
        }
        let mut part = Part {
            from,
            upto,
            gap: self.gap.clone(),
            entries,
            completeness,
        };
        if completeness == Completeness::Complete && self.upto < upto {
            self.go_on(&mut part, read, bytes, beyond)?;
        }
        Some(part)
    }

    /// Goes on where the piece ends; `None` if there is nothing to give.
    fn go_on(
        &self,
        part: &mut Part,
        read: &Read,
        bytes: usize,
        beyond: impl FnOnce(&Read, Standing) -> Option<Part>,
    ) -> Option<()> {
        part.completeness = Completeness::More;
        let room = Read {
            max_bytes: read.max_bytes.saturating_sub(bytes),
            max_events: read.max_events.saturating_sub(part.entries.len()),
            ..read.clone()
        };
        if room.max_bytes > 0 && room.max_events > 0 {
            let mut end = part.from;
            end.after.id = self.upto;
            end.gaps = Gaps::Ignore; // nothing is missing in what is at hand
            if let Some(more) = beyond(&room, end) {
                part.entries.extend(more.entries);
                part.completeness = more.completeness;
                return Some(());
            }
        }
        (self.ends == Completeness::More && !part.entries.is_empty()).then_some(())
    }
}

/// Whether the log itself would still keep as much of each channel.
pub fn may_keep(entries: &[Arc<Entry>], retention: &dyn Fn(&str) -> Retention) -> bool {
    let mut kept: HashMap<&ChannelName, (usize, usize)> = HashMap::new();
    for entry in entries {
        let (events, bytes) = kept.entry(&entry.channel).or_default();
        *events += 1;
        *bytes += entry.event.size();
    }
    kept.iter().all(|(channel, (events, bytes))| {
        let retention = retention(channel.as_str());
        *events <= retention.events && *bytes <= retention.bytes
    })
}

fn weight(entry: &Entry) -> usize {
    entry.event.size() + OVERHEAD
}

/// Readers of the same channels.
#[derive(Debug)]
pub struct Readers {
    /// One of them reads at a time.
    pub turn: Semaphore,
    piece: Mutex<Option<Arc<Piece>>>,
}

impl Readers {
    /// The piece, if it is of this version and fresh.
    pub fn piece(&self, version: Version, now: Instant) -> Option<Arc<Piece>> {
        let piece = self.piece.lock().clone()?;
        let is_fresh = now.duration_since(piece.read) <= FRESH;
        (piece.version == version && is_fresh).then_some(piece)
    }
}

/// The readers of one partition, by what they read.
#[derive(Debug)]
pub struct SharedReads {
    sets: Mutex<Sets>,
    /// What all pieces may take; none is kept if it is zero.
    max_bytes: usize,
}

#[derive(Default, Debug)]
struct Sets {
    readers: HashMap<Arc<[Selector]>, Arc<Readers>>,
    /// What their pieces take.
    bytes: usize,
}

impl SharedReads {
    pub fn new(max_bytes: usize) -> SharedReads {
        SharedReads {
            sets: Mutex::default(),
            max_bytes,
        }
    }

    /// Who reads the same; `None` where everybody reads alone.
    pub fn readers(&self, selectors: &Arc<[Selector]>) -> Option<Arc<Readers>> {
        let mut sets = self.sets.lock();
        if let Some(readers) = sets.readers.get(selectors) {
            return Some(readers.clone());
        }
        if sets.readers.len() >= MAX_SETS || self.max_bytes == 0 {
            return None;
        }
        let readers = Arc::new(Readers {
            turn: Semaphore::new(1),
            piece: Mutex::default(),
        });
        sets.readers.insert(selectors.clone(), readers.clone());
        Some(readers)
    }

    /// Keeps a piece for those who come next, if there is room.
    pub fn keep(&self, readers: &Readers, piece: Piece) {
        let mut sets = self.sets.lock();
        let mut place = readers.piece.lock();
        let before = place.take();
        sets.bytes -= before.as_ref().map_or(0, |piece| piece.bytes);
        let room = self.max_bytes.saturating_sub(sets.bytes);
        if piece.bytes <= room {
            let piece = piece.after(before.as_deref(), room);
            sets.bytes += piece.bytes;
            *place = Some(Arc::new(piece));
        }
    }

    /// Lets go of what serves nobody any more.
    pub fn sweep(&self, now: Instant) {
        let mut sets = self.sets.lock();
        let Sets { readers, bytes } = &mut *sets;
        readers.retain(|_, readers| {
            let mut place = readers.piece.lock();
            let old = |piece: &mut Arc<Piece>| now.duration_since(piece.read) > FRESH;
            if let Some(piece) = place.take_if(old) {
                *bytes -= piece.bytes;
            }
            // whoever waits for its turn, or reads, holds another
            place.is_some() || Arc::strong_count(readers) > 1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cursor::{Partition, Place, Places, Predecessor},
        event::Event,
        event_log::gap::Certainty,
        frame::GapReason,
    };

    fn id(value: u64) -> EventId {
        EventId::new(value).unwrap()
    }

    fn entry(value: u64) -> Arc<Entry> {
        Arc::new(Entry {
            partition: Partition::ONLY,
            channel: ChannelName::parse("c").unwrap(),
            id: id(value),
            predecessor: Predecessor::Known(EventId::ZERO),
            event: Event::text("x"),
        })
    }

    fn version() -> Version {
        Version {
            epoch: Epoch::from_random(1),
            purges: 0,
        }
    }

    fn from(after: u64) -> Standing {
        Standing {
            after: Place {
                partition: Partition::ONLY,
                epoch: version().epoch,
                id: id(after),
            },
            gaps: Gaps::Report,
        }
    }

    fn part(after: u64, upto: u64, ids: &[u64], completeness: Completeness) -> Part {
        Part {
            from: from(after),
            upto: id(upto),
            gap: None,
            entries: ids.iter().copied().map(entry).collect(),
            completeness,
        }
    }

    fn piece(part: &Part) -> Piece {
        Piece::new(version(), part, Instant::now())
    }

    fn read(max_events: usize) -> Read {
        Read {
            selectors: Arc::new([Selector::Channel(ChannelName::parse("c").unwrap())]),
            from: smallvec::smallvec![from(0)],
            upto: Places::default(),
            max_bytes: 1000,
            max_events,
        }
    }

    fn nothing(_: &Read, _: Standing) -> Option<Part> {
        None
    }

    fn ids(part: &Part) -> (Vec<u64>, Completeness) {
        let ids = part.entries.iter().map(|entry| entry.id.get()).collect();
        (ids, part.completeness)
    }

    use Completeness::{Complete, More};

    #[test]
    fn who_stands_within_a_piece_gets_what_follows_and_who_stands_before_it_nothing() {
        let piece = piece(&part(10, 50, &[20, 30, 40], Complete));
        let serve = |after, upto| piece.serve(&read(10), from(after), id(upto), nothing);
        assert_eq!(ids(&serve(10, 50).unwrap()), (vec![20, 30, 40], Complete));
        assert_eq!(ids(&serve(25, 35).unwrap()), (vec![30], Complete));
        assert_eq!(ids(&serve(40, 50).unwrap()), (vec![], Complete));
        assert!(serve(9, 50).is_none(), "what is before it is not known");
        assert!(serve(51, 52).is_none());
        let paged = piece.serve(&read(2), from(10), id(50), nothing).unwrap();
        assert_eq!(ids(&paged), (vec![20, 30], More));
    }

    #[test]
    fn what_follows_a_piece_is_taken_from_what_is_at_hand_or_read() {
        let piece = piece(&part(10, 50, &[20, 40], Complete));
        let more = |read: &Read, end: Standing| {
            assert_eq!((read.max_events, end.after.id), (8, id(50)));
            Some(part(50, 70, &[60], Complete))
        };
        let all = piece.serve(&read(10), from(10), id(70), more).unwrap();
        assert_eq!(ids(&all), (vec![20, 40, 60], Complete));
        assert!(piece.serve(&read(10), from(10), id(70), nothing).is_none());
    }

    #[test]
    fn a_page_that_was_cut_off_ends_its_piece_and_the_next_goes_on() {
        let first = piece(&part(10, 50, &[20, 30], More));
        let page = first.serve(&read(10), from(15), id(50), nothing).unwrap();
        assert_eq!(ids(&page), (vec![20, 30], More));
        let none = first.serve(&read(10), from(30), id(50), nothing);
        assert!(none.is_none(), "a page must bring its reader on");
        let both = piece(&part(30, 50, &[40], Complete)).after(Some(&first), 10_000);
        let served = both.serve(&read(10), from(15), id(50), nothing).unwrap();
        assert_eq!(ids(&served), (vec![20, 30, 40], Complete));
        // too much for one piece, or not connected: the later one stands alone
        for (earlier, room) in [(&first, 300), (&piece(&part(1, 9, &[2], Complete)), 10_000)] {
            let alone = piece(&part(30, 50, &[40], Complete)).after(Some(earlier), room);
            assert!(alone.serve(&read(10), from(15), id(50), nothing).is_none());
            assert!(alone.serve(&read(10), from(30), id(50), nothing).is_some());
        }
    }

    #[test]
    fn a_gap_is_told_to_those_who_stand_where_it_was_found() {
        let mut found = part(10, 50, &[40], Complete);
        let missing = (Certainty::Certain, id(30));
        Gap::add(
            &mut found.gap,
            from(10).after,
            missing,
            GapReason::Trimmed,
            None,
        );
        let piece = piece(&found);
        let serve = |after, upto| piece.serve(&read(10), from(after), id(upto), nothing);
        assert!(serve(10, 50).unwrap().gap.is_some());
        assert!(serve(10, 20).is_none(), "it reaches past what is asked for");
        assert!(serve(15, 50).is_none(), "another misses something else");
        assert!(piece.is_of_others(from(15)) && !piece.is_of_others(from(10)));
    }

    #[test]
    fn pieces_serve_for_a_moment_and_never_past_a_purge_or_an_epoch() {
        let shared = SharedReads::new(1000);
        let readers = shared.readers(&read(1).selectors).unwrap();
        let kept = piece(&part(10, 50, &[20], Complete));
        let now = kept.read;
        shared.keep(&readers, kept.clone());
        shared.keep(&readers, kept);
        assert!(readers.piece(version(), now + FRESH).is_some());
        let late = now + FRESH + Duration::from_millis(1);
        assert!(readers.piece(version(), late).is_none());
        for other in [
            Version {
                purges: 1,
                ..version()
            },
            Version {
                epoch: Epoch::from_random(2),
                ..version()
            },
        ] {
            assert!(readers.piece(other, now).is_none());
        }
        shared.sweep(late);
        assert_eq!(
            shared.sets.lock().readers.len(),
            1,
            "somebody may still read"
        );
        drop(readers);
        shared.sweep(late);
        let sets = shared.sets.lock();
        assert_eq!((sets.readers.len(), sets.bytes), (0, 0));
    }

    #[test]
    fn pieces_and_those_who_share_them_are_bounded() {
        let shared = SharedReads::new(500);
        let set = |number: usize| -> Arc<[Selector]> {
            let name = ChannelName::parse(&format!("c{number}")).unwrap();
            Arc::new([Selector::Channel(name)])
        };
        let kept = |number| {
            let readers = shared.readers(&set(number)).unwrap();
            shared.keep(&readers, piece(&part(10, 50, &[20], Complete)));
            readers.piece(version(), Instant::now()).is_some()
        };
        assert_eq!([kept(0), kept(1), kept(2)], [true, true, false]);
        for number in 3..MAX_SETS {
            assert!(shared.readers(&set(number)).is_some());
        }
        assert!(shared.readers(&set(MAX_SETS)).is_none());
        assert!(shared.readers(&set(0)).is_some());
        assert!(SharedReads::new(0).readers(&set(0)).is_none());
    }
}
