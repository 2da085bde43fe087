//! Getting, keeping and giving back a Lease.

use std::time::Instant;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use super::{DURATION, EVERY, GIVE_UP, Seen, Step};
use crate::names::OPERATOR;

/// Why a Lease could not be looked at or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server refused, or did not answer.
    #[error("the Lease cannot be read or written: {0}")]
    Api(#[from] kube::Error),
    /// It did not answer in time.
    #[error("the API server did not answer in {GIVE_UP:?}")]
    TimedOut,
}

/// The Lease was lost: another operator may act now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Lease was lost; this operator stops, so that there are never two")]
pub struct Lost;

/// Gets, keeps and gives back one Lease.
pub struct Keeper {
    api: Api<Lease>,
    name: String,
    me: String,
}

impl Keeper {
    /// For the Lease `name` in `namespace`, in the name of `me`, which no other operator has.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, me: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            me: me.to_owned(),
        }
    }

    /// Returns when the Lease is ours; tries for ever.
    pub async fn acquire(&self) {
        let mut seen = Seen::default();
        loop {
            match self.attempt(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(event = "lease.failed", %error, "trying again"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Renews the Lease, and returns only when it is lost.
    pub async fn keep(&self) -> Lost {
        let mut seen = Seen::default();
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(EVERY).await;
            match self.attempt(&mut seen).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return Lost,
                Err(error) => tracing::warn!(event = "lease.failed", %error, "trying again"),
            }
            if renewed.elapsed() >= GIVE_UP {
                return Lost;
            }
        }
    }

    /// Gives the Lease back, so that the next operator need not wait. Best effort: without it the
    /// Lease runs out.
    pub async fn give_back(&self) {
        let given = async {
            let lease = self.api.get(&self.name).await?;
            if Seen::default().step(&lease, &self.me, Instant::now()) == Step::Renew {
                self.write(lease, "", 0).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(EVERY, given).await {
            tracing::warn!(event = "lease.failed", %error, "not given back; it runs out");
        }
    }

    /// Whether the Lease is ours after this.
    async fn attempt(&self, seen: &mut Seen) -> Result<bool, LeaseError> {
        let attempt = async {
            let Some(lease) = self.api.get_opt(&self.name).await? else {
                return self.create().await;
            };
            match seen.step(&lease, &self.me, Instant::now()) {
                Step::Wait => Ok(false),
                Step::Renew => self.write(lease, &self.me, 0).await,
                Step::Take => self.write(lease, &self.me, 1).await,
            }
        };
        // an answer that is later than that could not be acted on any more
        match tokio::time::timeout(GIVE_UP - EVERY, attempt).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(LeaseError::TimedOut),
        }
    }

    async fn create(&self) -> Result<bool, kube::Error> {
        let mut lease = Lease::default();
        lease.metadata.name = Some(self.name.clone());
        lease.spec = Some(self.spec(&self.me, 0, None));
        let created = self.api.create(&PostParams::default(), &lease).await;
        unless_another_was_first(created)
    }

    /// The version that was read makes sure that nobody wrote in between.
    async fn write(&self, mut lease: Lease, holder: &str, more: i32) -> Result<bool, kube::Error> {
        let before = lease.spec.take();
        let transitions = before.as_ref().and_then(|spec| spec.lease_transitions);
        let acquired = before
            .filter(|_| more == 0)
            .and_then(|spec| spec.acquire_time);
        lease.spec = Some(self.spec(holder, transitions.unwrap_or(0) + more, acquired));
        let params = PostParams::default();
        unless_another_was_first(self.api.replace(&self.name, &params, &lease).await)
    }

    fn spec(&self, holder: &str, transitions: i32, acquired: Option<MicroTime>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions),
            acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }
}

fn unless_another_was_first(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

/// The Lease's usual name.
pub const NAME: &str = OPERATOR;
