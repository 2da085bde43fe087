//! Delivery: from an event to feeds, from feeds to sockets.

use super::{
    Connection, Shard,
    feeds::{Feed, Finished},
    frames::Frames,
    poller::{CLOSED, Token},
    stream::{Backlog, Flow, Stream, Then},
};
use crate::{
    channel::ChannelName,
    event::{Ending, Event},
    hub::{
        inbox::Delivery,
        open::CloseReason,
        parting,
        sink::{Sent, Sink},
        voice::Written,
    },
    stats::DropReason,
};
use relay_config::{Access, Overflow};
use rustix::{
    event::epoll::EventFlags,
    net::{RecvFlags, recv, sockopt},
};
use std::{sync::Arc, time::Instant};

/// Bytes that a subscriber may send after its request before it is taken for something else.
const MAX_CHATTER: usize = 64 * 1024;
/// Bytes that events are rendered into before feeds are served in between. Where each stream has a feed
/// of its own (a subject's channel, a filter) one event is rendered as often as there are streams.
const MAX_RENDERED: usize = 4 << 20;

impl Shard {
    /// Appends an event to the feeds that want it.
    pub(super) fn deliver(&mut self, delivery: &Delivery) {
        let entry = &delivery.entry;
        self.through.advance(delivery.place);
        if !self.may_be_seen(&entry.channel) {
            return;
        }
        let mut concerned = std::mem::take(&mut self.concerned);
        self.feeds.of(&entry.channel, &mut concerned);
        let mut frames = Frames::default();
        let traced = self.traced(delivery);
        for index in concerned.iter().copied() {
            self.keep_rendered_small();
            if !self.feeds.contains(index) {
                continue; // its last stream was closed meanwhile
            }
            let feed = self.feeds.get_mut(index);
            if !feed.considers(delivery.place) {
                continue;
            }
            let ends = entry.event.ending == Ending::Ends;
            let written = frames.of(delivery, feed, &self.through);
            match written {
                Written::Filtered => {
                    feed.filtered += 1;
                    let filtered = &self.shared.hub.stats.filtered;
                    filtered.add(feed.members.len() as u64);
                    continue;
                }
                Written::Nothing => {
                    let unwritten = &self.shared.hub.stats.unwritten;
                    unwritten.add(feed.members.len() as u64);
                }
                // a feed without members keeps nothing, so its place in the order is all that matters
                Written::Frame(_) if feed.members.is_empty() => {}
                Written::Frame(frame) => {
                    let mut key = None;
                    if feed.overflow == Overflow::Coalesce && feed.accepts(entry) {
                        let settings = self.shared.config.effective(entry.channel.as_str());
                        let attribute = settings.coalesce_by.as_deref();
                        key = coalesce_key(entry.channel.as_str(), &entry.event, attribute);
                    }
                    feed.round.appended(delivery.appended);
                    let framing = feed.key.framing;
                    feed.log.push(delivery.place, &frame, framing, key);
                    if let Some(traced) = &traced
                        && feed.accepts(entry)
                    {
                        feed.trace(traced);
                    }
                    self.rendered += frame.bytes(framing).len();
                }
            }
            if ends {
                let through = feed.standing(&self.through);
                self.check_finished(index, &through);
            }
            self.mark_dirty(index);
        }
        self.concerned = concerned;
    }

    /// Sends what is rendered once it is much: what sockets do not take then counts as waiting, and gives
    /// way past the process's bound for it.
    fn keep_rendered_small(&mut self) {
        if self.rendered > MAX_RENDERED {
            self.serve(usize::MAX);
            self.keep_to_memory();
        }
    }

    /// Whether streams may get what a channel has: a pattern may match channels that are closed to
    /// subscribers.
    pub(super) fn may_be_seen(&self, channel: &ChannelName) -> bool {
        !self.closed_channels
            || channel.is_reserved()
            || self.shared.config.effective(channel.as_str()).subscribe == Access::Allow
    }

    /// All members of the feed are served, and what nobody needs any more is forgotten.
    pub(super) fn mark_dirty(&mut self, index: u32) {
        if self.feeds.get_mut(index).round.request() {
            self.dirty.push_back(index);
        }
    }

    /// Serves feeds that have something new, in turn; false when the slice was used up before the end.
    pub(super) fn serve(&mut self, mut slice: usize) -> bool {
        while slice > 0
            && let Some(index) = self.dirty.pop_front()
        {
            // a feed may be gone, and its index another's: that one is not queued, or queued again
            if self.feeds.contains(index)
                && self.feeds.get(index).round.is_queued()
                && self.serve_feed(index, &mut slice) == Turn::Another
            {
                // behind the others, so that none of them waits for a feed that is never done
                self.dirty.push_back(index);
            }
        }
        if self.dirty.is_empty() {
            self.rendered = 0;
        }
        self.dirty.is_empty()
    }

