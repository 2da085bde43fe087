//! Where a log's events come out.

use super::Entry;
use crate::{
    channel::ChannelName,
    cursor::{Epoch, Partition, Place},
    frame::GapReason,
};
use std::sync::Arc;

/// Where the log's events come out: of each partition in order of ids, each once. Calls for one
/// partition come one after another, those for two may come at once. They may be made while the log
/// is locked, so they only queue.
pub trait Tail: Send + Sync {
    /// A partition is in this epoch from now on, and all that the log has of it up to this id counts
    /// as delivered. It is the first that is said of a partition.
    ///
    /// Where an epoch follows another one, the id is the fork at which the other ended, and all up to
    /// it was delivered before. Streams may have seen later events of the ended epoch; what they then
    /// miss of it is told by [`Tail::lost`], after this.
    fn epoch(&self, at: Place);

    /// `entries` are of one publish, at least one, of one channel; the last one's id is the head of
    /// its partition. A log that delivers only what is attached names the predecessor of each, and
    /// delivers nothing past an event that it has missed before it has read that one.
    fn deliver(&self, epoch: Epoch, entries: &[Arc<Entry>]);

    /// Everything attached up to here was delivered: what a log says that does not deliver the events
    /// of channels to which nobody is attached, so that cursors of quiet streams move on.
    fn advance(&self, head: Place);

    /// Events are missing that attached streams should have got; to be told between those before and
    /// those after.
    fn lost(&self, loss: Loss);

    /// Events that were delivered were purged: what waits for a stream, or is being read for one, is not
    /// to be sent. Whoever missed some of it finds a gap in the log.
    fn purged(&self, purge: Purge);

    /// How the log is. Streams that asked for it are told of a change.
    fn condition(&self, condition: Condition);
}

/// Events that the log lost under its attached streams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    pub reason: GapReason,
    /// Whether something is missing for certain, or nobody can tell.
    pub certain: bool,
    pub partition: Partition,
    pub whose: Whose,
    /// What is missing came after this place, perhaps one of an ended epoch …
    pub after: Option<Place>,
    /// … and not after this one.
    pub until: Option<Place>,
}

/// What was purged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Purge {
    pub partition: Partition,
    pub whose: Whose,
}

/// Whose events are concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whose {
    /// Of any channel of the partition.
    Any,
    /// Of these channels.
    These(Vec<ChannelName>),
}

/// How the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    #[default]
    Healthy,
    /// It does not answer, or not all of it: events may come late.
    Degraded,
}
