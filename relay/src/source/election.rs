//! Which replica pulls from a source: the one that holds its lease.
//!
//! With the log in this process there is nobody else. With the log in Redis a lease is kept there by
//! Redis' clock, and each has a token greater than those before: appends carry it, and the log refuses
//! older ones, so that a replica that was frozen and comes back appends nothing any more.

use crate::{
    event_log::{AppendError, EventLog, Fence},
    fleet::{
        Fleet,
        leasing::{Asked, TERM},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// How often a lease is asked for, and renewed.
const EVERY: Duration = Duration::from_secs(1);
/// Of the term, what is given up, so that nobody pulls under a lease that Redis holds for over.
const MARGIN: Duration = Duration::from_millis(500);

/// Where replicas agree on who pulls.
pub struct Election {
    log: Arc<dyn EventLog>,
    fleet: Option<Arc<Fleet>>,
}

/// A time in which this replica pulls.
pub struct Tenure {
    pub fence: Option<Fence>,
    over: watch::Sender<bool>,
    renewal: Option<(Arc<Fleet>, JoinHandle<()>)>,
}

impl Election {
    /// Without a fleet this process pulls, always.
    pub fn new(log: Arc<dyn EventLog>, fleet: Option<Arc<Fleet>>) -> Election {
        Election { log, fleet }
    }

    /// Waits until this replica pulls from a source.
    pub async fn win(&self, source: &str) -> Tenure {
        let Some(fleet) = &self.fleet else {
            return Tenure {
                fence: None,
                over: watch::Sender::new(false),
                renewal: None,
            };
        };
        let mut at_least = 0;
        loop {
            let asked = Instant::now();
            match fleet.ask_for(source, at_least).await {
                Ok(Asked::Held(token)) => {
                    let fence = Fence {
                        name: source.into(),
                        token,
                    };
                    match self.log.raise(fence.clone()).await {
                        Ok(highest) if highest <= token => {
                            return Tenure::begin(fleet.clone(), fence, asked);
                        }
                        // the lease was forgotten, and the log remembers a greater one
                        Ok(highest) => at_least = highest + 1,
                        Err(error) => self.note(source, &error).await,
                    }
                }
                Ok(Asked::Taken) => sleep(EVERY).await,
                Err(error) => {
                    tracing::debug!(event = "source.lease", source, %error, "who pulls from the source cannot be asked");
                    sleep(EVERY).await;
                }
            }
        }
    }

    async fn note(&self, source: &str, error: &AppendError) {
        tracing::debug!(event = "source.lease", source, %error, "the log does not take the lease of the source yet");
        sleep(EVERY).await;
    }
}

impl Tenure {
    fn begin(fleet: Arc<Fleet>, fence: Fence, asked: Instant) -> Tenure {
        let over = watch::Sender::new(false);
        let keeper = keep(fleet.clone(), fence.clone(), asked, over.clone());
        Tenure {
            fence: Some(fence),
            over,
            renewal: Some((fleet, tokio::spawn(keeper))),
        }
    }

    /// Resolves when this replica must not pull any more.
    pub async fn over(&self) {
        let mut over = self.over.subscribe();
        let _ = over.wait_for(|over| *over).await; // the sender lives as long as this does
    }

    /// The log has a greater token.
    pub fn lose(&self) {
        self.over.send_replace(true);
    }

    /// Lets another replica pull at once.
    pub async fn resign(mut self) {
        if let Some((fleet, keeper)) = self.renewal.take() {
            keeper.abort();
            if let Some(fence) = &self.fence {
                fleet.give_back(fence).await;
            }
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        if let Some((_, keeper)) = &self.renewal {
            keeper.abort();
        }
    }
}

/// Renews a lease until it is over.
async fn keep(fleet: Arc<Fleet>, fence: Fence, asked: Instant, over: watch::Sender<bool>) {
    let mut until = asked + TERM - MARGIN;
    loop {
        sleep(EVERY).await;
        let now = Instant::now();
        let renewed = tokio::select! {
            renewed = fleet.renew(&fence) => renewed,
            () = sleep_until(until) => break,
        };
        match renewed {
            Ok(Asked::Held(_)) => until = now + TERM - MARGIN,
            Ok(Asked::Taken) => break,
            Err(_) if Instant::now() >= until => break,
            Err(_) => {}
        }
    }
    over.send_replace(true);
}
