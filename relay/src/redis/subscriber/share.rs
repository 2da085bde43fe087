//! The channels that one node's reader is to hold.

use parking_lot::Mutex;
use std::{collections::HashSet, mem, sync::Arc};
use tokio::sync::Notify;

/// The channels that one node's reader is to hold, and which of them changed since it looked.
#[derive(Default)]
pub(super) struct Share {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    channels: HashSet<Arc<str>>,
    /// Only a reader that is connected needs to know what changed: another starts with everything.
    changed: Option<HashSet<Arc<str>>>,
    /// Channels whose confirmation is wanted once more, if they are confirmed.
    again: HashSet<Arc<str>>,
}

impl Share {
    pub(super) fn add(&self, channel: Arc<str>) {
        let mut state = self.state.lock();
        if let Some(changed) = &mut state.changed {
            changed.insert(channel.clone());
        }
        state.channels.insert(channel);
    }

    pub(super) fn remove(&self, channel: &Arc<str>) {
        let mut state = self.state.lock();
        state.channels.remove(channel);
        if let Some(changed) = &mut state.changed {
            changed.insert(channel.clone());
        }
    }

    pub(super) fn confirm_again(&self, channel: Arc<str>) {
        let mut state = self.state.lock();
        if state.changed.is_some() {
            state.again.insert(channel);
        }
    }

    /// Wakes the reader.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    pub(super) fn wants(&self, channel: &str) -> bool {
        self.state.lock().channels.contains(channel)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().channels.is_empty()
    }

    /// Everything; from now on changes are recorded.
    pub(super) fn begin(&self) -> Vec<Arc<str>> {
        let mut state = self.state.lock();
        state.changed = Some(HashSet::new());
        state.channels.iter().cloned().collect()
    }

    /// What changed since the last look.
    pub(super) fn changes(&self) -> Vec<Arc<str>> {
        let mut state = self.state.lock();
        match &mut state.changed {
            Some(changed) => mem::take(changed).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Channels whose confirmation is wanted once more, if they are confirmed.
    pub(super) fn doubted(&self) -> HashSet<Arc<str>> {
        mem::take(&mut self.state.lock().again)
    }

    /// Changes are not recorded any more.
    pub(super) fn pause(&self) {
        let mut state = self.state.lock();
        state.changed = None;
        state.again.clear();
    }
}
