//! Once a second: that this replica lives, who else does, and whether something was revoked.

use super::{
    Fleet,
    known::At,
    roster::LEASE,
    scripts::{self, Beat, FleetError},
};
use crate::{
    http::{App, vitals},
    stats::BeatOutcome,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval};

pub const EVERY: Duration = Duration::from_secs(1);
/// A replica that did not manage to beat for so long counts itself as out of touch.
const IN_TOUCH: Duration = Duration::from_secs(3);
/// How long it is remembered when a replica was heard of last, beyond the time in which a ticket opens
/// its stream again.
const REMEMBER: Duration = Duration::from_secs(60);
/// How long leaving may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Until the process ends.
pub async fn run(app: Arc<App>, fleet: Arc<Fleet>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut well = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = fleet.hurry.notified() => {}
        }
        match fleet.beat(&app).await {
            Ok(()) => {
                fleet.stats.fleet_beats.of(BeatOutcome::Done).add(1);
                fleet.count_routes(&app).await;
                if !well {
                    tracing::info!(
                        event = "fleet.back",
                        "in touch with the other replicas again"
                    );
                }
                well = true;
            }
            Err(error) => {
                fleet.stats.fleet_beats.of(BeatOutcome::Failed).add(1);
                if well {
                    tracing::warn!(event = "fleet.away", %error, "not in touch with the other replicas");
                }
                well = false;
            }
        }
    }
}

impl Fleet {
    async fn beat(&self, app: &App) -> Result<(), FleetError> {
        let began = Instant::now();
        let session = self.primary.session()?;
        let replication = session.replication_id().clone();
        let names = [
            self.keys.replicas(),
            self.keys.vitals(),
            self.keys.state(),
            self.keys.ticket_ends(),
        ];
        let reopen = app.config().tickets.reopen_within.std();
        let remember = (LEASE + REMEMBER + reopen).as_millis().to_string();
        let (vitals, epoch) = (
            vitals(app).to_text(),
            format!("{:016x}", rand::random::<u64>()),
        );
        let args = [&*self.me, &vitals, &remember, &epoch].map(str::as_bytes);
        let keys = names.each_ref().map(|name| name.as_bytes());
        let reply = session.script(&scripts::BEAT, &keys, &args).await?;
        let beat = Beat::parse(&reply)?;
        let others = beat.roster.others(&self.me).len() as u64;
        app.limits.share_with(1 + others);
        *self.roster.write() = beat.roster;
        self.tickets.store(beat.tickets, Ordering::Relaxed);
        let at = At {
            epoch: beat.epoch,
            replication,
            change: beat.change,
        };
        if self.may_have_lost(&at, began) {
            self.restore_tickets().await?;
        }
        self.learn(app, at, began).await?;
        self.gate.open_for(IN_TOUCH.saturating_sub(began.elapsed()));
        self.tell_of_tickets(app, &session).await
    }

    /// How many streams the other replicas have of each route. What cannot be learned now stays as it
    /// was.
    async fn count_routes(&self, app: &App) {
        let routes = app.settings().routes.clone();
        if routes.is_empty() {
            return;
        }
        if let Ok(told) = self.vitals().await {
            let others = told.iter().filter(|(id, ..)| **id != *self.me);
            routes.count_elsewhere(others.map(|(.., vitals)| &vitals.routes));
        }
    }

    /// Tells the others that this replica ends, so that they need not wait until its lease does.
    pub async fn leave(&self) {
        let leaving = async {
            let gone = [self.keys.replicas(), self.keys.vitals()]
                .map(|key| crate::redis::Command::new("HDEL").arg(key).arg(&*self.me));
            self.primary.session()?.pipeline(&gone).await
        };
        if !matches!(tokio::time::timeout(FAREWELL, leaving).await, Ok(Ok(_))) {
            tracing::debug!(event = "fleet.left", "the other replicas were not told");
        }
    }
}