    fn serve_feed(&mut self, index: u32, slice: &mut usize) -> Turn {
        loop {
            let pass = self.pass(index, slice);
            self.count(index, &pass);
            for (stream, reason) in pass.dead {
                self.close(stream, reason);
            }
            for stream in pass.slow {
                self.overflowed(stream);
            }
            if !self.feeds.contains(index) {
                return Turn::Done;
            }
            let feed = self.feeds.get_mut(index);
            if feed.round.is_over(&feed.members) {
                break;
            }
            if *slice == 0 {
                return Turn::Another;
            }
        }
        if self.feeds.get(index).finished == Finished::Yes {
            let feed = self.feeds.get(index);
            let members = feed.members.clone();
            let done: Vec<u32> = members
                .into_iter()
                .filter(|member| self.has_ended(*member))
                .collect();
            done.into_iter()
                .for_each(|member| self.finish(member, CloseReason::Ended));
        }
        if !self.feeds.contains(index) {
            return Turn::Done;
        }
        self.visited(index);
        self.retrim(index);
        if self.feeds.get_mut(index).round.finish() {
            Turn::Another
        } else {
            Turn::Done
        }
    }

    fn count(&self, index: u32, pass: &Pass) {
        let stats = &self.shared.hub.stats;
        stats.writes.add(pass.writes);
        stats.short_writes.add(pass.short_writes);
        stats.delivered.add(pass.frames);
        stats.delivered_bytes.add(pass.bytes);
        stats.dropped.of(DropReason::Overflow).add(pass.dropped);
        if let Some(oldest) = self.feeds.get(index).round.oldest
            && pass.frames > 0
        {
            stats.latency.observe(oldest.elapsed(), pass.frames);
        }
    }

    /// Offers the feed's members what waits for them, until the slice is used up.
    fn pass(&mut self, index: u32, slice: &mut usize) -> Pass {
        let mut pass = Pass::default();
        let max = self.shared.config.stream.max_queue_bytes.get();
        let now = self.now;
        let feed = self.feeds.get_mut(index);
        let end = feed.log.end();
        while *slice > 0
            && let Some(member) = feed.round.visit(&feed.members)
        {
            let Connection::Stream(stream) = &mut self.slots[member as usize].connection else {
                continue;
            };
            if stream.cursor == end {
                continue;
            }
            if pass.drop_newest(feed, stream) {
                continue;
            }
            if stream.flow.is_blocked() || stream.backlog.is_some() {
                if end - stream.cursor > max && feed.log.overflows(stream.cursor, max) {
                    pass.slow.push(member);
                }
                continue;
            }
            *slice -= 1;
            if let Sent::Dead(reason) = pass.offer(feed, stream, now) {
                pass.dead.push((member, reason));
            }
        }
        pass
    }

    /// Forgets bytes that all members have.
    pub(super) fn retrim(&mut self, index: u32) {
        let feed = self.feeds.get_mut(index);
        let cursors = feed.members.iter().filter_map(|member| {
            match &self.slots[*member as usize].connection {
                Connection::Stream(stream) => Some(stream.cursor),
                Connection::Head(_) => None,
            }
        });
        let needed = cursors.min().unwrap_or(feed.log.end());
        feed.log.trim(needed);
        let (before, now) = (feed.accounted, feed.log.len());
        feed.accounted = now;
        self.account_bytes(now, before);
    }

    /// Bytes that begin and cease to wait for streams of this shard.
    pub(super) fn account_bytes(&self, more: usize, fewer: usize) {
        self.shared.hub.account(self.index, more, fewer);
    }

    /// Sends a stream what waits for it: first its backlog, then its feed.
    pub(super) fn pump(&mut self, index: u32) {
        let now = self.now;
        let was_blocked = self
            .stream(index)
            .is_some_and(|stream| stream.flow.is_blocked());
        loop {
            let Connection::Stream(stream) = &mut self.slots[index as usize].connection else {
                return;
            };
            if let Some(backlog) = &mut stream.backlog {
                let sent = if backlog.waiting().is_empty() {
                    Sent::All
                } else {
                    stream.sink.send(backlog.waiting())
                };
                match sent {
                    Sent::All => backlog.sent = backlog.bytes.len(),
                    Sent::Part(n) => {
                        backlog.sent += n;
                        stream.flow = stream.flow.short(n, now);
                        return;
                    }
                    Sent::Dead(reason) => return self.close(index, reason),
                }
                stream.flow = Flow::Open;
                if backlog.dropping().is_some() {
                    self.tell_dropped(index);
                    continue;
                }
                let (then, failures) = (backlog.then, backlog.failures);
                if then == Then::Wait {
                    return;
                }
                let from = std::mem::take(&mut backlog.from);
                let frames = std::mem::take(&mut backlog.frames);
                let bytes = backlog.bytes.len() as u64;
                stream.counts.replayed(frames);
                self.shared.hub.stats.delivered.add(frames);
                self.shared.hub.stats.delivered_bytes.add(bytes);
                self.clear_backlog(index);
                match then {
                    Then::Feed => continue,
                    Then::Read => return self.read(index, from, failures),
                    Then::Wait | Then::Hold => return,
                    Then::Close(reason) => return self.close(index, reason),
                }
            }
            if !stream.has_joined() {
                return; // it waits to begin
            }
            let feed = self.feeds.get(stream.feed);
            if was_blocked && feed.overflow == Overflow::Coalesce && self.coalesce(index) {
                continue;
            }
            return self.pump_feed(index);
        }
    }

