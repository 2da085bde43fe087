//! Getting, keeping and giving back a Lease.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use super::{DURATION, EVERY, GIVE_UP, Seen, Step};
use crate::names::OPERATOR;

/// How long one look at the Lease, or one renewal, may take: another one is to fit before the holder gives up.
const ATTEMPT: Duration = Duration::from_secs(4);

/// Why a Lease could not be looked at or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server refused, or did not answer.
    #[error("the Lease cannot be read or written: {0}")]
    Api(#[from] kube::Error),
    /// It did not answer in time.
    #[error("the API server did not answer in {0:?}")]
    TimedOut(Duration),
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
            match within(ATTEMPT, self.attempt(&mut seen)).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(event = "lease.failed", %error, "trying again"),
            }
            sleep(EVERY).await;
        }
    }

    /// Renews the Lease, and returns only when it is lost.
    pub async fn keep(&self) -> Lost {
        let mut seen = Seen::default();
        let mut renewed = Instant::now();
        loop {
            sleep(EVERY).await;
            // others may see what an attempt wrote before it ends: time runs from its beginning
            let begun = Instant::now();
            let Some(limit) = next_attempt(begun.duration_since(renewed)) else {
                return Lost;
            };
            match within(limit, self.attempt(&mut seen)).await {
                Ok(true) => renewed = begun,
                Ok(false) => return Lost,
                Err(error) => tracing::warn!(event = "lease.failed", %error, "trying again"),
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
        if let Ok(Err(error)) = timeout(EVERY, given).await {
            tracing::warn!(event = "lease.failed", %error, "not given back; it runs out");
        }
    }

    /// Whether the Lease is ours after this.
    async fn attempt(&self, seen: &mut Seen) -> Result<bool, LeaseError> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            return Ok(self.create().await?);
        };
        let written = match seen.step(&lease, &self.me, Instant::now()) {
            Step::Wait => return Ok(false),
            Step::Renew => self.write(lease, &self.me, 0).await,
            Step::Take => self.write(lease, &self.me, 1).await,
        };
        Ok(written?)
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

/// How long a holder's next attempt may take, so long after the last that renewed the Lease; none when the
/// holder has to stop.
fn next_attempt(since: Duration) -> Option<Duration> {
    let left = GIVE_UP.checked_sub(since)?;
    (!left.is_zero()).then(|| left.min(ATTEMPT))
}

async fn within(
    limit: Duration,
    attempt: impl Future<Output = Result<bool, LeaseError>>,
) -> Result<bool, LeaseError> {
    timeout(limit, attempt)
        .await
        .unwrap_or(Err(LeaseError::TimedOut(limit)))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// When a holder stops whose attempts fail after so long, or hang.
    fn stops_after(mut fails_after: impl FnMut() -> Duration) -> Duration {
        let mut since = EVERY;
        while let Some(limit) = next_attempt(since) {
            since += limit.min(fails_after()) + EVERY;
        }
        since
    }

    #[test]
    fn a_holder_stops_before_others_may_begin_however_its_attempts_fail() {
        let hung = Duration::from_secs(3600);
        for failures in 0..10 {
            for millis in (0..6_000).step_by(100) {
                let mut left = failures;
                let after = stops_after(|| {
                    left -= 1;
                    if left >= 0 {
                        Duration::from_millis(millis)
                    } else {
                        hung
                    }
                });
                assert!(
                    after <= GIVE_UP + EVERY,
                    "{failures} of {millis} ms: {after:?}"
                );
                assert!(
                    after >= GIVE_UP,
                    "{failures} of {millis} ms: {after:?} is too early"
                );
                assert!(after < DURATION);
            }
        }
        assert!(
            EVERY + ATTEMPT + EVERY < GIVE_UP,
            "one that hangs is tried again"
        );
    }
}
