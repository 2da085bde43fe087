//! Spans of deliveries: from an event's append until every stream of a feed was offered it.

use super::{Connection, Shard};
use crate::{
    hub::{inbox::Delivery, shard::feeds::Feed},
    traces::{Delivering, MAX_OPEN},
};

impl Shard {
    /// What is traced of an event. Nothing is looked at while traces are off.
    pub(super) fn traced(&self, delivery: &Delivery) -> Option<Delivering> {
        self.shared.traces.as_ref()?;
        Delivering::of(&delivery.entry, delivery.place, delivery.appended)
    }

    /// All streams of a feed were visited.
    pub(super) fn visited(&mut self, index: u32) {
        let feed = self.feeds.get_mut(index);
        let Some(traces) = &self.shared.traces else {
            return;
        };
        if feed.traced.is_empty() {
            return;
        }
        let mut done = Vec::new();
        feed.traced.retain_mut(|delivering| {
            let visited = delivering.visited();
            if visited {
                done.push(delivering.clone());
            }
            !visited
        });
        let end = feed.log.end();
        let behind = feed.members.iter().filter(|member| {
            matches!(&self.slots[**member as usize].connection, Connection::Stream(stream) if stream.cursor != end)
        });
        let waiting = behind.count();
        let streams = feed.members.len();
        for delivering in done {
            traces.delivered(delivering, streams, waiting);
        }
    }
}

impl Feed {
    /// An event that is traced was appended.
    pub fn trace(&mut self, delivering: &Delivering) {
        if self.traced.len() < MAX_OPEN {
            self.traced.push(delivering.after(self.round.visit_now()));
        }
    }
}
