//! What replicas say about themselves: how many streams they have, and how Redis is to them.
//!
//! It is asked of them at intervals, beside the reconciles. All that follows from it stands in the
//! status: with `autoscaling.streams` also the number of replicas, which the reconcile then writes.

mod ask;
mod costs;
mod findings;
mod not_made;
mod pods;
mod reading;

pub use ask::Asker;
pub use findings::{Findings, Found, Severity};
pub use pods::{Pods, list};
pub use reading::{Reading, Unclear};

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::apply::may_not_read;
use crate::controller::{Watched, tell, tell_scaled};
use crate::crd::SseRelay;
use crate::document::Unread;
use crate::names::{Names, OPERATOR, PAUSED};
use crate::scaling::{Aim, Busy, Fleet, Past, verdict};
use crate::status::{Heard, Hindered, Observed, Scaled, blind, observed, transitions};
use not_made::not_made;
use pods::Own;

/// Replicas are asked about this often.
pub const EVERY: Duration = Duration::from_secs(20);
/// What changes with every look, as the number of streams, is written at most this often: each write
/// wakes whoever watches relays.
const DETAILS_EVERY: Duration = Duration::from_secs(60);
/// Relays whose replicas are asked together at most.
const AT_ONCE: usize = 8;
/// Replicas of one of them that are asked together at most.
const REPLICAS_AT_ONCE: usize = 16;

/// Asks the replicas of all relays of a store, over and over.
pub struct Observer {
    client: Client,
    recorder: Recorder,
    asker: Asker,
    namespace: Option<String>,
    /// What is remembered of each relay that there is.
    known: HashMap<ObjectRef<SseRelay>, Known>,
}

/// Whether the status had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It had.
    Something,
    /// It says it already.
    Nothing,
}

/// What is remembered of a relay.
#[derive(Default)]
struct Known {
    /// When something was last written about it.
    written: Option<Instant>,
    /// What its replicas served.
    past: Past,
}

impl Observer {
    /// One for the relays of `namespace`, or of all.
    #[must_use]
    pub fn new(
        client: Client,
        recorder: Recorder,
        asker: Asker,
        namespace: Option<String>,
    ) -> Self {
        Self {
            client,
            recorder,
            asker,
            namespace,
            known: HashMap::new(),
        }
    }

    /// Never returns.
    pub async fn run(mut self, store: Store<Watched>, every: Duration) {
        loop {
            tokio::time::sleep(every.mul_f64(0.9 + 0.2 * rand::random::<f64>())).await;
            self.look(&store).await;
        }
    }

