//! History for a stream: pages of the event log, until its feed can take over.

use super::{
    Shard,
    feeds::Finished,
    poller::Token,
    retry::Retry,
    stream::{Backlog, ComingPage, Then},
};
use crate::{
    cursor::{Cursor, Place},
    event_log::{
        Completeness, Origin, Page, Read, ReadError, Standings, cursor_of,
        gap::{self, Certainty, Gap},
    },
    frame::GapData,
    hub::voice::Written,
    stats::LogOperation,
};
use futures_util::{
    StreamExt,
    future::{AbortHandle, Aborted, BoxFuture, abortable},
};
use std::{
    collections::HashMap,
    task::{Context, Poll},
};

/// Bytes of events that a stream reads ahead.
const PAGE_BYTES: usize = 64 * 1024;
const PAGE_EVENTS: usize = 1000;
/// Pages that are handled before delivery goes on.
const PAGES: usize = 32;

/// Streams that wait for a page of the log.
pub type Readers = HashMap<Token, AbortHandle>;

/// A page on its way to a stream, unless the stream goes first.
pub type Reading = BoxFuture<'static, (Token, Result<Result<Page, ReadError>, Aborted>)>;

impl Shard {
    /// The stream's next history. It joins its feed now, so that whatever comes while the page is read
    /// is kept; should the page not reach up to now, it leaves again.
    pub(super) fn read(&mut self, index: u32, from: Standings, failures: u32) {
        if !cursor_of(&from).same_epochs(&self.through) {
            return self.resume_again(index, from, failures);
        }
        self.join(index);
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let read = Read {
            selectors: feed.key.selectors.clone(),
            from: from.clone(),
            upto: feed.standing(&self.through),
            max_bytes: PAGE_BYTES,
            max_events: PAGE_EVENTS,
        };
        // a heartbeat that it got while it waited may not be sent yet
        let bytes = stream.backlog.as_ref();
        let bytes = bytes.map_or_else(Vec::new, |backlog| backlog.waiting().to_vec());
        let backlog = Backlog {
            bytes,
            ..Backlog::wait(from, failures)
        };
        self.set_backlog(index, backlog);
        let (token, log) = (self.token_of(index), self.shared.log.clone());
        let (page, handle) = abortable(async move { log.read(read).await });
        self.readers.insert(token, handle);
        self.reading
            .push(Box::pin(async move { (token, page.await) }));
    }

