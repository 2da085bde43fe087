//! Streams that somebody ends.

use super::{Connection, Shard, stream::Stream};
use crate::hub::{open::EndReason, select::StreamSelector};

impl Shard {
    /// Ends the streams that are selected, and says how many. Who takes bytes is told why; who does
    /// not, or is in the middle of an event, is cut.
    pub(super) fn end_streams(&mut self, which: &StreamSelector, reason: EndReason) -> u64 {
        let selected = self.selected(|stream| which.matches(&stream.info));
        for index in &selected {
            self.dismiss(*index, reason);
        }
        selected.len() as u64
    }

    /// Ends the streams whose credential is refused by now, and says how many.
    pub(super) fn end_refused(&mut self) -> u64 {
        let selected = self.selected(|stream| (self.edge.refuses)(&stream.info));
        for index in &selected {
            self.dismiss(*index, EndReason::Revoked);
        }
        selected.len() as u64
    }

    pub(super) fn dismiss(&mut self, index: u32, reason: EndReason) {
        self.finish(index, reason.into());
        // its socket does not take even that: it must not live on until it does
        self.close(index, reason.into());
    }

    /// Streams that are not on their way out already.
    fn selected(&self, which: impl Fn(&Stream) -> bool) -> Vec<u32> {
        let concerns = |stream: &Stream| !stream.is_closing() && which(stream);
        self.slots
            .iter()
            .filter_map(|(index, slot)| match &slot.connection {
                Connection::Stream(stream) if concerns(stream) => Some(index as u32),
                _ => None,
            })
            .collect()
    }
}
