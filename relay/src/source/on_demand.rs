//! The log as subscribers see it where sources listen on demand: whoever joins a channel waits until
//! it is listened to.

use super::demand::Demand;
use crate::{
    channel::{ChannelName, Selector},
    cursor::Places,
    event_log::{EventLog, ReadError, layer::Layer},
};
use futures_util::future::{BoxFuture, join_all};
use std::sync::Arc;

/// A log, and the sources that bring what is asked for.
pub struct OnDemand {
    log: Arc<dyn EventLog>,
    demands: Vec<Arc<Demand>>,
}

/// Wants channels until it is dropped, or kept for good.
struct Wanting {
    wanted: Vec<(Arc<Demand>, ChannelName)>,
    kept: bool,
}

impl Wanting {
    /// Until [`EventLog::detach`].
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Wanting {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for (demand, channel) in &self.wanted {
            demand.want_no_more(channel);
        }
    }
}

impl OnDemand {
    /// The log itself, where no source listens on demand.
    pub fn over(log: Arc<dyn EventLog>, demands: Vec<Arc<Demand>>) -> Arc<dyn EventLog> {
        match demands.is_empty() {
            true => log,
            false => Arc::new(OnDemand { log, demands }),
        }
    }

    /// Of each channel that is named, the sources that can bring it. A pattern asks for nothing: what it
    /// means cannot be listened to.
    fn concerned(&self, selectors: &[Selector]) -> Vec<(Arc<Demand>, ChannelName)> {
        let channels = selectors.iter().filter_map(|selector| match selector {
            Selector::Channel(channel) => Some(channel),
            Selector::Pattern(_) => None,
        });
        let pairs = channels.flat_map(|channel| {
            let demands = self.demands.iter().filter(|one| one.concerns(channel));
            demands.map(|demand| (demand.clone(), channel.clone()))
        });
        pairs.collect()
    }
}

impl Layer for OnDemand {
    fn below(&self) -> &dyn EventLog {
        &*self.log
    }

    fn attach(&self, selectors: Arc<[Selector]>) -> BoxFuture<'_, Result<Places, ReadError>> {
        let wanted = self.concerned(&selectors);
        if wanted.is_empty() {
            return self.log.attach(selectors);
        }
        for (demand, channel) in &wanted {
            demand.want(channel);
        }
        let wanting = Wanting {
            wanted,
            kept: false,
        };
        Box::pin(async move {
            let settled = wanting
                .wanted
                .iter()
                .map(|(demand, channel)| demand.settled(channel));
            join_all(settled).await;
            let attached = self.log.attach(selectors).await;
            if attached.is_ok() {
                wanting.keep();
            }
            attached
        })
    }

    fn detach(&self, selectors: &[Selector]) {
        for (demand, channel) in self.concerned(selectors) {
            demand.want_no_more(&channel);
        }
        self.log.detach(selectors);
    }
}