    /// The log began a new epoch before the stream had read the old one: it goes on as one that comes
    /// back with its cursor, as soon as the log knows what that means.
    fn resume_again(&mut self, index: u32, from: Standings, failures: u32) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let (framing, joined) = (feed.key.framing, feed.standing(&self.through));
        let cursor = Cursor::After(cursor_of(&from));
        let origin = Origin::Client(stream.opened);
        let start = self.shared.log.resume(&cursor, &joined, origin);
        let bytes = stream.backlog.as_ref();
        let mut bytes = bytes.map_or_else(Vec::new, |backlog| backlog.waiting().to_vec());
        if cursor_of(&start.from).is_past(&joined) {
            let backlog = Backlog {
                bytes,
                ..Backlog::wait(from, failures + 1)
            };
            self.set_backlog(index, backlog);
            let token = self.token_of(index);
            return self.retries.add(self.now, failures, Retry::Read(token));
        }
        if let Some(lost) = &start.lost {
            let cursor = cursor_of(&start.from).to_string();
            let key = &self.feeds.get(stream.feed).key;
            if let Some(gap) = self.lost_frame(key, lost, &cursor) {
                bytes.extend_from_slice(gap.bytes(framing));
            }
        }
        self.set_backlog(index, Backlog::read(bytes, 0, start.from));
        self.pump(index);
    }

    /// False when there may be more pages; live delivery gets in between.
    pub(super) fn poll_reading(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..PAGES {
            let Poll::Ready(Some((token, page))) = self.reading.poll_next_unpin(cx) else {
                return true;
            };
            let Ok(page) = page else {
                continue; // the stream is gone
            };
            self.readers.remove(&token);
            let Some(index) = self.slot_of(token) else {
                continue;
            };
            match page {
                Ok(page) => self.replay(index, &page),
                Err(error) => self.unread(index, &error),
            }
        }
        false
    }

    /// What was read for a stream that closes is read no further: a log that is slow has those to
    /// serve who are still there.
    pub(super) fn stop_reading(&mut self, token: Token) {
        if let Some(reader) = self.readers.remove(&token) {
            reader.abort();
        }
    }

    /// The stream waits, out of its feed, and tries again.
    fn unread(&mut self, index: u32, error: &ReadError) {
        self.leave(index);
        let token = self.token_of(index);
        let Some(backlog) = self
            .stream_mut(index)
            .and_then(|stream| stream.backlog.as_mut())
        else {
            return;
        };
        let failures = backlog.failures;
        backlog.failures += 1;
        self.retries.add(self.now, failures, Retry::Read(token));
        self.log_failed(LogOperation::Read, error);
    }

    fn replay(&mut self, index: u32, page: &Page) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let Some(backlog) = stream.backlog.as_ref() else {
            return;
        };
        if backlog.page == ComingPage::Stale {
            let from = backlog.from.clone();
            self.leave(index);
            return self.read(index, from, 0);
        }
        let (feed_index, joined) = (stream.feed, stream.has_joined());
        let key = self.feeds.get(feed_index).key.clone();
        let mut cursor = cursor_of(&backlog.from);
        let mut bytes = backlog.waiting().to_vec();
        if let Some(gap) = page.gap.clone().and_then(|gap| self.visible(gap)) {
            self.shared.hub.stats.gaps.of(gap.reason).add(1);
            if let Some(frame) = key.gap(None, &told(&gap)) {
                bytes.extend_from_slice(frame.bytes(key.framing));
            }
        }
        // what came for this stream alone while it waited for the page
        let (mut frames, mut filtered) = (backlog.frames, 0);
        for entry in &page.entries {
            let Some(before) = cursor.in_partition(entry.partition) else {
                continue; // of a partition that was not asked for
            };
            let place = Place {
                id: entry.id,
                ..before
            };
            cursor.set(place);
            if !self.may_be_seen(&entry.channel) {
                continue;
            }
            let (single, joined);
            let id = if cursor.len() == 1 {
                single = place.text();
                &single[..]
            } else {
                joined = cursor.to_string();
                joined.as_bytes()
            };
            match key.written(id, entry) {
                Written::Frame(frame) => {
                    bytes.extend_from_slice(frame.bytes(key.framing));
                    frames += 1;
                }
                Written::Filtered => filtered += 1,
                Written::Nothing => self.shared.hub.stats.unwritten.add(1),
            }
        }
        self.shared.hub.stats.filtered.add(filtered);
        if let Some(stream) = self.stream_mut(index) {
            stream.counts.rejected(filtered);
        }
        let backlog = if joined && page.completeness == Completeness::Complete {
            self.check_finished(feed_index, &cursor_of(&page.next));
            Backlog::new(bytes, frames, Then::Feed)
        } else {
            self.leave(index);
            Backlog::read(bytes, frames, page.next.clone())
        };
        self.set_backlog(index, backlog);
        self.pump(index);
    }

    /// A gap without the channels that are closed to subscribers; none if nothing else is missing.
    fn visible(&self, mut gap: Gap) -> Option<Gap> {
        let listed = gap.channels.len();
        gap.channels.retain(|channel| self.may_be_seen(channel));
        let all_closed = gap.channels.is_empty() && listed > 0 && listed < gap::MAX_CHANNELS;
        (!all_closed).then_some(gap)
    }

    /// Whether a stream has everything and its channels have ended.
    pub(super) fn has_ended(&self, index: u32) -> bool {
        self.stream(index).is_some_and(|stream| {
            let feed = self.feeds.get(stream.feed);
            stream.has_joined()
                && stream.backlog.is_none()
                && feed.finished == Finished::Yes
                && stream.cursor == feed.log.end()
        })
    }
}

fn told(gap: &Gap) -> GapData {
    GapData {
        reason: gap.reason,
        certain: gap.certainty == Certainty::Certain,
        after: gap.after.clone(),
        until: gap.until.clone(),
        channels: gap.channels.iter().map(ToString::to_string).collect(),
    }
}
