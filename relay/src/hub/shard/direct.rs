//! An event for one stream alone: it has no id and is not kept, but comes in order with what waits.

use super::{
    Shard,
    stream::{Backlog, Tail, Then},
};
use crate::hub::{direct_event::DirectEvent, open::Directed};
use relay_config::Overflow;

impl Shard {
    /// Hands an event to the stream with this number, behind all that waits for it.
    pub(super) fn direct(&mut self, number: u64, event: &DirectEvent) -> Directed {
        let Some(index) = self.by_number.get(&number).copied() else {
            return Directed::Gone;
        };
        let Some(stream) = self.stream(index).filter(|stream| !stream.is_closing()) else {
            return Directed::Gone;
        };
        let key = &self.feeds.get(stream.feed).key;
        let Some(frame) = key.direct(event) else {
            // its dialect has nothing to say of it, as of such an event of a channel
            self.shared.hub.stats.unwritten.add(1);
            return Directed::Delivered;
        };
        let bytes = frame.bytes(key.framing);
        let waiting = self.waiting(stream);
        // as for any event: one may always wait, however large
        let max = self.shared.config.stream.max_queue_bytes.get();
        if waiting > 0 && waiting + bytes.len() as u64 > max {
            return Directed::Slow;
        }
        let token = self.token_of(index);
        self.queue_behind_all(index, bytes);
        if self
            .stream(index)
            .is_some_and(|stream| !stream.flow.is_blocked())
        {
            self.pump(index);
        }
        match self.slot_of(token) {
            Some(_) => Directed::Delivered,
            None => Directed::Gone,
        }
    }

    fn queue_behind_all(&mut self, index: u32, bytes: &[u8]) {
        // what was dropped is told before what comes now
        self.tell_dropped(index);
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed_index = stream.feed;
        let reads = matches!(
            stream.backlog.as_ref().map(|backlog| backlog.then),
            Some(Then::Read | Then::Wait | Then::Hold)
        );
        let feed = self.feeds.get(feed_index);
        let behind = stream.has_joined() && stream.cursor < feed.log.end();
        if !reads && behind {
            // what its feed has for it goes first, and may still be replaced by what is newer
            if feed.overflow != Overflow::Coalesce || !self.coalesce(index) {
                self.copy_from_feed(index);
            }
            self.mark_dirty(feed_index); // for what nobody needs any more
        }
        self.account_bytes(bytes.len(), 0);
        if let Some(stream) = self.stream_mut(index) {
            let backlog = stream
                .backlog
                .get_or_insert_with(|| Box::new(Backlog::new(Vec::new(), 0, Then::Feed)));
            backlog.append(bytes);
        }
    }

    /// Moves what the feed has for a stream into its backlog.
    fn copy_from_feed(&mut self, index: u32) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        let feed = self.feeds.get(stream.feed);
        let (end, from) = (feed.log.end(), stream.cursor);
        let passed = feed.log.frames_at(end) - feed.log.frames_at(from);
        let (mut bytes, mut frames) = match &stream.backlog {
            Some(backlog) => (backlog.waiting().to_vec(), backlog.frames),
            None => (Vec::new(), 0),
        };
        bytes.extend_from_slice(feed.log.from(from));
        frames += passed;
        if let Some(stream) = self.stream_mut(index) {
            stream.cursor = end;
            // what the feed counted on the way is counted by the backlog
            stream.counts.pass(passed);
        }
        self.set_backlog(index, Backlog::new(bytes, frames, Then::Feed));
    }
}

impl Backlog {
    /// A whole frame that nothing replaces, behind all others.
    fn append(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.frames += 1;
        let end = self.bytes.len();
        match &mut self.tail {
            Tail::Frames { ends, .. } => ends.push((end, None)),
            // a gap that has something behind it cannot become wider
            Tail::Gap { .. } | Tail::Dropping { .. } => self.tail = Tail::Fixed,
            Tail::Fixed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_never_replaced_nor_lost_behind_a_wider_gap() {
        let mut keyed = Backlog {
            tail: Tail::Frames {
                from: 0,
                ends: vec![(3, Some("k".into()))],
            },
            ..Backlog::new(b"old".to_vec(), 1, Then::Feed)
        };
        keyed.append(b"new");
        let (_, frames) = keyed.unsent();
        assert_eq!(frames[1], (&b"new"[..], None));
        let mut gap = Backlog {
            tail: Tail::Gap {
                from: 0,
                after: crate::cursor::Places::default(),
            },
            ..Backlog::new(b"gap".to_vec(), 0, Then::Feed)
        };
        gap.append(b"new");
        assert_eq!((gap.unsent_gap(), gap.waiting()), (None, &b"gapnew"[..]));
    }
}
