//! Opening a stream: its feed, its place, its first bytes.

use super::{
    Connection, Head, Shard,
    feeds::Finished,
    poller::READ_WRITE,
    stream::{Backlog, Counts, Flow, NOT_JOINED, Stream, Then},
};
use crate::{
    channel::Selector,
    clock::{rfc3339, unix_millis},
    cursor::{Cursor, EventId},
    event_log::{
        Gaps,
        resume::{Lost, Start},
    },
    frame::{ConnectedData, Frame, Framing, GapData},
    hub::{
        feed::FeedKey,
        inbox::Command,
        open::{self, CloseReason, EndReason, Greeting, Opening, StreamInfo},
        sink::{Pipe, Sink},
    },
};
use futures_util::FutureExt;
use relay_config::Overflow;
use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

/// Head of the response on a socket that the shard owns, up to the date.
const RESPONSE_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
    cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\nx-content-type-options: nosniff\r\n\
    transfer-encoding: chunked\r\ndate: ";

impl Shard {
    /// The connection in a slot, whose head was a subscribe, becomes a stream.
    pub(super) fn open_socket(&mut self, index: u32, opening: Opening) {
        let generation = self.slots[index as usize].generation;
        let slot = self.slots.remove(index as usize);
        let Connection::Head(head) = slot.connection else {
            return;
        };
        let Head { socket, .. } = *head;
        if self.is_ahead(&opening) {
            // its new token comes with its new slot
            if self.poller.remove(&socket).is_ok() {
                self.inbox
                    .send(Command::TakeOver(socket, Box::new(opening)));
            } else {
                self.count_out();
            }
            return;
        }
        // the slot that was just given back is the next to be used, so the token stays right
        let stream = self.new_stream(Sink::Socket(socket), &opening);
        let again = self.slots.insert(super::Slot {
            generation,
            connection: Connection::Stream(stream),
        });
        debug_assert_eq!(again as u32, index);
        self.start(index, opening);
    }

    /// A socket that hyper read the subscribe from; its load is already counted.
    pub(super) fn take_over(&mut self, socket: OwnedFd, opening: Opening) {
        if self.is_ahead(&opening) {
            return self
                .inbox
                .send(Command::TakeOver(socket, Box::new(opening)));
        }
        let stream = self.new_stream(Sink::Socket(socket), &opening);
        let (index, token) = self.insert(Connection::Stream(stream));
        let Some(Stream {
            sink: Sink::Socket(socket),
            ..
        }) = self.stream(index)
        else {
            return;
        };
        let added = self.poller.add(socket, token, READ_WRITE);
        self.start(index, opening);
        if added.is_err() {
            self.close(index, CloseReason::Client);
        }
    }

    /// A stream that hyper carries: HTTP/2, or HTTP/1.0.
    pub(super) fn carry(&mut self, pipe: Arc<Pipe>, opening: Opening) {
        if self.is_ahead(&opening) {
            return self.inbox.send(Command::Carry(pipe, Box::new(opening)));
        }
        self.count_in();
        self.shared.hub.carried.fetch_add(1, Ordering::Relaxed);
        let stream = self.new_stream(Sink::Body(pipe.clone()), &opening);
        let (index, token) = self.insert(Connection::Stream(stream));
        pipe.belongs_to(token);
        self.start(index, opening);
    }

    /// Whether a client has already seen, through another shard, what this one has not handed to its
    /// feeds yet. Its stream opens when the shard is as far, or it would get those events twice.
    fn is_ahead(&self, opening: &Opening) -> bool {
        let Some(feed) = self.feeds.find(&opening.key) else {
            return false; // a new feed begins at the head
        };
        if !matches!(opening.cursor, Cursor::After(_)) {
            return false;
        }
        let joined = self.feeds.get(feed).since.max(self.through);
        let head = self.shared.log.head();
        joined < head && self.shared.log.resume(&opening.cursor, head).after > joined
    }

    fn new_stream(&mut self, sink: Sink, opening: &Opening) -> Stream {
        let feed = self.feed_for(&opening.key);
        self.feeds.get_mut(feed).users += 1;
        Stream {
            sink,
            feed,
            position: NOT_JOINED,
            cursor: 0,
            flow: Flow::Open,
            heartbeat: opening.heartbeat,
            backlog: None,
            gaps: Gaps::Report,
            counts: Counts::default(),
            opened: self.now,
            info: Arc::new(opening.info.clone()),
            _permit: opening.permit.clone(),
        }
    }

    /// The feed of a key, attached to the log from this moment on if it is new.
    fn feed_for(&mut self, key: &FeedKey) -> u32 {
        if let Some(index) = self.feeds.find(key) {
            return index;
        }
        let (index, wanted) = self
            .feeds
            .add(key.clone(), self.overflow_of(&key.selectors));
        self.shared.hub.want(&wanted, self.index);
        // the embedded log answers at once; what it holds up to here is read, not delivered
        let since = self.shared.log.attach(&key.selectors).now_or_never();
        let since = since.and_then(Result::ok).unwrap_or(self.through);
        self.feeds.get_mut(index).since = since;
        // its channels may have ended since the subscribe was answered
        self.check_finished(index, since);
        index
    }

    /// What its channels agree on; `disconnect`, which loses nothing, when they do not.
    fn overflow_of(&self, selectors: &[Selector]) -> Overflow {
        let mut policies = selectors
            .iter()
            .map(|selector| self.shared.config.effective(&selector.to_string()).overflow);
        let first = policies.next().unwrap_or(Overflow::Disconnect);
        if policies.all(|policy| policy == first) {
            first
        } else {
            Overflow::Disconnect
        }
    }

