//! Opening a stream: its feed, its place, its first bytes.

use super::{
    Connection, Head, Shard,
    feeds::{Attachment, Finished},
    held::Until,
    poller::READ_WRITE,
    retry::Retry,
    stream::{Backlog, Counts, Flow, Idle, NOT_JOINED, Stream, Then},
};
use crate::{
    channel::Selector,
    clock::{rfc3339, unix_millis},
    cursor::{Cursor, Places},
    event_log::{
        Condition, Origin, ReadError, cursor_of,
        resume::{Lost, Start},
    },
    frame::{ConnectedData, Frame, Framing, GapData},
    hub::{
        feed::{ByteLog, FeedKey},
        open::{self, CloseReason, EndReason, Greeting, Life, Opening, StreamInfo},
        sink::{Pipe, Sink},
    },
    stats::LogOperation,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use relay_config::{Charset, Overflow};
use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::SystemTime,
};

/// Whether a stream has the head of its response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FirstBytes {
    Due,
    /// It waited with it.
    Sent,
}

/// A feed on its way into the event log: its index, its number and how often that failed before.
pub type Attaching = BoxFuture<'static, Attached>;

pub struct Attached {
    feed: u32,
    number: u64,
    failures: u32,
    selectors: Arc<[Selector]>,
    outcome: Result<Places, ReadError>,
}

/// Head of the response of a stream over HTTP/1.1, up to the date.
const RESPONSE_HEAD: &str = "\r\ncache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\nx-content-type-options: nosniff\r\n\
    cross-origin-resource-policy: same-origin\r\n\
    transfer-encoding: chunked\r\ndate: ";

/// The head of the answer that opens a stream, for whoever writes it to a connection.
pub fn stream_head(opening: &Opening) -> Vec<u8> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: ",
        content_type(opening.charset).as_bytes(),
        RESPONSE_HEAD.as_bytes(),
        date.as_bytes(),
        b"\r\n",
        &opening.head,
        b"\r\n",
    ]
    .concat()
}

/// The type of a stream's body.
pub fn content_type(charset: Charset) -> &'static str {
    match charset {
        Charset::Named => "text/event-stream; charset=utf-8",
        Charset::Unnamed => "text/event-stream",
    }
}

impl Shard {
    /// The connection in a slot, whose head was a subscribe, becomes a stream.
    pub(super) fn open_socket(&mut self, index: u32, opening: Opening) {
        let generation = self.slots[index as usize].generation;
        let slot = self.slots.remove(index as usize);
        let Connection::Head(head) = slot.connection else {
            return;
        };
        let Head { socket, .. } = *head;
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
        self.count_in();
        self.shared.hub.carried.fetch_add(1, Ordering::Relaxed);
        let stream = self.new_stream(Sink::Body(pipe.clone()), &opening);
        let (index, token) = self.insert(Connection::Stream(stream));
        pipe.belongs_to(token);
        self.start(index, opening);
    }

    fn new_stream(&mut self, sink: Sink, opening: &Opening) -> Stream {
        let feed = self.feed_for(&opening.key);
        self.feeds.get_mut(feed).users += 1;
        if let Some(voice) = &opening.info.voice {
            voice.dialect.census.opened();
        }
        // what streams of a feed have in common is kept once
        let key = &self.feeds.get(feed).key;
        let info = StreamInfo {
            channels: key.selectors.clone(),
            filter: key.filter.clone(),
            voice: key.voice.clone(),
            ..opening.info.clone()
        };
        Stream {
            sink,
            feed,
            position: NOT_JOINED,
            cursor: 0,
            flow: Flow::Open,
            heartbeat: opening.heartbeat,
            idle: Idle::default(),
            backlog: None,
            notices: opening.notices,
            told: Condition::Healthy,
            counts: Counts::default(),
            opened: self.now,
            expires: opening.expires,
            info: Arc::new(info),
            _permit: opening.permit.clone(),
        }
    }

    /// The feed of a key; a new one is being attached to the log, or is already.
    fn feed_for(&mut self, key: &FeedKey) -> u32 {
        if let Some(index) = self.feeds.find(key) {
            return index;
        }
        let partitions = self.shared.log.partitioning().in_use(&key.selectors);
        let overflow = self.overflow_of(key);
        if let Some(voice) = &key.voice {
            // before it is attached, as what it wants
            self.shared.hub.voices.fetch_add(1, Ordering::Relaxed);
            self.ticker.also_beat(voice.dialect.beat);
        }
        let (index, wanted) = self.feeds.add(key.clone(), partitions, overflow);
        // before it is attached: what comes from then on must find the way here
        self.shared.hub.want(&wanted, self.index);
        self.attach(index, 0);
        index
    }

