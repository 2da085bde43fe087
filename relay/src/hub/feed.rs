//! The bytes that several streams receive identically. Pure: no socket, no clock.
//!
//! A feed is one contiguous log of frames, already framed for the wire. A stream is an absolute
//! offset into it; the feed keeps bytes only while a stream is behind.

use super::voice::Voice;
use crate::{
    channel::Selector,
    cursor::{Place, Places},
    event_log::Entry,
    filter::Filter,
    frame::{Frame, Framing},
};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

/// What makes streams receive the same bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FeedKey {
    /// Sorted, each once.
    pub selectors: Arc<[Selector]>,
    pub filter: Arc<Filter>,
    pub framing: Framing,
    /// Where a route says how its streams are written.
    pub voice: Option<Voice>,
}

impl FeedKey {
    /// Whether its streams want an event of one of their channels. What is for their subject comes
    /// whatever they filter: it was not they who chose it.
    pub fn accepts(&self, entry: &Entry) -> bool {
        entry.channel.is_reserved() || self.filter.accepts(&entry.event.attributes)
    }
}

/// Where a frame ends, and whose it is.
#[derive(Clone, Debug)]
pub struct Mark {
    pub end: u64,
    pub place: Place,
    /// Frames with the same key replace each other for a slow stream that coalesces.
    pub key: Option<Arc<str>>,
}

/// The byte log of a feed.
#[derive(Default)]
pub struct ByteLog {
    bytes: Vec<u8>,
    /// Offset of `bytes[0]` since the feed began.
    base: u64,
    /// Frames that are in `bytes`.
    marks: VecDeque<Mark>,
    /// Frames that were ever appended.
    appended: u64,
    /// In each partition the newest event that is not in `bytes` any more, or never was.
    before: Places,
}

/// A whole frame, and what it shares with those that it replaces.
pub type Keyed<'a> = (&'a [u8], Option<&'a Arc<str>>);

