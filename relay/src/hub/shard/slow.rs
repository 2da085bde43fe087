//! Streams that cannot take what they are owed in time.

use super::{
    Connection, Shard,
    stream::{Backlog, Flow, NOT_JOINED, Then},
};
use crate::{
    cursor::Place,
    frame::{Frame, GapData, GapReason},
    hub::open::CloseReason,
    stats::DropReason,
};
use relay_config::Overflow;
use std::sync::atomic::Ordering;

impl Shard {
    /// More waits for a stream than it may have: its channels' policy decides.
    pub(super) fn overflowed(&mut self, index: u32) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let kept = match self.feeds.get(stream.feed).overflow {
            Overflow::Disconnect => false,
            Overflow::DropOldest => self.drop_oldest(index),
            Overflow::Coalesce => self.coalesce(index),
        };
        if !kept {
            self.close(index, CloseReason::Slow);
        }
    }

    /// Skips to where half of what may wait is left, and says so. False when that cannot be done.
    fn drop_oldest(&mut self, index: u32) -> bool {
        let half = self.shared.config.stream.max_queue_bytes.get() / 2;
        let Some(stream) = self.stream(index) else {
            return false;
        };
        let feed = self.feeds.get(stream.feed);
        let cursor = stream.cursor;
        let edge = feed.log.frame_edge(cursor);
        let Some((target, until)) = feed.log.skip_to(cursor, half) else {
            return false;
        };
        let here = self.shared.log.place(until);
        let gap = GapData {
            reason: GapReason::Overflow,
            certain: true,
            after: feed.log.last_before(edge).map(|id| Place { id, ..here }),
            until: Some(here),
            channels: Vec::new(),
        };
        let frame = Frame::control(Some(&here.to_string()), "gap", &gap);
        let mut bytes = feed.log.between(cursor, edge).to_vec();
        bytes.extend_from_slice(frame.bytes(feed.key.framing));
        let skipped = feed.log.frames_at(target) - feed.log.frames_at(edge);
        self.shared.hub.stats.gaps.of(GapReason::Overflow).add(1);
        self.jump(index, bytes, target, skipped, DropReason::Overflow)
    }

    /// Keeps only the newest event of each key for a stream that is behind. False when that is still
    /// too much, or nothing waits.
    pub(super) fn coalesce(&mut self, index: u32) -> bool {
        let Some(stream) = self.stream(index) else {
            return false;
        };
        let feed = self.feeds.get(stream.feed);
        if stream.position == NOT_JOINED || stream.cursor == feed.log.end() {
            return false;
        }
        let edge = feed.log.frame_edge(stream.cursor);
        let mut bytes = feed.log.between(stream.cursor, edge).to_vec();
        let (newest, left_out) = feed.log.coalesced(edge);
        bytes.extend_from_slice(&newest);
        let end = feed.log.end();
        let waiting = stream
            .backlog
            .as_ref()
            .map_or(0, |backlog| backlog.waiting().len());
        let max = self.shared.config.stream.max_queue_bytes.as_usize();
        waiting + bytes.len() <= max
            && self.jump(index, bytes, end, left_out, DropReason::Coalesced)
    }

    /// Moves a stream's cursor past frames, of which `skipped` are never sent; `bytes` take the place
    /// of the others. False when its backlog has another end than its feed.
    fn jump(
        &mut self,
        index: u32,
        mut bytes: Vec<u8>,
        target: u64,
        skipped: u64,
        why: DropReason,
    ) -> bool {
        let Connection::Stream(stream) = &mut self.slots[index as usize].connection else {
            return false;
        };
        let feed = self.feeds.get(stream.feed);
        let passed = feed.log.frames_at(target) - feed.log.frames_at(stream.cursor);
        let (mut sent_before, mut frames) = (Vec::new(), passed - skipped);
        if let Some(backlog) = &stream.backlog {
            if backlog.then != Then::Feed {
                return false;
            }
            sent_before.extend_from_slice(backlog.waiting());
            frames += backlog.frames;
        }
        sent_before.append(&mut bytes);
        stream.cursor = target;
        // what the feed counted on the way is counted by the backlog, or as dropped
        stream.counts.joined_at += passed;
        stream.counts.dropped += skipped;
        let blocked = stream.flow;
        self.shared.hub.stats.dropped.of(why).add(skipped);
        self.set_backlog(
            index,
            Backlog {
                bytes: sent_before,
                sent: 0,
                frames,
                then: Then::Feed,
            },
        );
        if let Some(stream) = self.stream_mut(index) {
            stream.flow = blocked;
        }
        true
    }

    /// The process holds too many bytes for streams: those furthest behind give way.
    pub(super) fn relieve(&mut self) {
        let max = self.shared.config.stream.max_memory.as_usize();
        while self.shared.hub.queue_bytes.load(Ordering::Relaxed) > max
            && let Some((index, feed)) = self.furthest_behind()
        {
            self.close(index, CloseReason::Memory);
            if self.feeds.contains(feed) {
                self.retrim(feed);
            }
        }
    }

    fn furthest_behind(&self) -> Option<(u32, u32)> {
        let streams = self
            .slots
            .iter()
            .filter_map(|(index, slot)| match &slot.connection {
                Connection::Stream(stream) => Some((index as u32, stream)),
                Connection::Head(_) => None,
            });
        let behind =
            streams.filter(|(_, stream)| stream.flow == Flow::Blocked || stream.backlog.is_some());
        behind
            .max_by_key(|(_, stream)| self.waiting(stream))
            .map(|(index, stream)| (index, stream.feed))
    }
}
