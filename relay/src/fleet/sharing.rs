//! Limits that replicas have together: what each uses, in Redis.

use super::{
    Fleet,
    roster::Pulse,
    scripts::{self, FleetError},
};
use crate::{
    http::App,
    limits::{
        reporting::{Report, Which},
        sharing::Usage,
    },
    redis::Reply,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

const EVERY: Duration = Duration::from_secs(1);
/// Between two reports, however urgent.
const PAUSE: Duration = Duration::from_millis(100);

/// Until the process ends.
pub async fn run(app: Arc<App>, fleet: Arc<Fleet>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        let which = tokio::select! {
            _ = ticks.tick() => Which::All,
            () = app.limits.hurry.notified() => Which::Urgent,
        };
        let next = Instant::now() + PAUSE;
        if app.limits.are_shared() {
            if let Err(error) = fleet.report(&app, which, &mut told).await {
                tracing::debug!(event = "limits.alone", %error, "shares of limits stay as they are");
            }
            sleep_until(next).await;
        }
    }
}

impl Fleet {
    /// Counts in `times` how often Redis has confirmed what this replica said: by that Redis knows whether
    /// it still has all of it.
    async fn report(&self, app: &App, which: Which, times: &mut u64) -> Result<(), FleetError> {
        let reports = app.limits.reports(which);
        if reports.is_empty() && which == Which::Urgent {
            return Ok(());
        }
        let told = self.tell_uses(&reports, *times).await;
        let told = told.and_then(|reply| Told::parse(&reply));
        match told {
            Ok(Told::Again) => {
                *times = 0;
                app.limits.could_not_tell(reports);
                app.limits.tell_again();
                Ok(())
            }
            Ok(Told::All { used, users }) if used.len() == reports.len() => {
                *times += 1;
                app.limits.learn(reports.into_iter().zip(used).collect());
                self.shed(&users).await
            }
            Ok(Told::All { .. }) => {
                app.limits.could_not_tell(reports);
                Err(FleetError::Strange)
            }
            Err(error) => {
                app.limits.could_not_tell(reports);
                Err(error)
            }
        }
    }

    async fn tell_uses(&self, reports: &[Report], times: u64) -> Result<Reply, FleetError> {
        let names = [
            self.keys.uses(&self.me),
            self.keys.used(),
            self.keys.users(),
        ];
        let keys = names.each_ref().map(|name| name.as_bytes());
        let mut args = vec![self.me.to_string(), times.to_string()];
        for report in reports {
            let Usage {
                streams,
                opens,
                publishes,
                bytes,
            } = report.usage;
            args.push(report.account());
            args.extend([streams, opens, publishes, bytes].map(|number| number.to_string()));
        }
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        Ok(self.primary.script(&scripts::SHARES, &keys, &args).await?)
    }

    /// Takes away what dead replicas used, a part of one at a time.
    async fn shed(&self, users: &[String]) -> Result<(), FleetError> {
        let roster = self.roster();
        let dead = users
            .iter()
            .find(|user| ***user != *self.me && roster.pulse(user) != Pulse::Alive);
        // one that began a moment ago is not known yet
        let Some(dead) = dead.filter(|_| self.is_current()) else {
            return Ok(());
        };
        if roster.pulse(dead) == Pulse::Unknown && self.is_there(dead).await? {
            return Ok(());
        }
        let names = [self.keys.uses(dead), self.keys.used(), self.keys.users()];
        let keys = names.each_ref().map(|name| name.as_bytes());
        let args = [dead.as_bytes()];
        self.primary.script(&scripts::SHED, &keys, &args).await?;
        Ok(())
    }
}

/// What the script answers.
enum Told {
    Again,
    All {
        used: Vec<Usage>,
        users: Vec<String>,
    },
}

impl Told {
    fn parse(reply: &Reply) -> Result<Told, FleetError> {
        let [status, used, users] = reply.list().unwrap_or_default() else {
            return Err(FleetError::Strange);
        };
        if status.text() == Some("again") {
            return Ok(Told::Again);
        }
        let used = used.list().ok_or(FleetError::Strange)?.iter();
        let used = used.map(|text| usage(text).ok_or(FleetError::Strange));
        let users = users.list().ok_or(FleetError::Strange)?.iter().step_by(2);
        Ok(Told::All {
            used: used.collect::<Result<_, _>>()?,
            users: users
                .filter_map(|id| id.text().map(str::to_owned))
                .collect(),
        })
    }
}

/// Four numbers.
fn usage(reply: &Reply) -> Option<Usage> {
    let mut numbers = reply.text()?.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Usage {
        streams: next()?,
        opens: next()?,
        publishes: next()?,
        bytes: next()?,
    })
}
