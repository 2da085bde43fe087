//! History for a stream: pages of the event log, until its feed can take over.

use super::{
    Shard,
    feeds::Finished,
    poller::Token,
    stream::{Backlog, NOT_JOINED, Then},
};
use crate::{
    cursor::{EventId, Place},
    event::Ending,
    event_log::{
        Completeness, Gaps, Page, Read, ReadError,
        gap::{Certainty, Gap},
    },
    frame::{Frame, GapData, GapReason},
    hub::open::CloseReason,
};
use futures_util::{StreamExt, future::BoxFuture};
use std::task::{Context, Poll};

/// Bytes of events that a stream reads ahead.
const PAGE_BYTES: usize = 64 * 1024;
const PAGE_EVENTS: usize = 1000;

/// A page on its way to a stream.
pub type Reading = BoxFuture<'static, (Token, Result<Page, ReadError>)>;

impl Shard {
    /// The stream's next history, after an id. It joins its feed now, so that whatever comes while
    /// the page is read is kept; should the page not reach up to now, it leaves again.
    pub(super) fn read(&mut self, index: u32, after: EventId) {
        self.join(index);
        let Some(stream) = self.stream_mut(index) else {
            return;
        };
        let gaps = std::mem::replace(&mut stream.gaps, Gaps::Report);
        let feed = self.feeds.get(stream_feed(self, index));
        let read = Read {
            selectors: feed.key.selectors.clone(),
            after,
            upto: feed.since.max(self.through),
            max_bytes: PAGE_BYTES,
            max_events: PAGE_EVENTS,
            gaps,
        };
        self.set_backlog(
            index,
            Backlog {
                bytes: Vec::new(),
                sent: 0,
                frames: 0,
                then: Then::Wait,
            },
        );
        let (token, log) = (self.token_of(index), self.shared.log.clone());
        self.reading
            .push(Box::pin(async move { (token, log.read(read).await) }));
    }

    pub(super) fn poll_reading(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some((token, page))) = self.reading.poll_next_unpin(cx) {
            let Some(index) = self.slot_of(token) else {
                continue;
            };
            match page {
                Ok(page) => self.replay(index, &page),
                Err(error) => {
                    tracing::error!(event = "log.failed", %error, "a stream's history could not be read");
                    self.close(index, CloseReason::Log);
                }
            }
        }
    }

    fn replay(&mut self, index: u32, page: &Page) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed_index = stream.feed;
        let key = self.feeds.get(feed_index).key.clone();
        let now = self.shared.log.place(page.through);
        let mut bytes = Vec::new();
        if let Some(gap) = &page.gap {
            self.shared.hub.stats.gaps.of(GapReason::Trimmed).add(1);
            bytes.extend_from_slice(
                Frame::control(None, "gap", &trimmed(gap, now)).bytes(key.framing),
            );
        }
        let (mut frames, mut filtered) = (0, 0);
        for entry in &page.entries {
            let place = Place {
                id: entry.id,
                ..now
            };
            if key.filter.accepts(&entry.event.attributes) {
                bytes.extend_from_slice(
                    Frame::event(place, entry.channel.as_str(), &entry.event).bytes(key.framing),
                );
                frames += 1;
            } else {
                filtered += 1;
                if entry.event.ending == Ending::Ends {
                    bytes.extend_from_slice(
                        Frame::end(place, entry.channel.as_str()).bytes(key.framing),
                    );
                }
            }
        }
        self.shared.hub.stats.filtered.add(filtered);
        if let Some(stream) = self.stream_mut(index) {
            stream.counts.filtered += filtered;
        }
        let then = match page.completeness {
            Completeness::Complete => {
                self.check_finished(feed_index, page.through);
                Then::Feed
            }
            Completeness::More => {
                self.leave(index);
                Then::Read(page.through)
            }
        };
        self.set_backlog(
            index,
            Backlog {
                bytes,
                sent: 0,
                frames,
                then,
            },
        );
        self.pump(index);
    }

    /// Whether a stream has everything and its channels have ended.
    pub(super) fn has_ended(&self, index: u32) -> bool {
        self.stream(index).is_some_and(|stream| {
            let feed = self.feeds.get(stream.feed);
            stream.position != NOT_JOINED
                && feed.finished == Finished::Yes
                && stream.cursor == feed.log.end()
        })
    }
}

fn stream_feed(shard: &Shard, index: u32) -> u32 {
    shard.stream(index).map_or(0, |stream| stream.feed)
}

fn trimmed(gap: &Gap, now: Place) -> GapData {
    GapData {
        reason: GapReason::Trimmed,
        certain: gap.certainty == Certainty::Certain,
        after: Some(Place {
            id: gap.after,
            ..now
        }),
        until: Some(Place {
            id: gap.until,
            ..now
        }),
        channels: gap.channels.iter().map(ToString::to_string).collect(),
    }
}
