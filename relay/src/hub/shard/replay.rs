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
        gap::{self, Certainty, Gap},
    },
    frame::{Frame, GapData, GapReason},
    hub::open::CloseReason,
};
use futures_util::{StreamExt, future::BoxFuture};
use std::task::{Context, Poll};

/// Bytes of events that a stream reads ahead.
const PAGE_BYTES: usize = 64 * 1024;
const PAGE_EVENTS: usize = 1000;
/// Pages that are handled before delivery goes on.
const PAGES: usize = 32;

/// A page on its way to a stream.
pub type Reading = BoxFuture<'static, (Token, Result<Page, ReadError>)>;

impl Shard {
    /// The stream's next history, after an id. It joins its feed now, so that whatever comes while
    /// the page is read is kept; should the page not reach up to now, it leaves again.
    pub(super) fn read(&mut self, index: u32, after: EventId) {
        self.join(index);
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let read = Read {
            selectors: feed.key.selectors.clone(),
            after,
            upto: feed.since.max(self.through),
            max_bytes: PAGE_BYTES,
            max_events: PAGE_EVENTS,
            gaps: stream.gaps,
        };
        self.set_backlog(index, Backlog::new(Vec::new(), 0, Then::Wait));
        let (token, log) = (self.token_of(index), self.shared.log.clone());
        self.reading
            .push(Box::pin(async move { (token, log.read(read).await) }));
    }

    /// False when there may be more pages; live delivery gets in between.
    pub(super) fn poll_reading(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..PAGES {
            let Poll::Ready(Some((token, page))) = self.reading.poll_next_unpin(cx) else {
                return true;
            };
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
        false
    }

    fn replay(&mut self, index: u32, page: &Page) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed_index = stream.feed;
        let key = self.feeds.get(feed_index).key.clone();
        let now = self.shared.log.place(page.through);
        // what came for this stream alone while it waited for the page
        let (mut bytes, directed) = self
            .stream(index)
            .and_then(|stream| stream.backlog.as_ref())
            .map_or((Vec::new(), 0), |waiting| {
                (waiting.waiting().to_vec(), waiting.frames)
            });
        if let Some(gap) = page.gap.clone().and_then(|gap| self.visible(gap)) {
            self.shared.hub.stats.gaps.of(GapReason::Trimmed).add(1);
            bytes.extend_from_slice(
                Frame::control(None, "gap", &trimmed(&gap, now)).bytes(key.framing),
            );
        }
        let (mut frames, mut filtered) = (directed, 0);
        for entry in &page.entries {
            if !self.may_be_seen(&entry.channel) {
                continue;
            }
            let ends = entry.event.ending == Ending::Ends;
            let place = Place {
                id: entry.id,
                ..now
            };
            if key.accepts(entry) {
                bytes.extend_from_slice(
                    Frame::event(place, entry.channel.as_str(), &entry.event).bytes(key.framing),
                );
                frames += 1;
            } else if ends {
                let end = Frame::end(place, entry.channel.as_str());
                bytes.extend_from_slice(end.bytes(key.framing));
                frames += 1;
            } else {
                filtered += 1;
            }
        }
        self.shared.hub.stats.filtered.add(filtered);
        if let Some(stream) = self.stream_mut(index) {
            stream.counts.filtered += filtered;
            // what one page told, the next one does not tell again
            stream.gaps = match (&page.gap, stream.gaps) {
                (Some(gap), _) => Gaps::ReportAfter(gap.until),
                (None, Gaps::Ignore) => Gaps::Report,
                (None, gaps) => gaps,
            };
        }
        let joined = self
            .stream(index)
            .is_some_and(|stream| stream.position != NOT_JOINED);
        let then = match page.completeness {
            Completeness::Complete if joined => {
                self.check_finished(feed_index, page.through);
                Then::Feed
            }
            Completeness::Complete | Completeness::More => {
                self.leave(index);
                Then::Read(page.through)
            }
        };
        self.set_backlog(index, Backlog::new(bytes, frames, then));
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
            stream.position != NOT_JOINED
                && stream.backlog.is_none()
                && feed.finished == Finished::Yes
                && stream.cursor == feed.log.end()
        })
    }
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