    async fn look(&mut self, store: &Store<Watched>) {
        let pods = list(&self.client, self.namespace.as_deref()).await;
        let relays: Vec<_> = store.state();
        let relays: Vec<&SseRelay> = relays
            .iter()
            .filter_map(|relay| relay.0.as_ref().ok())
            .filter(|relay| observable(relay))
            .collect();
        let pods = match pods {
            Ok(pods) => pods,
            Err(error) => {
                tracing::warn!(event = "observe.failed", %error, "pods cannot be listed");
                if let Some((reason, message)) = may_not_read(&error) {
                    let now = Time(Timestamp::now());
                    for relay in relays {
                        self.tell(relay, blind(relay, reason, &message, &now)).await;
                    }
                }
                return;
            }
        };
        let mut before = std::mem::take(&mut self.known);
        let observer = &*self;
        let mut looks = Vec::new();
        for relay in relays {
            let known = before.remove(&ObjectRef::from_obj(relay));
            looks.push(observer.one(relay, &pods, known.unwrap_or_default()));
        }
        let looks = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE);
        // what is not there any more is forgotten
        let known: HashMap<_, _> = looks.collect().await;
        self.known = known;
    }

    /// Returns what is to be remembered of it.
    async fn one(
        &self,
        relay: &SseRelay,
        pods: &Pods,
        mut known: Known,
    ) -> (ObjectRef<SseRelay>, Known) {
        let of_relay = pods.of(relay);
        let asks = of_relay
            .serving()
            .map(|(pod, address)| self.ask(relay, pod, address));
        let asks = futures_util::stream::iter(asks).buffered(REPLICAS_AT_ONCE);
        let heard: Vec<Heard> = asks.collect().await;
        let scaled = self.scale(relay, &of_relay, &heard, &mut known.past).await;
        let due = known
            .written
            .is_none_or(|written| written.elapsed() >= DETAILS_EVERY);
        let now = Time(Timestamp::now());
        let hindered = self.hindered(relay, &of_relay).await;
        let mut new = observed(relay, &heard, &hindered, scaled, &now);
        let before = relay.status.as_ref();
        if let (false, Some(before)) = (due, before) {
            new.keep_details(before);
        }
        let streams = before.and_then(|before| before.streams);
        let counted = new.streams != streams || due;
        if self.tell(relay, new).await == Told::Something && counted {
            known.written = Some(Instant::now());
        }
        (ObjectRef::from_obj(relay), known)
    }

    /// Why pods of `relay` and of its own Redis cannot start.
    async fn hindered(&self, relay: &SseRelay, pods: &Own<'_>) -> Hindered {
        let redis = relay.spec.redis.as_ref();
        let managed = redis.is_some_and(|redis| redis.managed.is_some());
        Hindered {
            replica: pods.trouble(),
            redis: match (managed, pods.no_redis()) {
                (false, _) => None,
                (true, false) => pods.redis_trouble(),
                (true, true) => not_made(&self.client, &Names::of(relay)).await,
            },
        }
    }

    /// Writes what `relay`'s status does not say yet, and tells what changed.
    async fn tell(&self, relay: &SseRelay, new: Observed) -> Told {
        let before = relay.status.clone().unwrap_or_default();
        if new.same_as(&before) {
            return Told::Nothing;
        }
        match self.write(relay, &new).await {
            Ok(()) => {
                let changed = transitions(&before.conditions, &new.conditions);
                tell(&self.recorder, relay, &changed).await;
                if let (Some(from), Some(to)) = (asked_for(relay), new.desired_replicas)
                    && from != to
                {
                    tell_scaled(&self.recorder, relay, from, to).await;
                }
            }
            Err(error) => {
                let relay = relay.name_any();
                tracing::warn!(event = "observe.failed", %relay, %error, "the status cannot be written");
            }
        }
        Told::Something
    }

    async fn ask(&self, relay: &SseRelay, pod: String, address: IpAddr) -> Heard {
        let mut said = self
            .asker
            .metrics(address)
            .await
            .map(|reading| (reading, Findings::default()));
        if let (Ok((_, findings)), Some(_)) = (&mut said, &relay.spec.redis) {
            match self.asker.checks(address).await {
                Ok(found) => *findings = found,
                Err(why) => said = Err(why),
            }
        }
        Heard { pod, said }
    }

    /// How many replicas there should be, if the operator decides that.
    async fn scale(
        &self,
        relay: &SseRelay,
        pods: &Own<'_>,
        heard: &[Heard],
        past: &mut Past,
    ) -> Option<Scaled> {
        // texts that mean nothing are the reconcile's to tell
        let aim = Aim::of(&relay.spec, &mut Unread::default())?;
        if relay.spec.replicas == 0 {
            return Some(Scaled::stopped());
        }
        let wanted = asked_for(relay)?;
        let now = Instant::now();
        let there: HashSet<&str> = heard.iter().map(|heard| heard.pod.as_str()).collect();
        past.only(&there);
        let busy = heard.iter().filter_map(|heard| {
            let (reading, _) = heard.said.as_ref().ok()?;
            Some(Busy {
                streams: reading.streams,
                egress: past.sent(&heard.pod, reading.delivered, now),
            })
        });
        let fleet = Fleet {
            wanted,
            heard: busy.collect(),
            pods: pods.count(),
        };
        let verdict = verdict(&aim, &fleet, past, now);
        let streams = relay.spec.autoscaling.as_ref()?.streams.as_ref()?;
        if verdict.replicas < wanted && streams.emptiest_first {
            let namespace = relay.namespace().unwrap_or_default();
            if let Err(trouble) = costs::tell(&self.client, &namespace, pods, heard).await {
                return Some(Scaled::hindered(wanted, &trouble));
            }
        }
        Some(Scaled::decided(&aim, verdict, heard))
    }

    async fn write(&self, relay: &SseRelay, new: &Observed) -> Result<(), kube::Error> {
        let namespace = relay.namespace().unwrap_or_default();
        let api: Api<SseRelay> = Api::namespaced(self.client.clone(), &namespace);
        // a manager of its own: what the reconcile says about the same relay stays as it is
        let params = PatchParams::apply(&format!("{OPERATOR}/observed")).force();
        let patch = json!({
            "apiVersion": "sserelay.dev/v1alpha1",
            "kind": "SseRelay",
            // the one that was looked at: one that was made anew since is another
            "metadata": { "uid": relay.metadata.uid },
            "status": new,
        });
        let written = api
            .patch_status(&relay.name_any(), &params, &Patch::Apply(&patch))
            .await;
        match written {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// A relay that the reconcile has seen, and that nobody paused or deleted.
fn observable(relay: &SseRelay) -> bool {
    let paused = relay.annotations().get(PAUSED);
    relay.metadata.deletion_timestamp.is_none()
        && relay.status.is_some()
        && paused.is_none_or(|value| value != "true")
}

/// Replicas that its Deployment is asked for; `None` while none is.
fn asked_for(relay: &SseRelay) -> Option<i32> {
    let status = relay.status.as_ref()?;
    let effective = status.effective.as_ref().map(|derived| derived.replicas);
    let asked = status.desired_replicas.or(effective)?;
    (asked > 0).then_some(asked)
}
