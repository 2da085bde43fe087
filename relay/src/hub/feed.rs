//! The bytes that several streams receive identically. Pure: no socket, no clock.
//!
//! A feed is one contiguous log of frames, already framed for the wire. A stream is an absolute
//! offset into it; the feed keeps bytes only while a stream is behind.

use crate::{
    channel::Selector,
    cursor::EventId,
    filter::Filter,
    frame::{Frame, Framing},
};
use std::{collections::VecDeque, sync::Arc};

/// What makes streams receive the same bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FeedKey {
    /// Sorted, each once.
    pub selectors: Arc<[Selector]>,
    pub filter: Arc<Filter>,
    pub framing: Framing,
}

/// Where a frame ends, and whose it is.
#[derive(Clone, Debug)]
pub struct Mark {
    pub end: u64,
    pub id: EventId,
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
}

/// A buffer larger than this is given back when nobody is behind.
const KEEP_CAPACITY: usize = 64 * 1024;

impl ByteLog {
    pub fn push(&mut self, id: EventId, frame: &Frame, framing: Framing, key: Option<Arc<str>>) {
        self.bytes.extend_from_slice(frame.bytes(framing));
        self.marks.push_back(Mark {
            end: self.end(),
            id,
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

    /// The frames of which bytes wait at an offset, the one that it cuts included.
    pub fn marks_from(&self, cursor: u64) -> impl Iterator<Item = &Mark> {
        let start = self.marks.partition_point(|mark| mark.end <= cursor);
        self.marks.range(start..)
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

    /// Forgets what lies before an offset that is a frame's edge or inside a frame; whole frames only.
    pub fn trim(&mut self, cursor: u64) {
        if cursor >= self.end() {
            self.base = self.end();
            self.marks.clear();
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
            self.marks.drain(..gone);
        }
    }

    /// The newest frame that ended at or before an offset.
    pub fn last_before(&self, cursor: u64) -> Option<EventId> {
        let started_at = self.marks.partition_point(|mark| mark.end <= cursor);
        Some(self.marks.get(started_at.checked_sub(1)?)?.id)
    }

    /// The first frame's edge at which at most `bytes` wait, for a stream that skips the oldest:
    /// the offset, and the id of the last frame that is skipped.
    pub fn skip_to(&self, cursor: u64, bytes: u64) -> Option<(u64, EventId)> {
        let edge = self.frame_edge(cursor);
        self.marks
            .iter()
            .find(|mark| mark.end > edge && self.end() - mark.end <= bytes)
            .map(|mark| (mark.end, mark.id))
    }

    /// What waits at a frame's edge, with only the newest frame of each key, and how many frames
    /// were left out.
    pub fn coalesced(&self, edge: u64) -> (Vec<u8>, u64) {
        let waiting: Vec<&Mark> = self.marks_from(edge).collect();
        let mut newest = std::collections::HashSet::new();
        let keep: Vec<bool> = waiting
            .iter()
            .rev()
            .map(|mark| {
                mark.key
                    .as_ref()
                    .is_none_or(|key| newest.insert(key.clone()))
            })
            .collect();
        let (mut out, mut left_out, mut from) = (Vec::new(), 0, edge);
        for (mark, keep) in waiting.iter().zip(keep.iter().rev()) {
            if *keep {
                out.extend_from_slice(self.between(from, mark.end));
            } else {
                left_out += 1;
            }
            from = mark.end;
        }
        (out, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cursor::{Epoch, Partition, Place},
        event::Event,
    };

    fn push(log: &mut ByteLog, id: u64, key: Option<&str>) {
        let place = Place {
            partition: Partition::ONLY,
            epoch: Epoch::from_random(1),
            id: EventId::new(id).unwrap(),
        };
        let frame = Frame::event(place, "c", &Event::text(&id.to_string()));
        log.push(place.id, &frame, Framing::Bare, key.map(Into::into));
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
    fn skipping_the_oldest_lands_on_an_edge_and_names_the_last_one_skipped() {
        let log = log(&[None; 4]);
        let frame = log.end() / 4;
        assert_eq!(
            log.skip_to(0, 2 * frame),
            Some((2 * frame, EventId::new(2).unwrap()))
        );
        assert_eq!(
            log.skip_to(frame + 5, 2 * frame),
            Some((3 * frame, EventId::new(3).unwrap())),
            "a cut frame is finished first"
        );
    }

    #[test]
    fn coalescing_keeps_the_newest_of_each_key_in_order() {
        let log = log(&[Some("a"), Some("b"), None, Some("a"), Some("c")]);
        let (bytes, left_out) = log.coalesced(0);
        assert_eq!(data(&bytes), ["2", "3", "4", "5"]);
        assert_eq!(left_out, 1);
    }
}