/// Which of these frames remain when only the newest of each key does; those without a key do.
pub fn newest(frames: &[Keyed<'_>]) -> Vec<bool> {
    let mut seen = HashSet::new();
    let mut keep: Vec<bool> = frames
        .iter()
        .rev()
        .map(|(_, key)| key.is_none_or(|key| seen.insert(key)))
        .collect();
    keep.reverse();
    keep
}

/// A buffer larger than this is given back when nobody is behind: there may be a feed per stream.
const KEEP_CAPACITY: usize = 4 * 1024;

impl ByteLog {
    /// A log of what comes after these places.
    pub fn after(before: Places) -> ByteLog {
        ByteLog {
            before,
            ..ByteLog::default()
        }
    }

    /// More events are not in the log, which must be empty: those up to these places.
    pub fn move_to(&mut self, before: Places) {
        self.before = before;
    }

    /// Events up to here are not in the log.
    pub fn before(&self) -> &Places {
        &self.before
    }

    pub fn push(&mut self, place: Place, frame: &Frame, framing: Framing, key: Option<Arc<str>>) {
        self.bytes.extend_from_slice(frame.bytes(framing));
        self.marks.push_back(Mark {
            end: self.end(),
            place,
            key,
        });
        self.appended += 1;
    }

    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What waits for a stream at this offset.
    pub fn from(&self, cursor: u64) -> &[u8] {
        &self.bytes[(cursor - self.base) as usize..]
    }

    /// Bytes between two offsets.
    pub fn between(&self, from: u64, to: u64) -> &[u8] {
        &self.bytes[(from - self.base) as usize..(to - self.base) as usize]
    }

    /// Frames that ended at or before an offset, counted since the feed began.
    pub fn frames_at(&self, cursor: u64) -> u64 {
        if cursor == self.end() {
            return self.appended;
        }
        let gone = self.appended - self.marks.len() as u64;
        gone + self.marks.partition_point(|mark| mark.end <= cursor) as u64
    }

    /// The whole frames that wait at a frame's edge.
    pub fn frames_from(&self, edge: u64) -> impl Iterator<Item = Keyed<'_>> {
        let start = self.marks.partition_point(|mark| mark.end <= edge);
        let mut from = edge;
        self.marks.range(start..).map(move |mark| {
            let bytes = self.between(from, mark.end);
            from = mark.end;
            (bytes, mark.key.as_ref())
        })
    }

    /// Whether more waits at an offset than a stream may have. The rest of a frame that was begun does
    /// not count, and one whole frame may always wait, however large.
    pub fn overflows(&self, cursor: u64, max: u64) -> bool {
        let edge = self.frame_edge(cursor);
        let whole = self.marks.len() - self.marks.partition_point(|mark| mark.end <= edge);
        whole > 1 && self.end() - edge > max
    }

    /// Where the frame that an offset cuts ends; the offset itself at a frame's edge.
    pub fn frame_edge(&self, cursor: u64) -> u64 {
        let started_at = self.marks.partition_point(|mark| mark.end <= cursor);
        let starts = match started_at.checked_sub(1) {
            Some(previous) => self.marks[previous].end,
            None => self.base,
        };
        if starts == cursor {
            return cursor;
        }
        self.marks.get(started_at).map_or(cursor, |mark| mark.end)
    }

    /// The last frame's edge up to which at most `bytes` wait, the rest of a frame that was begun not
    /// counted; `None` if the first whole frame is larger.
    pub fn keep_to(&self, cursor: u64, bytes: u64) -> Option<u64> {
        let edge = self.frame_edge(cursor);
        let fitting = self.marks.partition_point(|mark| mark.end <= edge + bytes);
        let last = self.marks.get(fitting.checked_sub(1)?)?.end;
        (last > edge).then_some(last)
    }

    /// Where the first whole frame that waits at an offset ends.
    pub fn first_edge(&self, cursor: u64) -> u64 {
        let edge = self.frame_edge(cursor);
        let next = self.marks.partition_point(|mark| mark.end <= edge);
        self.marks.get(next).map_or(edge, |mark| mark.end)
    }

    /// Forgets what lies before an offset that is a frame's edge or inside a frame; whole frames only.
    pub fn trim(&mut self, cursor: u64) {
        if cursor >= self.end() {
            self.base = self.end();
            self.forget(self.marks.len());
            if self.bytes.capacity() > KEEP_CAPACITY {
                (self.bytes, self.marks) = (Vec::new(), VecDeque::new());
            } else {
                self.bytes.clear();
            }
            return;
        }
        let gone = self.marks.partition_point(|mark| mark.end <= cursor);
        if let Some(last) = gone.checked_sub(1) {
            let edge = self.marks[last].end;
            if ((edge - self.base) as usize) < self.bytes.len() / 2 {
                return; // moving the rest would cost more than it frees
            }
            self.bytes.drain(..(edge - self.base) as usize);
            self.base = edge;
            self.forget(gone);
        }
    }

    fn forget(&mut self, marks: usize) {
        // with one partition the last one says it all
        let telling = if self.before.len() > 1 {
            marks
        } else {
            marks.min(1)
        };
        for mark in self.marks.range(marks - telling..marks) {
            self.before.advance(mark.place);
        }
        self.marks.drain(..marks);
    }

    /// In each partition the newest event whose frame ended at or before an offset.
    pub fn last_before(&self, cursor: u64) -> Places {
        let ended = self.marks.partition_point(|mark| mark.end <= cursor);
        let mut at = self.before.clone();
        let telling = if at.len() > 1 { ended } else { ended.min(1) };
        for mark in self.marks.range(ended - telling..ended) {
            at.advance(mark.place);
        }
        at
    }

    /// The first frame's edge at which at most `bytes` wait, for a stream that skips the oldest:
    /// its offset. The newest frame is never skipped.
    pub fn skip_to(&self, cursor: u64, bytes: u64) -> Option<u64> {
        let edge = self.frame_edge(cursor);
        let start = self.marks.partition_point(|mark| mark.end <= edge);
        let newest = self.marks.len().checked_sub(1)?;
        let enough = |mark: &&Mark| self.end() - mark.end <= bytes;
        let mut may_be_skipped = self.marks.range(start..newest.max(start));
        let last = may_be_skipped.clone().next_back();
        let mark = may_be_skipped.find(enough).or(last)?;
        Some(mark.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cursor::{Epoch, EventId, Partition},
        event::Event,
    };

    fn place(partition: u8, id: u64) -> Place {
        Place {
            partition: Partition::new(partition).unwrap(),
            epoch: Epoch::from_random(1),
            id: EventId::new(id).unwrap(),
        }
    }

    fn push_at(log: &mut ByteLog, place: Place, key: Option<&str>) {
        let text = place.id.get().to_string();
        let frame = Frame::event(&place.text(), "c", &Event::text(&text));
        log.push(place, &frame, Framing::Bare, key.map(Into::into));
    }

    fn push(log: &mut ByteLog, id: u64, key: Option<&str>) {
        push_at(log, place(0, id), key);
    }

    fn log(keys: &[Option<&str>]) -> ByteLog {
        let mut log = ByteLog::default();
        for (index, key) in keys.iter().enumerate() {
            push(&mut log, index as u64 + 1, *key);
        }
        log
    }

    fn data(bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn an_offset_tells_what_waits_and_how_many_frames_were_had() {
        let log = log(&[None; 3]);
        let frame = log.end() / 3;
        assert_eq!(data(log.from(frame)), ["2", "3"]);
        assert_eq!(
            (
                log.frames_at(0),
                log.frames_at(frame),
                log.frames_at(frame + 1),
                log.frames_at(log.end())
            ),
            (0, 1, 1, 3)
        );
        assert_eq!(
            (log.frame_edge(0), log.frame_edge(1), log.frame_edge(frame)),
            (0, frame, frame)
        );
    }

    #[test]
    fn trimming_keeps_offsets_and_whole_frames() {
        let mut log = log(&[None; 3]);
        let frame = log.end() / 3;
        log.trim(frame + 3);
        assert_eq!(data(log.from(frame)), ["2", "3"]);
        log.trim(2 * frame + 3);
        assert_eq!(
            (log.len() as u64, data(log.from(2 * frame))),
            (frame, vec!["3".to_owned()])
        );
        assert_eq!(log.frames_at(2 * frame), 2);
        let end = log.end();
        log.trim(end);
        assert!(log.is_empty());
        assert_eq!((log.end(), log.frames_at(end)), (end, 3));
        push(&mut log, 4, None);
        assert_eq!(data(log.from(end)), ["4"]);
    }

    #[test]
    fn skipping_the_oldest_lands_on_an_edge() {
        let log = log(&[None; 4]);
        let frame = log.end() / 4;
        assert_eq!(log.skip_to(0, 2 * frame), Some(2 * frame));
        assert_eq!(
            log.skip_to(frame + 5, 2 * frame),
            Some(3 * frame),
            "a cut frame is finished first"
        );
    }

    #[test]
    fn coalescing_keeps_the_newest_of_each_key_in_order() {
        let log = log(&[Some("a"), Some("b"), None, Some("a"), Some("c")]);
        let frames: Vec<Keyed<'_>> = log.frames_from(0).collect();
        let kept: Vec<u8> = frames
            .iter()
            .zip(newest(&frames))
            .filter(|(_, keep)| *keep)
            .flat_map(|((bytes, _), _)| bytes.to_vec())
            .collect();
        assert_eq!(data(&kept), ["2", "3", "4", "5"]);
    }

    #[test]
    fn one_whole_frame_may_wait_whatever_its_size() {
        let mut log = log(&[None]);
        assert!(!log.overflows(0, 1), "nothing else waits");
        push(&mut log, 2, None);
        let frame = log.end() / 2;
        assert!(log.overflows(0, frame) && !log.overflows(0, 2 * frame));
        assert!(
            !log.overflows(1, 1),
            "the first is on its way, the second waits"
        );
        assert!(!log.overflows(frame, 1) && !log.overflows(2 * frame, 0));
    }

    #[test]
    fn the_newest_frame_is_never_skipped() {
        let log = log(&[None; 3]);
        let frame = log.end() / 3;
        assert_eq!(log.skip_to(0, frame - 1), Some(2 * frame));
        assert_eq!(log.skip_to(frame + 1, 0), None);
        assert_eq!(ByteLog::default().skip_to(0, 0), None);
    }

    #[test]
    fn what_is_kept_of_the_oldest_ends_on_an_edge() {
        let log = log(&[None; 4]);
        let frame = log.end() / 4;
        assert_eq!(log.keep_to(0, 2 * frame), Some(2 * frame));
        assert_eq!(log.keep_to(0, 3 * frame - 1), Some(2 * frame));
        assert_eq!(
            log.keep_to(1, frame),
            Some(2 * frame),
            "the rest of a frame that was begun is no part of it"
        );
        assert_eq!(log.keep_to(frame, u64::from(u32::MAX)), Some(4 * frame));
        assert_eq!(log.keep_to(0, frame - 1), None);
        assert_eq!(log.keep_to(4 * frame, frame), None);
        let edges = [
            log.first_edge(0),
            log.first_edge(1),
            log.first_edge(4 * frame),
        ];
        assert_eq!(edges, [frame, 2 * frame, 4 * frame]);
    }

    #[test]
    fn what_came_before_an_offset_is_known_after_trimming() {
        let mut log = log(&[None; 3]);
        let frame = log.end() / 3;
        assert_eq!(log.last_before(0), Places::default());
        log.trim(2 * frame);
        assert_eq!(log.last_before(2 * frame), Places::one(place(0, 2)));
        log.trim(3 * frame);
        assert_eq!(log.last_before(3 * frame), Places::one(place(0, 3)));
    }

    #[test]
    fn what_came_before_an_offset_is_known_in_each_partition() {
        let start: Places = [place(0, 5), place(2, 7), place(4, 1)]
            .into_iter()
            .collect();
        let mut log = ByteLog::after(start);
        for (partition, id) in [(2, 8), (0, 6), (2, 9)] {
            push_at(&mut log, place(partition, id), None);
        }
        let frame = log.end() / 3;
        let ids = |places: Places| places.iter().map(|p| p.id.get()).collect::<Vec<_>>();
        assert_eq!(ids(log.last_before(0)), [5, 7, 1]);
        assert_eq!(ids(log.last_before(frame)), [5, 8, 1]);
        log.trim(2 * frame);
        assert_eq!(ids(log.last_before(2 * frame)), [6, 8, 1]);
        assert_eq!(ids(log.last_before(3 * frame)), [6, 9, 1]);
        log.trim(3 * frame);
        assert_eq!(ids(log.before().clone()), [6, 9, 1]);
    }
}
