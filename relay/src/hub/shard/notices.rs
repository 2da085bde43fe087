//! What the log says of itself: that events are lost, and that it does not answer.

use super::{
    Connection, Shard, Slot,
    feeds::Attachment,
    stream::{Backlog, Then},
};
use crate::{
    channel::{ChannelName, Selector},
    cursor::Places,
    event_log::{Condition, Loss, Whose, gap},
    frame::{Frame, GapData, GapReason},
    hub::{open::Notices, sink::Sent},
};
use std::{collections::BTreeMap, time::Instant};

/// Feeds of which events are lost, each with the channels concerned; none when it may be any.
type Concerned = BTreeMap<u32, Vec<ChannelName>>;

impl Shard {
    /// Events are missing that streams would have got here: a gap takes their place. Streams that
    /// still read history find it there, but for what an ended epoch lost.
    pub(super) fn lost(&mut self, loss: &Loss) {
        let concerned: Concerned = self
            .feeds
            .iter()
            .filter(|(_, feed)| {
                feed.attachment == Attachment::Attached && feed.partitions.contains(loss.partition)
            })
            .filter_map(|(index, feed)| {
                Some((index, self.concerned_by(&loss.whose, &feed.key.selectors)?))
            })
            .collect();
        for (index, channels) in &concerned {
            self.push_gap(*index, loss, channels);
        }
        if loss.reason == GapReason::Epoch {
            self.tell_readers(loss, &concerned);
        }
    }

    /// Streams that still read history hear of a loss before what they read next. The gap has no id, since
    /// their cursor is that of what they read; who has joined the feed hears of it twice.
    fn tell_readers(&mut self, loss: &Loss, concerned: &Concerned) {
        let mut frames: BTreeMap<u32, Option<Frame>> = BTreeMap::new();
        for (reader, feed) in self.readers(concerned) {
            let key = &self.feeds.get(feed).key;
            let framing = key.framing;
            let frame = frames
                .entry(feed)
                .or_insert_with(|| key.gap(None, &gap_data(loss, &concerned[&feed])));
            let Some(frame) = frame else {
                continue;
            };
            let bytes = frame.bytes(framing);
            self.account_bytes(bytes.len(), 0);
            if let Some(backlog) = self.stream_mut(reader).and_then(|s| s.backlog.as_mut()) {
                backlog.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// Streams of these feeds that still read history, each with its feed.
    fn readers(&self, concerned: &Concerned) -> Vec<(u32, u32)> {
        let reader = |(index, slot): (usize, &Slot)| match &slot.connection {
            Connection::Stream(stream) => {
                let then = stream.backlog.as_ref()?.then;
                let reads = matches!(then, Then::Read | Then::Wait);
                (reads && concerned.contains_key(&stream.feed))
                    .then_some((index as u32, stream.feed))
            }
            Connection::Head(_) => None,
        };
        self.slots.iter().filter_map(reader).collect()
    }

    /// Channels of a feed whose events are lost: none when it may be any; `None` when none is its.
    pub(super) fn concerned_by(
        &self,
        whose: &Whose,
        selectors: &[Selector],
    ) -> Option<Vec<ChannelName>> {
        let Whose::These(channels) = whose else {
            return Some(Vec::new());
        };
        let mut concerned = channels.iter().filter(|channel| {
            selectors.iter().any(|selector| selector.matches(channel)) && self.may_be_seen(channel)
        });
        let first = concerned.next()?.clone();
        let rest = concerned.take(gap::MAX_CHANNELS - 1).cloned();
        Some(std::iter::once(first).chain(rest).collect())
    }

    fn push_gap(&mut self, index: u32, loss: &Loss, channels: &[ChannelName]) {
        let feed = self.feeds.get_mut(index);
        let standing = feed.standing(&self.through);
        let Some(at) = standing.in_partition(loss.partition) else {
            return;
        };
        if feed.members.is_empty() {
            return;
        }
        let data = gap_data(loss, channels);
        let told = feed.members.len() as u64;
        self.shared.hub.stats.gaps.of(loss.reason).add(told);
        let Some(frame) = feed.key.gap(standing.text().as_deref(), &data) else {
            return;
        };
        feed.round.appended(Instant::now());
        feed.log.push(at, &frame, feed.key.framing, None);
        self.mark_dirty(index);
    }

    /// Streams that asked for it are told; one that is busy now is told with its next heartbeat.
    pub(super) fn tell_condition(&mut self, condition: Condition) {
        if std::mem::replace(&mut self.condition, condition) == condition {
            return;
        }
        let streams: Vec<u32> = self
            .slots
            .iter()
            .filter(|(_, slot)| match &slot.connection {
                Connection::Stream(stream) => stream.notices == Notices::Degraded,
                Connection::Head(_) => false,
            })
            .map(|(index, _)| index as u32)
            .collect();
        streams.into_iter().for_each(|index| self.remind(index));
    }

    /// Tells a stream how the log is, if it wants to know and does not.
    pub(super) fn remind(&mut self, index: u32) {
        let condition = self.condition;
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        if stream.notices == Notices::None
            || stream.told == condition
            || !stream.is_at_rest(feed.log.end())
        {
            return;
        }
        let framing = feed.key.framing;
        let frame = feed.key.condition(condition);
        if let Some(stream) = self.stream_mut(index) {
            stream.told = condition;
        }
        if let Some(frame) = frame {
            self.whisper(index, frame.bytes(framing));
        }
    }

    /// Whole frames for this stream alone, which is at rest.
    pub(super) fn whisper(&mut self, index: u32, bytes: &[u8]) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let n = match stream.sink.send(bytes) {
            Sent::All => return,
            Sent::Dead(reason) => return self.close(index, reason),
            Sent::Part(n) => n,
        };
        let rest = match (&stream.backlog, stream.has_joined()) {
            // it goes on waiting for what it reads
            (Some(backlog), _) => Backlog {
                bytes: bytes[n..].to_vec(),
                ..Backlog::wait(backlog.from.clone(), backlog.failures)
            },
            (None, true) => Backlog::new(bytes[n..].to_vec(), 0, Then::Feed),
            (None, false) => Backlog::new(bytes[n..].to_vec(), 0, Then::Hold),
        };
        self.set_backlog(index, rest);
        let now = self.now;
        if let Some(stream) = self.stream_mut(index) {
            stream.flow = stream.flow.short(n, now);
        }
    }
}

fn gap_data(loss: &Loss, channels: &[ChannelName]) -> GapData {
    let places = |place: Option<_>| place.map_or(Places::default(), Places::one);
    GapData {
        reason: loss.reason,
        certain: loss.certain,
        after: places(loss.after),
        until: places(loss.until),
        channels: channels.iter().map(ToString::to_string).collect(),
    }
}
