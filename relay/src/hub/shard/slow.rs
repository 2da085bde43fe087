//! Streams that cannot take what they are owed in time.

use super::{
    Connection, Shard,
    stream::{Backlog, Tail, Then},
};
use crate::{
    event_log::{Gaps, Standing},
    frame::{GapData, GapReason},
    hub::{feed::newest, inbox::Command, open::CloseReason},
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
        let feed = stream.feed;
        match stream.backlog.as_ref().map(|backlog| backlog.then) {
            // the log is slow, not the stream: it goes on reading history
            Some(Then::Wait) => {
                self.leave(index);
                return self.mark_dirty(feed);
            }
            Some(Then::Close(reason)) => return self.close(index, reason),
            _ => {}
        }
        // the policy may be another since it began to drop
        self.tell_dropped(index);
        let kept = match self.feeds.get(feed).overflow {
            Overflow::Disconnect => false,
            Overflow::DropOldest => self.drop_oldest(index),
            Overflow::DropNewest => self.drop_newest(index),
            Overflow::CatchUp => self.catch_up(index),
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
        let Some(target) = feed.log.skip_to(cursor, half) else {
            return false;
        };
        let here = feed.log.last_before(target);
        let backlog = stream.backlog.as_ref();
        // a gap that the stream has not heard of becomes wider; else each would take memory
        let wider = backlog.and_then(|backlog| backlog.unsent_gap());
        let widens = wider.is_some();
        let (mut bytes, after) = match wider {
            Some((before, after)) => (before.to_vec(), after),
            None => {
                let mut bytes = backlog.map_or(Vec::new(), |backlog| backlog.waiting().to_vec());
                bytes.extend_from_slice(feed.log.between(cursor, edge));
                (bytes, feed.log.last_before(edge))
            }
        };
        let gap = GapData {
            reason: GapReason::Overflow,
            certain: true,
            after: after.clone(),
            until: here.clone(),
            channels: Vec::new(),
        };
        let tail = Tail::Gap {
            from: bytes.len(),
            after,
        };
        if let Some(frame) = feed.key.gap(Some(&here.to_string()), &gap) {
            bytes.extend_from_slice(frame.bytes(feed.key.framing));
        }
        let skipped = feed.log.frames_at(target) - feed.log.frames_at(edge);
        if !widens {
            self.shared.hub.stats.gaps.of(GapReason::Overflow).add(1);
        }
        let jump = Jump {
            bytes,
            tail,
            target,
            skipped,
            why: DropReason::Overflow,
        };
        self.jump(index, jump)
    }

    /// Keeps as much as may wait, and drops what comes until that is sent: see [`Pass::drop_newest`].
    /// False when that cannot be done.
    fn drop_newest(&mut self, index: u32) -> bool {
        let max = self.shared.config.stream.max_queue_bytes.get();
        let Some(stream) = self.stream(index) else {
            return false;
        };
        let log = &self.feeds.get(stream.feed).log;
        let mut bytes = stream
            .backlog
            .as_ref()
            .map_or(Vec::new(), |backlog| backlog.waiting().to_vec());
        let room = max.saturating_sub(bytes.len() as u64);
        let kept = match log.keep_to(stream.cursor, room) {
            Some(edge) => edge,
            None if bytes.is_empty() => log.first_edge(stream.cursor),
            None => log.frame_edge(stream.cursor),
        };
        bytes.extend_from_slice(log.between(stream.cursor, kept));
        let jump = Jump {
            bytes,
            tail: Tail::Dropping {
                after: log.last_before(kept),
            },
            target: log.end(),
            skipped: log.frames_at(log.end()) - log.frames_at(kept),
            why: DropReason::Overflow,
        };
        self.shared.hub.stats.gaps.of(GapReason::Overflow).add(1);
        self.jump(index, jump)
    }

    /// What was dropped behind a backlog is told at its end, where a stream's dialect tells it.
    pub(super) fn tell_dropped(&mut self, index: u32) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let Some(after) = stream.backlog.as_ref().and_then(|one| one.dropping()) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let until = feed.log.last_before(stream.cursor);
        let gap = GapData {
            reason: GapReason::Overflow,
            certain: true,
            after: after.clone(),
            until: until.clone(),
            channels: Vec::new(),
        };
        let frame = feed.key.gap(Some(&until.to_string()), &gap);
        let bytes = frame
            .as_ref()
            .map_or(&[][..], |frame| frame.bytes(feed.key.framing));
        self.account_bytes(bytes.len(), 0);
        let backlog = self.stream_mut(index).and_then(|it| it.backlog.as_mut());
        if let Some(backlog) = backlog {
            backlog.bytes.extend_from_slice(bytes);
            backlog.tail = Tail::Fixed;
        }
    }

    /// Takes the stream out of its feed: what it has not got is read from the log once it has room.
    /// False when that cannot be done.
    fn catch_up(&mut self, index: u32) -> bool {
        let Some(stream) = self.stream(index) else {
            return false;
        };
        if !stream.has_joined() {
            return false;
        }
        let log = &self.feeds.get(stream.feed).log;
        let edge = log.frame_edge(stream.cursor);
        let (mut bytes, mut frames) = match &stream.backlog {
            Some(backlog) => (backlog.waiting().to_vec(), backlog.frames),
            None => (Vec::new(), 0),
        };
        bytes.extend_from_slice(log.between(stream.cursor, edge));
        frames += log.frames_at(edge) - log.frames_at(stream.cursor);
        let standings = log.last_before(edge);
        let standings = standings.iter().map(|after| Standing {
            after,
            gaps: Gaps::Report,
        });
        let (feed, backlog) = (
            stream.feed,
            Backlog::read(bytes, frames, standings.collect()),
        );
        self.leave(index);
        self.set_backlog(index, backlog);
        self.mark_dirty(feed); // for what nobody needs any more
        true
    }

    /// Keeps only the newest event of each key for a stream that is behind. False when that is still
    /// too much, or nothing waits.
    pub(super) fn coalesce(&mut self, index: u32) -> bool {
        let Some(stream) = self.stream(index) else {
            return false;
        };
        let feed = self.feeds.get(stream.feed);
        if !stream.has_joined() || stream.cursor == feed.log.end() {
            return false;
        }
        let (fixed, mut frames) = match &stream.backlog {
            Some(backlog) => backlog.unsent(),
            None => (&[][..], Vec::new()),
        };
        let edge = feed.log.frame_edge(stream.cursor);
        let mut bytes = fixed.to_vec();
        // a frame is cut only where the backlog is empty
        bytes.extend_from_slice(feed.log.between(stream.cursor, edge));
        frames.extend(feed.log.frames_from(edge));
        let (from, mut ends, mut skipped) = (bytes.len(), Vec::new(), 0);
        for ((frame, key), keep) in frames.iter().zip(newest(&frames)) {
            if keep {
                bytes.extend_from_slice(frame);
                ends.push((bytes.len(), key.cloned()));
            } else {
                skipped += 1;
            }
        }
        // one event may wait whatever its size
        let one = ends.len() <= 1;
        let jump = Jump {
            tail: Tail::Frames { from, ends },
            target: feed.log.end(),
            skipped,
            why: DropReason::Coalesced,
            bytes,
        };
        let max = self.shared.config.stream.max_queue_bytes.as_usize();
        let fits = one || jump.bytes.len() - from <= max;
        fits && self.jump(index, jump)
    }

    /// False when the stream's backlog has another end than its feed.
    fn jump(&mut self, index: u32, jump: Jump) -> bool {
        let Connection::Stream(stream) = &mut self.slots[index as usize].connection else {
            return false;
        };
        let feed = self.feeds.get(stream.feed);
        let passed = feed.log.frames_at(jump.target) - feed.log.frames_at(stream.cursor);
        let mut frames = passed;
        if let Some(backlog) = &stream.backlog {
            if backlog.then != Then::Feed {
                return false;
            }
            frames += backlog.frames;
        }
        stream.cursor = jump.target;
        // what the feed counted on the way is counted by the backlog, or as dropped
        stream.counts.pass(passed);
        stream.counts.dropped += jump.skipped;
        let feed = stream.feed;
        let dropped = self.shared.hub.stats.dropped.of(jump.why);
        dropped.add(jump.skipped);
        self.set_backlog(
            index,
            Backlog {
                tail: jump.tail,
                ..Backlog::new(jump.bytes, frames - jump.skipped, Then::Feed)
            },
        );
        self.mark_dirty(feed); // for what nobody needs any more
        true
    }

    /// Should the process hold too many bytes for streams, those furthest behind give way. The shard
    /// that holds the most sees to it.
    pub(super) fn keep_to_memory(&mut self) {
        let hub = &self.shared.hub;
        if hub.queue_bytes.load(Ordering::Relaxed)
            <= self.shared.config.stream.max_memory.as_usize()
        {
            return;
        }
        match hub.most_queued() {
            shard if shard == self.index => self.relieve(),
            shard => hub.inbox(shard).send(Command::Relieve),
        }
    }

    fn relieve(&mut self) {
        let max = self.shared.config.stream.max_memory.as_usize();
        let mut behind: Vec<(u64, u32, u32)> = self
            .slots
            .iter()
            .filter_map(|(index, slot)| match &slot.connection {
                Connection::Stream(stream) => Some((index as u32, stream)),
                Connection::Head(_) => None,
            })
            .filter(|(_, stream)| stream.flow.is_blocked() || stream.backlog.is_some())
            .map(|(index, stream)| (self.waiting(stream), index, stream.feed))
            .collect();
        behind.sort_unstable_by_key(|(waiting, ..)| std::cmp::Reverse(*waiting));
        for (_, index, feed) in behind {
            if self.shared.hub.queue_bytes.load(Ordering::Relaxed) <= max {
                return;
            }
            self.close(index, CloseReason::Memory);
            if self.feeds.contains(feed) && !self.feeds.get(feed).log.is_empty() {
                self.retrim(feed);
            }
        }
    }
}

/// A move of a stream's cursor past frames, of which `skipped` are never sent.
struct Jump {
    /// What the stream gets instead, with all that its backlog had.
    bytes: Vec<u8>,
    tail: Tail,
    target: u64,
    skipped: u64,
    why: DropReason,
}