    fn pump_feed(&mut self, index: u32) {
        let Connection::Stream(stream) = &mut self.slots[index as usize].connection else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let mut pass = Pass::default();
        if stream.cursor == feed.log.end() {
            stream.flow = Flow::Open;
        } else if let Sent::Dead(reason) = pass.offer(feed, stream, self.now) {
            return self.close(index, reason);
        }
        let feed = stream.feed;
        self.shared.hub.stats.writes.add(pass.writes);
        self.shared.hub.stats.delivered.add(pass.frames);
        self.shared.hub.stats.delivered_bytes.add(pass.bytes);
        if self.has_ended(index) {
            self.finish(index, CloseReason::Ended);
        }
        if pass.writes > 0 && self.feeds.contains(feed) {
            self.mark_dirty(feed); // for what nobody needs any more
        }
    }

    pub(super) fn stream_ready(&mut self, index: u32, flags: EventFlags) {
        if flags.intersects(CLOSED) {
            return self.close(index, self.reason_of(index));
        }
        if flags.contains(EventFlags::IN) && !self.ignore_input(index) {
            return self.close(index, CloseReason::Protocol);
        }
        if flags.contains(EventFlags::OUT)
            && self
                .stream(index)
                .is_some_and(|stream| stream.flow.is_blocked())
        {
            self.pump(index);
        }
    }

    /// Why a stream's socket was closed.
    fn reason_of(&self, index: u32) -> CloseReason {
        let error = match self.stream(index).map(|stream| &stream.sink) {
            Some(Sink::Socket(socket)) => sockopt::socket_error(socket),
            _ => return CloseReason::Client,
        };
        match error {
            Ok(Err(error)) => parting::reason(error),
            _ => CloseReason::Client,
        }
    }

    /// A subscriber has nothing to say; a little is read and forgotten. False when it is too much.
    fn ignore_input(&mut self, index: u32) -> bool {
        let Connection::Stream(stream) = &self.slots[index as usize].connection else {
            return true;
        };
        let Sink::Socket(socket) = &stream.sink else {
            return true;
        };
        let n = recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT).map_or(0, |(_, n)| n);
        n < MAX_CHATTER
    }

    pub(super) fn writable(&mut self, token: Token) {
        if let Some(index) = self.slot_of(token)
            && self
                .stream(index)
                .is_some_and(|stream| stream.flow.is_blocked())
        {
            self.pump(index);
        }
    }

    pub(super) fn gone(&mut self, token: Token, reason: CloseReason) {
        if let Some(index) = self.slot_of(token) {
            self.close(index, reason);
        }
    }
}

/// Whether a feed is to be served once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Done,
    Another,
}

/// What one pass over a feed's members did.
#[derive(Default)]
struct Pass {
    /// Frames from an offset to the end of the feed, which does not change during a pass.
    from_to_end: Option<(u64, u64)>,
    writes: u64,
    short_writes: u64,
    frames: u64,
    bytes: u64,
    /// Frames that members are not sent, which drop what comes.
    dropped: u64,
    dead: Vec<(u32, CloseReason)>,
    slow: Vec<u32>,
}

impl Pass {
    /// Passes what has come, for a member that drops it until it has what waits for it; true if so.
    fn drop_newest(&mut self, feed: &Feed, stream: &mut Stream) -> bool {
        let drops = |backlog: &Backlog| backlog.dropping().is_some();
        if !stream.backlog.as_deref().is_some_and(drops) {
            return false;
        }
        let end = feed.log.end();
        let passed = feed.log.frames_at(end) - feed.log.frames_at(stream.cursor);
        stream.cursor = end;
        stream.counts.pass(passed);
        stream.counts.dropped += passed;
        self.dropped += passed;
        true
    }

    /// One write of all that waits for a member.
    fn offer(&mut self, feed: &Feed, stream: &mut Stream, now: Instant) -> Sent {
        let (from, end) = (stream.cursor, feed.log.end());
        let sent = stream.sink.send(feed.log.from(from));
        self.writes += 1;
        match sent {
            Sent::All => {
                stream.cursor = end;
                stream.flow = Flow::Open;
            }
            Sent::Part(n) => {
                stream.cursor += n as u64;
                stream.flow = stream.flow.short(n, now);
                self.short_writes += 1;
            }
            Sent::Dead(_) => return sent,
        }
        self.bytes += stream.cursor - from;
        self.frames += match self.from_to_end {
            Some((known, frames)) if known == from && stream.cursor == end => frames,
            _ => {
                let frames = feed.log.frames_at(stream.cursor) - feed.log.frames_at(from);
                if stream.cursor == end {
                    self.from_to_end = Some((from, frames));
                }
                frames
            }
        };
        sent
    }
}

/// What makes two events of a feed replace each other: channel and the attribute's value.
fn coalesce_key(channel: &str, event: &Event, attribute: Option<&str>) -> Option<Arc<str>> {
    let value = event.attributes.get(attribute?)?;
    Some(format!("{channel}\n{value}").into())
}
