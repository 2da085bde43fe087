//! What other replicas are told of accounts, and what they answer.

use super::{
    Key, Limits, State, Used,
    bucket::Moment,
    hit::Scope,
    limit,
    sharing::{Usage, bounded, share},
    table::Place,
};
use relay_config::Limit;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Accounts that are told of at once; of more in the next second.
pub const MOST: usize = 500;
/// How soon to come back when only the share of this replica is used up.
const SHARE_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a digest that make an account's name.
const NAME_BYTES: usize = 12;

/// Which accounts are told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Those that need a larger share now.
    Urgent,
    /// Those whose use may have changed.
    All,
}

/// What one account uses here.
#[derive(Clone, Debug)]
pub struct Report {
    key: Key,
    pub usage: Usage,
}

impl Report {
    /// As it stands in Redis: of one length, and it tells nobody who it is.
    pub fn account(&self) -> String {
        let text = match &self.key {
            Key::Everybody => "e".to_owned(),
            Key::Subject(subject) => format!("s{subject}"),
            Key::Token(name) => format!("t{name}"),
            Key::Address(address) => format!("a{address}"),
            Key::Attribute(name, value) => format!("g{}:{name}{value}", name.len()),
        };
        let digest = Sha256::digest(text);
        let bytes = digest.iter().take(NAME_BYTES);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<Used> for Usage {
    fn from(used: Used) -> Usage {
        Usage {
            streams: 0,
            opens: used.opens,
            publishes: used.events,
            bytes: used.bytes,
        }
    }
}

impl State {
    fn is_shared(&self, key: &Key) -> bool {
        self.replicas.is_some() && key.scope() != Scope::Total
    }

    /// What an account may use here of its limit.
    pub(super) fn bound(&mut self, key: &Key, limit: Limit, place: Place) -> Limit {
        let Some(replicas) = self.replicas.filter(|_| key.scope() != Scope::Total) else {
            return limit;
        };
        let account = self.table(key.scope()).account(place);
        let share = account.sharing.as_ref().and_then(|sharing| sharing.share);
        bounded(limit, share, replicas)
    }

    /// Something was used, or given back: others are to be told.
    pub(super) fn note(&mut self, key: &Key, used: Usage, now: Moment) {
        if !self.is_shared(key) {
            return;
        }
        let Some(account) = self.table(key.scope()).own(key) else {
            return;
        };
        let sharing = account.sharing.get_or_insert_default();
        sharing.ask(used, now);
        if !std::mem::replace(&mut sharing.listed, true) {
            self.listed.push_back(key.clone());
        }
    }

    /// A larger share is needed before the next second.
    pub(super) fn hasten(&mut self, key: &Key) {
        if let Some(account) = self.table(key.scope()).own(key)
            && let Some(sharing) = &mut account.sharing
            && !std::mem::replace(&mut sharing.urgent, true)
        {
            self.urgent.push(key.clone());
        }
    }

    /// Something was refused: what is wanted counts too. How long to wait.
    pub(super) fn refused(
        &mut self,
        key: &Key,
        place: Place,
        limit: Limit,
        used: Used,
        wait: Duration,
        now: Moment,
    ) -> Duration {
        if place == Place::Shared {
            return wait;
        }
        self.note(key, used.into(), now);
        if self.bound(key, limit, place) == limit {
            return wait;
        }
        self.hasten(key);
        wait.min(SHARE_WAIT)
    }

    fn report(&mut self, key: Key, now: Moment) -> Option<Report> {
        let limit = limit(&self.config, &key).unwrap_or_default();
        let account = self.table(key.scope()).own(&key)?;
        let streams = account.streams;
        let sharing = account.sharing.as_mut()?;
        let usage = sharing.usage(limit, streams, now);
        if sharing.is_settled(usage) && !sharing.urgent {
            sharing.listed = false;
            return None;
        }
        Some(Report { key, usage })
    }
}

impl Limits {
    /// Limits of subjects, addresses and attributes are shared by so many replicas from now on.
    pub fn share_with(&self, replicas: u64) {
        self.state.lock().replicas = Some(replicas.max(1));
    }

    /// Whether some limit is shared.
    pub fn are_shared(&self) -> bool {
        let config = &self.state.lock().config;
        !config.per_subject.is_none()
            || !config.per_address.is_none()
            || !config.per_attribute.is_empty()
    }

    pub(super) fn ring(&self, state: &State) {
        if !state.urgent.is_empty() {
            self.hurry.notify_one();
        }
    }

    /// What to tell the others now.
    pub fn reports(&self, which: Which) -> Vec<Report> {
        self.reports_at(which, self.now())
    }

    pub(super) fn reports_at(&self, which: Which, now: Moment) -> Vec<Report> {
        let state = &mut *self.state.lock();
        let rest = state.urgent.split_off(state.urgent.len().min(MOST));
        let urgent = std::mem::replace(&mut state.urgent, rest);
        let mut reports: Vec<Report> = urgent
            .into_iter()
            .filter_map(|key| state.report(key, now))
            .collect();
        if which == Which::Urgent {
            return reports;
        }
        for _ in 0..MOST.min(state.listed.len()) {
            let Some(key) = state.listed.pop_front() else {
                break;
            };
            if let Some(report) = state.report(key, now) {
                // told of again until nothing happens any more
                state.listed.push_back(report.key.clone());
                if !reports.iter().any(|known| known.key == report.key) {
                    reports.push(report);
                }
            }
        }
        reports
    }

    /// What all replicas together use of what was told.
    pub fn learn(&self, told: Vec<(Report, Usage)>) {
        let state = &mut *self.state.lock();
        let replicas = state.replicas.unwrap_or(1);
        for (report, all) in told {
            let limit = limit(&state.config, &report.key).unwrap_or_default();
            let table = state.table(report.key.scope());
            if let Some(account) = table.own(&report.key)
                && let Some(sharing) = &mut account.sharing
            {
                sharing.reported = report.usage;
                sharing.share = Some(share(limit, report.usage, all, replicas));
                sharing.urgent = false;
            }
        }
    }

    /// They could not be told: shares stay as they are.
    pub fn could_not_tell(&self, reports: Vec<Report>) {
        let state = &mut *self.state.lock();
        for report in reports {
            let table = state.table(report.key.scope());
            if let Some(account) = table.own(&report.key)
                && let Some(sharing) = &mut account.sharing
            {
                sharing.urgent = false;
            }
        }
    }

    /// What the others were told is gone: all is to be told again.
    pub fn tell_again(&self) {
        let state = &mut *self.state.lock();
        for scope in [Scope::Subject, Scope::Address, Scope::Attribute] {
            let mut listed = Vec::new();
            for (key, account) in state.table(scope).owners() {
                if let Some(sharing) = &mut account.sharing {
                    sharing.reported = Usage::default();
                    if !std::mem::replace(&mut sharing.listed, true) {
                        listed.push(key.clone());
                    }
                }
            }
            state.listed.extend(listed);
        }
    }
}
