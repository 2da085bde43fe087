//! Revocations in Redis: kept there until they end, and read by whoever may not know them all.

use super::{
    Fleet,
    known::{At, Reading},
    message::{self, Order},
    scripts::{self, FleetError, Kept, number},
};
use crate::{
    clock::unix_millis,
    control::{
        Command as Wanted,
        revocation::{Revocation, RevocationId},
    },
    cursor::UnixMillis,
    http::App,
    redis::Command,
};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// Revocations that are read at once.
const PAGE: usize = 500;
/// How long it is remembered that one was taken back.
const REMEMBER: Duration = Duration::from_secs(600);

/// What became of an order to revoke, or to take that back.
#[derive(Debug)]
pub enum Revoked {
    /// It is kept, and the others were told; what they answered.
    Told(super::Answers),
    Full,
}

/// A change, as it is read.
struct Change {
    id: RevocationId,
    /// `None`: taken back.
    revocation: Option<Revocation>,
}

impl Change {
    /// Whether this replica knows something later about the same credentials: what the others could not
    /// be told yet, or what Redis has lost.
    fn is_behind(&self, app: &App, reading: Reading) -> bool {
        let lost = reading == Reading::Restoring;
        let read = self.revocation.as_ref();
        app.control.has_unsaved(&self.id, read)
            || lost && read.is_some_and(|read| app.control.has_later(read))
    }
}

impl Fleet {
    /// Keeps a revocation for all replicas, and tells them.
    ///
    /// # Errors
    /// When it is not known whether it is kept.
    pub async fn revoke(
        &self,
        revocation: &Revocation,
        most: usize,
    ) -> Result<Revoked, FleetError> {
        let order = Order::Command(Wanted::Revoke {
            revocation: revocation.clone(),
        });
        let (id, record) = (revocation.revoked.id(), record(revocation));
        self.change(&id, &record, revocation.until, most, &order)
            .await
    }

    /// Takes one back for all replicas, and tells them.
    ///
    /// # Errors
    /// When it is not known whether it was.
    pub async fn restore(&self, id: &RevocationId, now: UnixMillis) -> Result<Revoked, FleetError> {
        let order = Order::Command(Wanted::Restore { id: id.clone() });
        let end = now.saturating_add(REMEMBER.as_millis() as u64);
        self.change(id, "", end, usize::MAX, &order).await
    }

    async fn change(
        &self,
        id: &RevocationId,
        record: &str,
        end: UnixMillis,
        most: usize,
        order: &Order,
    ) -> Result<Revoked, FleetError> {
        let mut ask = self.asks.begin();
        let deadline = tokio::time::Instant::now() + super::ANSWER_TIME;
        let message = message::order(&self.me, ask.number, order);
        match self.keep(id, record, end, 0, most, &message).await? {
            Kept::Kept(roster) => {
                let others = roster.others(&self.me);
                Ok(Revoked::Told(self.gather(&mut ask, others, deadline).await))
            }
            Kept::Full => Ok(Revoked::Full),
            Kept::Known => Err(FleetError::Strange),
        }
    }

    async fn keep(
        &self,
        id: &RevocationId,
        record: &str,
        end: UnixMillis,
        at: UnixMillis,
        most: usize,
        message: &[u8],
    ) -> Result<Kept, FleetError> {
        let names = [
            self.keys.replicas(),
            self.keys.state(),
            self.keys.revocations(),
            self.keys.changes(),
            self.keys.ends(),
        ];
        let keys = names.each_ref().map(|name| name.as_bytes());
        let [end, at] = [end, at].map(|millis| millis.to_string());
        let most = most.min(1 << 50).to_string();
        let (orders, epoch) = (
            self.keys.orders(),
            format!("{:016x}", rand::random::<u64>()),
        );
        let args = [
            id.as_str().as_bytes(),
            record.as_bytes(),
            end.as_bytes(),
            most.as_bytes(),
            orders.as_bytes(),
            message,
            epoch.as_bytes(),
            at.as_bytes(),
        ];
        let reply = self.primary.script(&scripts::REVOKE, &keys, &args).await?;
        Kept::parse(&reply)
    }

    /// Whether Redis may have lost some of what it has confirmed.
    pub(super) fn may_have_lost(&self, at: &At, now: Instant) -> bool {
        self.known.lock().reading(at, now) == Reading::Restoring
    }

