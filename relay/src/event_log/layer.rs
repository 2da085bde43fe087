//! A log over another one: it does some things in its own way, and leaves all others to that one.

use super::{
    AppendError, Appended, ChannelInfo, Earlier, EventLog, Fence, LogTotals, Origin, Page,
    Publication, Purged, Read, ReadError, health::Health, in_order::Outcome, resume::Start,
};
use crate::{
    channel::{ChannelName, Selector},
    cursor::{Cursor, Places},
    partition::Partitioning,
};
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};

/// An [`EventLog`] over another one. What a layer may do in its own way is a method here, with the contract
/// that it has there; what is none goes to the log below.
pub trait Layer: Send + Sync + 'static {
    /// The log below.
    fn below(&self) -> &dyn EventLog;

    fn purge(&self, channel: &ChannelName) -> BoxFuture<'_, Result<Purged, AppendError>> {
        self.below().purge(channel)
    }

    fn attach(&self, selectors: Arc<[Selector]>) -> BoxFuture<'_, Result<Places, ReadError>> {
        self.below().attach(selectors)
    }

    fn detach(&self, selectors: &[Selector]) {
        self.below().detach(selectors);
    }

    fn resume(&self, cursor: &Cursor, joined: &Places, origin: Origin) -> Start {
        self.below().resume(cursor, joined, origin)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.below().read(read)
    }

    fn earlier(&self, earlier: Earlier) -> BoxFuture<'_, Result<Page, ReadError>> {
        self.below().earlier(earlier)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.below().close()
    }
}

impl<L: Layer> EventLog for L {
    fn partitioning(&self) -> Partitioning {
        self.below().partitioning()
    }

    fn append(&self, publication: Publication) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.below().append(publication)
    }

    fn append_all(&self, publications: Vec<Publication>) -> BoxFuture<'_, Vec<Outcome>> {
        self.below().append_all(publications)
    }

    fn purge(&self, channel: &ChannelName) -> BoxFuture<'_, Result<Purged, AppendError>> {
        Layer::purge(self, channel)
    }

    fn raise(&self, fence: Fence) -> BoxFuture<'_, Result<u64, AppendError>> {
        self.below().raise(fence)
    }

    fn attach(&self, selectors: Arc<[Selector]>) -> BoxFuture<'_, Result<Places, ReadError>> {
        Layer::attach(self, selectors)
    }

    fn detach(&self, selectors: &[Selector]) {
        Layer::detach(self, selectors);
    }

    fn resume(&self, cursor: &Cursor, joined: &Places, origin: Origin) -> Start {
        Layer::resume(self, cursor, joined, origin)
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Layer::read(self, read)
    }

    fn earlier(&self, earlier: Earlier) -> BoxFuture<'_, Result<Page, ReadError>> {
        Layer::earlier(self, earlier)
    }

    fn finished(&self, selectors: &[Selector], after: &Places) -> bool {
        self.below().finished(selectors, after)
    }

    fn heads(&self) -> Places {
        self.below().heads()
    }

    fn channels(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<ChannelInfo>, ReadError>> {
        self.below().channels(after, limit)
    }

    fn channel(&self, name: &ChannelName) -> BoxFuture<'_, Result<Option<ChannelInfo>, ReadError>> {
        self.below().channel(name)
    }

    fn totals(&self) -> LogTotals {
        self.below().totals()
    }

    fn lag(&self) -> Duration {
        self.below().lag()
    }

    fn health(&self) -> Health {
        self.below().health()
    }

    fn limits_changed(&self) {
        self.below().limits_changed();
    }

    fn sweep(&self) -> BoxFuture<'_, ()> {
        self.below().sweep()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Layer::close(self)
    }
}