    /// Asks the log for what a feed wants. The embedded one answers at once.
    fn attach(&mut self, feed: u32, failures: u32) {
        let (number, selectors) = {
            let feed = self.feeds.get(feed);
            (feed.number, feed.key.selectors.clone())
        };
        let log = self.shared.log.clone();
        let mut attaching: Attaching = Box::pin(async move {
            Attached {
                feed,
                number,
                failures,
                outcome: log.attach(selectors.clone()).await,
                selectors,
            }
        });
        match (&mut attaching).now_or_never() {
            Some(attached) => self.attached(attached),
            None => self.attaching.push(attaching),
        }
    }

    /// A feed that is not attached yet is tried again.
    pub(super) fn attach_again(&mut self, feed: u32, number: u64, failures: u32) {
        if self.feeds.same(feed, number).is_some() {
            self.attach(feed, failures);
        }
    }

    pub(super) fn poll_attaching(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(attached)) = self.attaching.poll_next_unpin(cx) {
            self.attached(attached);
        }
    }

    fn attached(&mut self, attached: Attached) {
        let Attached {
            feed: index,
            number,
            failures,
            selectors,
            outcome,
        } = attached;
        let feed = self.feeds.same(index, number);
        let failed = match (outcome, feed) {
            (Ok(since), Some(feed))
                if since.partitions() == feed.partitions && since.same_epochs(&self.through) =>
            {
                feed.log = ByteLog::after(since.clone());
                feed.attachment = Attachment::Attached;
                // its channels may have ended since the subscribe was answered
                self.check_finished(index, &since);
                return self.begin_attached(number);
            }
            (Ok(_), feed) => {
                self.shared.log.detach(&selectors);
                // of an epoch that has not come out of the inbox yet
                feed.map(|_| ReadError::EpochChanged)
            }
            (Err(error), feed) => feed.map(|_| error),
        };
        // who wanted it may be gone meanwhile
        if let Some(error) = failed {
            self.log_failed(LogOperation::Attach, &error);
            let retry = Retry::Attach {
                feed: index,
                number,
                failures: failures + 1,
            };
            self.retries.add(self.now, failures, retry);
        }
    }

    /// What its route says, or its channels agree on; `disconnect`, which loses nothing, when they do
    /// not.
    pub(super) fn overflow_of(&self, key: &FeedKey) -> Overflow {
        let route = key.voice.as_ref().and_then(|voice| voice.dialect.overflow);
        if let Some(overflow) = route {
            return overflow;
        }
        let mut policies = Selector::asked(&key.selectors)
            .map(|selector| self.shared.config.effective(&selector.to_string()).overflow);
        let first = policies.next().unwrap_or(Overflow::Disconnect);
        if policies.all(|policy| policy == first) {
            first
        } else {
            Overflow::Disconnect
        }
    }

    /// The stream begins, or waits for what it needs to begin.
    fn start(&mut self, index: u32, opening: Opening) {
        let token = self.token_of(index);
        self.by_number.insert(opening.info.number, index);
        self.log_opened(&opening.info);
        (self.edge.watch)(&opening.info, Life::Opened);
        if let Some(expires) = opening.expires {
            self.plan_expiry(token, expires, unix_millis());
        }
        self.begin_or_hold(index, opening);
        // revoked on the way here: the command that ends streams did not find this one
        if self.slot_of(token) == Some(index)
            && let Some(stream) = self.stream(index)
            && (self.edge.refuses)(&stream.info)
        {
            self.dismiss(index, EndReason::Revoked);
        }
    }

    fn begin_or_hold(&mut self, index: u32, opening: Opening) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        if feed.attachment == Attachment::Pending {
            let until = Until::Attached(feed.number);
            return self.hold(index, opening, until);
        }
        let joined = feed.standing(&self.through);
        if self.is_ahead(&opening, &joined) {
            return self.hold(index, opening, Until::CaughtUp);
        }
        self.begin(index, &opening, FirstBytes::Due);
    }

    /// Whether a client has already seen, through another shard or another replica, what this one has
    /// not handed to its feeds yet. Its stream begins when the shard is as far, or it would get those
    /// events twice.
    pub(super) fn is_ahead(&self, opening: &Opening, joined: &Places) -> bool {
        let Cursor::After(places) = &opening.cursor else {
            return false;
        };
        let same_epochs = places.within(joined.partitions()).same_epochs(joined);
        if same_epochs && !places.is_past(joined) {
            return false;
        }
        let heads = self.shared.log.heads().within(joined.partitions());
        if !heads.same_epochs(joined) {
            return true; // an epoch has begun that is still in the inbox
        }
        let mut known = joined.clone();
        heads.iter().for_each(|head| known.advance(head));
        let origin = Origin::Client(opening.asked);
        let start = self.shared.log.resume(&opening.cursor, &known, origin);
        cursor_of(&start.from).is_past(joined)
    }

    /// The first bytes, and where the stream goes on from.
    pub(super) fn begin(&mut self, index: u32, opening: &Opening, first: FirstBytes) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let (framing, joined) = (feed.key.framing, feed.standing(&self.through));
        let origin = Origin::Client(opening.asked);
        let mut start = self.shared.log.resume(&opening.cursor, &joined, origin);
        for standing in &mut start.from {
            // nothing came of what the client seemed to know
            let at = joined.id(standing.after.partition);
            standing.after.id = standing.after.id.min(at);
        }
        self.shared.hub.stats.opened.of(start.verdict).add(1);
        let mut bytes = match &stream.backlog {
            // what it got while it waited is not sent yet
            Some(backlog) => backlog.waiting().to_vec(),
            None => Vec::with_capacity(512),
        };
        if first == FirstBytes::Due {
            response_head(&mut bytes, &stream.sink, opening);
        }
        match &opening.key.voice {
            None => self.greet(&mut bytes, framing, &start, opening),
            Some(voice) => self.greet_as(&mut bytes, voice, &start, opening),
        }
        if joined.is_past(&cursor_of(&start.from)) {
            self.set_backlog(index, Backlog::read(bytes, 0, start.from));
        } else {
            self.join(index);
            self.set_backlog(index, Backlog::new(bytes, 0, Then::Feed));
        }
        self.pump(index);
    }

    fn greet(&mut self, bytes: &mut Vec<u8>, framing: Framing, start: &Start, opening: &Opening) {
        let cursor = cursor_of(&start.from).to_string();
        let retry = self.retry();
        match &start.lost {
            None => bytes.extend_from_slice(Frame::opening(Some(&cursor), retry).bytes(framing)),
            Some(lost) => {
                // the gap and the cursor that has passed it come in one block, so that no client has
                // one without the other
                bytes.extend_from_slice(Frame::opening(None, retry).bytes(framing));
                if let Some(gap) = self.lost_frame(&opening.key, lost, &cursor) {
                    bytes.extend_from_slice(gap.bytes(framing));
                }
            }
        }
        if opening.greeting == Greeting::Connected {
            let frame = Frame::control(
                None,
                "connected",
                &connected(&opening.info.id(), &opening.info),
            );
            bytes.extend_from_slice(frame.bytes(framing));
        }
    }

    /// The gap that a cursor tells, and the cursor after it; `None` where streams are not told.
    pub(super) fn lost_frame(&self, key: &FeedKey, lost: &Lost, cursor: &str) -> Option<Frame> {
        self.shared.hub.stats.gaps.of(lost.reason).add(1);
        key.gap(Some(cursor), &gap_data(lost))
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
        if feed.log.is_empty() {
            // what came while nobody was here is not in it either
            feed.log.move_to(feed.standing(&self.through));
        }
        let (position, cursor) = (feed.members.len() as u32, feed.log.end());
        let (frames, filtered) = (feed.log.frames_at(cursor), feed.filtered);
        feed.members.push(index);
        if let Some(stream) = self.stream_mut(index) {
            stream.position = position;
            stream.cursor = cursor;
            stream.counts.join(frames, filtered);
        }
    }

    /// Takes the stream's cursor out of its feed; it reads from the event log instead.
    pub(super) fn leave(&mut self, index: u32) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let (feed_index, position, cursor) = (stream.feed, stream.position, stream.cursor);
        if position == NOT_JOINED {
            return;
        }
        let feed = self.feeds.get_mut(feed_index);
        let (frames, filtered) = (feed.log.frames_at(cursor), feed.filtered);
        feed.members.swap_remove(position as usize);
        feed.round.moved(position as usize);
        let moved = feed.members.get(position as usize).copied();
        if let Some(stream) = self.stream_mut(index) {
            stream.position = NOT_JOINED;
            stream.counts.leave(frames, filtered);
        }
        if let Some(stream) = moved.and_then(|moved| self.stream_mut(moved)) {
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
    pub(super) fn check_finished(&mut self, feed: u32, through: &Places) {
        let selectors: Vec<Selector> = Selector::asked(&self.feeds.get(feed).key.selectors)
            .cloned()
            .collect();
        if self.shared.log.finished(&selectors, through) {
            self.feeds.get_mut(feed).finished = Finished::Yes;
        }
    }
}

/// What comes before the events on a socket that the shard owns.
pub(super) fn response_head(bytes: &mut Vec<u8>, sink: &Sink, opening: &Opening) {
    if let Sink::Socket(_) = sink {
        bytes.extend_from_slice(&stream_head(opening));
    }
}

fn gap_data(lost: &Lost) -> GapData {
    GapData {
        reason: lost.reason,
        certain: lost.certain,
        after: lost.after.clone(),
        until: lost.until.clone(),
        channels: Vec::new(),
    }
}

fn connected<'a>(id: &'a str, info: &'a StreamInfo) -> ConnectedData<'a> {
    ConnectedData {
        connection: id,
        client: info.client.as_deref(),
        time: rfc3339(info.opened),
        channels: info.asked().map(ToString::to_string).collect(),
    }
}