    /// Reads what this replica may not know, and puts into Redis what only this replica does.
    pub(super) async fn learn(&self, app: &App, at: At, now: Instant) -> Result<(), FleetError> {
        let reading = self.known.lock().reading(&at, now);
        match reading {
            Reading::Nothing => {}
            Reading::Changes(after) => {
                let known = |change: &Change| change.is_behind(app, reading);
                self.read(app, after, |change| !known(change)).await?;
            }
            Reading::Whole | Reading::Restoring => {
                let mut there = HashSet::new();
                self.read(app, 0, |change| {
                    let behind = change.is_behind(app, reading);
                    if !behind {
                        there.insert(change.id.clone());
                    }
                    !behind
                })
                .await?;
                let missing = app.control.revocations_besides(&there);
                match reading {
                    Reading::Restoring => self.put_back(app, missing).await?,
                    _ => app.control.forget_revocations(&missing, unix_millis()),
                }
            }
        }
        self.put_back(app, app.control.unsaved_revocations())
            .await?;
        self.known.lock().has_read(at, now);
        Ok(())
    }

    async fn put_back(&self, app: &App, missing: Vec<Revocation>) -> Result<(), FleetError> {
        let most = app.config().revocations.max;
        for revocation in missing {
            let (id, record) = (revocation.revoked.id(), record(&revocation));
            let Revocation { until, at, .. } = revocation;
            let kept = self.keep(&id, &record, until, at, most, b"").await?;
            match kept {
                Kept::Full => tracing::error!(
                    event = "revocations.full",
                    "a revocation of this replica is not kept for the others: as many hold as may"
                ),
                Kept::Kept(_) | Kept::Known => app.control.is_saved(&revocation),
            }
        }
        Ok(())
    }

    /// Reads what changed after a change, and applies here what is wanted of it.
    async fn read(
        &self,
        app: &App,
        mut after: u64,
        mut wants: impl FnMut(&Change) -> bool,
    ) -> Result<(), FleetError> {
        loop {
            let (mut changes, last) = self.page(after).await?;
            let full = changes.len() >= PAGE;
            changes.retain(&mut wants);
            let (gone, held): (Vec<_>, Vec<_>) = changes
                .into_iter()
                .partition(|change| change.revocation.is_none());
            let gone: Vec<_> = gone.into_iter().map(|change| change.id).collect();
            let held = held.into_iter().filter_map(|change| change.revocation);
            app.control
                .learn_revocations(held.collect(), &gone, unix_millis())
                .await;
            match last {
                Some(last) if full => after = last,
                _ => return Ok(()),
            }
        }
    }

    async fn page(&self, after: u64) -> Result<(Vec<Change>, Option<u64>), FleetError> {
        let session = self.primary.session()?;
        let ids = Command::new("ZRANGEBYSCORE")
            .arg(self.keys.changes())
            .arg(format!("({after}"))
            .args(["+inf", "WITHSCORES", "LIMIT", "0", &PAGE.to_string()]);
        let ids = session.command(&ids).await?;
        let ids = ids.list().ok_or(FleetError::Strange)?;
        if ids.is_empty() {
            return Ok((Vec::new(), None));
        }
        let last = ids.last().map(number).transpose()?;
        let ids: Vec<&str> = ids.iter().step_by(2).filter_map(|id| id.text()).collect();
        let records = Command::new("HMGET")
            .arg(self.keys.revocations())
            .args(&ids);
        let records = session.command(&records).await?;
        let records = records.list().ok_or(FleetError::Strange)?;
        let changes = ids.iter().zip(records).map(|(id, record)| Change {
            id: RevocationId::from_text(id),
            revocation: record.text().and_then(read_record),
        });
        Ok((changes.collect(), last))
    }
}

/// A revocation as it is kept; the version stands first.
fn record(revocation: &Revocation) -> String {
    let json = serde_json::to_string(revocation).expect("a struct of texts and numbers");
    format!("1 {json}")
}

/// `None` for one that was taken back.
fn read_record(record: &str) -> Option<Revocation> {
    if record.is_empty() {
        return None;
    }
    let read = record
        .strip_prefix("1 ")
        .and_then(|json| serde_json::from_str(json).ok());
    if read.is_none() {
        tracing::error!(
            event = "revocations.strange",
            "a revocation in Redis is of a release that this one does not know, and does not hold here"
        );
    }
    read
}
