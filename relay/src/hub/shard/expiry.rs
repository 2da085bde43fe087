//! Streams whose grant ends: they are told before, and closed slightly early, so that what a stream
//! gives is never more than its grant allowed. With jitter, so that tokens of one moment do not come
//! back in one moment.

use super::{Shard, poller::Token};
use crate::{clock::unix_millis, cursor::UnixMillis, hub::open::CloseReason};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

/// How long before its end a stream is told, at most.
const NOTICE: Duration = Duration::from_secs(30);
/// How much early a stream is closed, at most.
const EARLY: Duration = Duration::from_secs(5);
/// A grant that ends later than this is looked at again then.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// What happens to a stream at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    /// Too far away to be planned.
    Look,
    Tell,
    Close,
}

/// Streams by what happens to them next.
#[derive(Default)]
pub struct Expiries(BinaryHeap<Reverse<(Instant, Token, Step, UnixMillis)>>);

/// When a stream is told and when it is closed, given how long its grant still holds and a random
/// share: both before the end, the notice first.
fn plan(left: Duration, share: f64) -> (Duration, Duration) {
    let close = left - (left / 20).min(EARLY).mul_f64(share.clamp(0.0, 1.0));
    (close - (left / 10).min(NOTICE).min(close), close)
}

impl Shard {
    pub(super) fn plan_expiry(&mut self, token: Token, expires: UnixMillis, now: UnixMillis) {
        let left = Duration::from_millis(expires.saturating_sub(now));
        let mut add = |at: Duration, step| {
            self.expiries
                .0
                .push(Reverse((self.now + at, token, step, expires)));
        };
        if left > FAR {
            return add(FAR, Step::Look);
        }
        let (tell, close) = plan(left, rand::random());
        add(tell, Step::Tell);
        add(close, Step::Close);
    }

    /// Does what is due. A stream that is gone meanwhile is known by its token.
    pub(super) fn expire_streams(&mut self) {
        while let Some(Reverse((at, token, step, expires))) = self.expiries.0.peek().copied()
            && at <= self.now
        {
            self.expiries.0.pop();
            let Some(index) = self.slot_of(token) else {
                continue;
            };
            let present = self.stream(index).and_then(|stream| stream.expires);
            if present != Some(expires) {
                // extended, or the configuration says another time since: the notice has no meaning any more, and the end is planned anew
                if let (Step::Look | Step::Close, Some(expires)) = (step, present) {
                    self.plan_expiry(token, expires, unix_millis());
                }
                continue;
            }
            match step {
                Step::Look => self.plan_expiry(token, expires, unix_millis()),
                Step::Tell => self.tell_expiry(index, expires),
                Step::Close => self.finish(index, CloseReason::Expired),
            }
        }
    }

    /// A stream that is busy or behind is not told, nor one of a route that says nothing of it: its end
    /// comes all the same.
    fn tell_expiry(&mut self, index: u32, expires: UnixMillis) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        if !stream.is_at_rest(feed.log.end()) {
            return;
        }
        let framing = feed.key.framing;
        if let Some(frame) = feed.key.expiring(expires, unix_millis()) {
            self.whisper(index, frame.bytes(framing));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_comes_before_the_close_and_both_before_the_end() {
        for left in [0, 1, 10, 1000, 60_000, 3_600_000] {
            for share in [0.0, 0.5, 1.0] {
                let left = Duration::from_millis(left);
                let (tell, close) = plan(left, share);
                assert!(tell <= close && close <= left, "{left:?} {share}");
            }
        }
        let (tell, close) = plan(Duration::from_secs(3600), 1.0);
        assert_eq!((tell.as_secs(), close.as_secs()), (3565, 3595));
    }
}