    /// The first bytes, and where the stream goes on from.
    fn start(&mut self, index: u32, opening: Opening) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let (framing, joined) = (feed.key.framing, feed.since.max(self.through));
        let start = self.shared.log.resume(&opening.cursor, joined);
        self.shared.hub.stats.opened.of(start.verdict).add(1);
        let mut bytes = Vec::with_capacity(512);
        if let Sink::Socket(_) = stream.sink {
            bytes.extend_from_slice(RESPONSE_HEAD.as_bytes());
            bytes.extend_from_slice(httpdate::fmt_http_date(SystemTime::now()).as_bytes());
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&opening.head);
            bytes.extend_from_slice(b"\r\n");
        }
        self.greet(&mut bytes, framing, &start, &opening);
        self.log_opened(&opening.info);
        if let Some(expires) = opening.expires {
            self.plan_expiry(self.token_of(index), expires, unix_millis());
        }
        let then = if start.after < joined {
            Then::Read(start.after)
        } else {
            Then::Feed
        };
        if let Some(stream) = self.stream_mut(index) {
            stream.gaps = start.gaps;
        }
        if then == Then::Feed {
            self.join(index);
        }
        self.set_backlog(index, Backlog::new(bytes, 0, then));
        self.pump(index);
        // revoked on the way here: the command that ends streams did not find this one
        if (self.edge.refuses)(&opening.info.who) {
            self.dismiss(index, EndReason::Revoked);
        }
    }

    fn greet(&mut self, bytes: &mut Vec<u8>, framing: Framing, start: &Start, opening: &Opening) {
        let cursor = self.shared.log.place(start.after).to_string();
        let retry = self.retry();
        match &start.lost {
            None => bytes.extend_from_slice(Frame::opening(Some(&cursor), retry).bytes(framing)),
            Some(lost) => {
                // the gap and the cursor that has passed it come in one block, so that no client has
                // one without the other
                bytes.extend_from_slice(Frame::opening(None, retry).bytes(framing));
                self.shared.hub.stats.gaps.of(lost.reason).add(1);
                let frame = Frame::control(Some(&cursor), "gap", &gap_data(lost));
                bytes.extend_from_slice(frame.bytes(framing));
            }
        }
        if opening.greeting == Greeting::Connected {
            let frame = Frame::control(None, "connected", &connected(&opening.info));
            bytes.extend_from_slice(frame.bytes(framing));
        }
    }

    /// A reconnection time with jitter, so that clients that were cut together come back apart.
    pub(super) fn retry(&self) -> u32 {
        open::retry(&self.shared.config.stream)
    }

    /// The stream's cursor is in its feed from now on; what comes is kept for it.
    pub(super) fn join(&mut self, index: u32) {
        let Some(feed) = self.stream(index).map(|stream| stream.feed) else {
            return;
        };
        let feed = self.feeds.get_mut(feed);
        let (position, cursor) = (feed.members.len() as u32, feed.log.end());
        let (joined_at, filtered) = (feed.log.frames_at(cursor), feed.filtered);
        feed.members.push(index);
        if let Some(stream) = self.stream_mut(index) {
            stream.position = position;
            stream.cursor = cursor;
            stream.counts.joined_at = joined_at;
            stream.counts.filtered_before = filtered;
        }
    }

    /// Takes the stream's cursor out of its feed; it reads from the event log instead.
    pub(super) fn leave(&mut self, index: u32) {
        let Some(stream) = self.stream_mut(index) else {
            return;
        };
        let (feed, position) = (stream.feed, stream.position);
        if position == NOT_JOINED {
            return;
        }
        stream.position = NOT_JOINED;
        let feed = self.feeds.get_mut(feed);
        feed.members.swap_remove(position as usize);
        feed.round.moved(position as usize);
        if let Some(moved) = feed.members.get(position as usize).copied()
            && let Some(stream) = self.stream_mut(moved)
        {
            stream.position = position;
        }
    }

    pub(super) fn set_backlog(&mut self, index: u32, backlog: Backlog) {
        self.clear_backlog(index);
        self.account_bytes(backlog.bytes.len(), 0);
        if let Some(stream) = self.stream_mut(index) {
            stream.backlog = Some(Box::new(backlog));
        }
    }

    pub(super) fn clear_backlog(&mut self, index: u32) {
        if let Some(backlog) = self
            .stream_mut(index)
            .and_then(|stream| stream.backlog.take())
        {
            self.account_bytes(0, backlog.bytes.len());
        }
    }

    /// Marks the feed finished if all its channels have ended by now.
    pub(super) fn check_finished(&mut self, feed: u32, through: EventId) {
        let selectors = self.feeds.get(feed).key.selectors.clone();
        if self.shared.log.finished(&selectors, through) {
            self.feeds.get_mut(feed).finished = Finished::Yes;
        }
    }
}

fn gap_data(lost: &Lost) -> GapData {
    GapData {
        reason: lost.reason,
        certain: lost.certain,
        after: lost.after,
        until: lost.until,
        channels: Vec::new(),
    }
}

fn connected(info: &StreamInfo) -> ConnectedData<'_> {
    ConnectedData {
        connection: &info.id,
        client: info.client.as_deref(),
        time: rfc3339(info.opened),
        channels: info.channels.iter().map(ToString::to_string).collect(),
    }
}
