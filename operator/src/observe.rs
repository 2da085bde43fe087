//! What replicas say about themselves: how many streams they have, and whether Redis answers them.
//!
//! It is asked of them at intervals, beside the reconciles, and never decides what objects there
//! are.

mod ask;
mod pods;
mod reading;

pub use ask::Asker;
pub use reading::{Reading, Unclear};

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::controller::{Watched, tell};
use crate::crd::SseRelay;
use crate::names::{OPERATOR, PAUSED};
use crate::status::{Heard, Observed, observed, transitions};
use pods::{Pods, list};

/// Replicas are asked about this often.
pub const EVERY: Duration = Duration::from_secs(20);
/// The number of streams is written at most this often: each write wakes whoever watches relays.
const STREAMS_EVERY: Duration = Duration::from_secs(60);
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
    /// When the streams of a relay were last written.
    written: HashMap<ObjectRef<SseRelay>, Instant>,
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
            written: HashMap::new(),
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
        let pods = match list(&self.client, self.namespace.as_deref()).await {
            Ok(pods) => pods,
            Err(error) => {
                tracing::warn!(event = "observe.failed", %error, "pods cannot be listed");
                return;
            }
        };
        let relays: Vec<_> = store.state();
        let relays: Vec<&SseRelay> = relays
            .iter()
            .filter_map(|relay| relay.0.as_ref().ok())
            .filter(|relay| observable(relay))
            .collect();
        let mut looks = Vec::new();
        for relay in relays {
            looks.push(self.one(relay, &pods));
        }
        let looks = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE);
        let looked: Vec<_> = looks.collect().await;
        let mut written = HashMap::new();
        for (key, wrote) in looked {
            let before = self.written.get(&key).copied();
            if let Some(when) = wrote.or(before) {
                written.insert(key, when);
            }
        }
        self.written = written;
    }

    /// Returns when its streams were written now, if they were.
    async fn one(&self, relay: &SseRelay, pods: &Pods) -> (ObjectRef<SseRelay>, Option<Instant>) {
        let key = ObjectRef::from_obj(relay);
        let of_relay = pods.of(relay);
        let asks = of_relay.serving().map(|(pod, address)| async move {
            Heard {
                pod,
                said: self.asker.metrics(address).await,
            }
        });
        let asks = futures_util::stream::iter(asks).buffered(REPLICAS_AT_ONCE);
        let heard: Vec<Heard> = asks.collect().await;
        let due = self
            .written
            .get(&key)
            .is_none_or(|written| written.elapsed() >= STREAMS_EVERY);
        let now = Time(Timestamp::now());
        let before = relay.status.clone().unwrap_or_default();
        let mut new = observed(relay, &heard, of_relay.trouble().as_ref(), &now);
        if !due {
            new.streams = before.streams;
        }
        if new.same_as(&before) {
            return (key, None);
        }
        let wrote = new.streams != before.streams;
        match self.write(relay, &new).await {
            Ok(()) => {
                let changed = transitions(&before.conditions, &new.conditions);
                tell(&self.recorder, relay, &changed).await;
            }
            Err(error) => {
                let relay = relay.name_any();
                tracing::warn!(event = "observe.failed", %relay, %error, "the status cannot be written");
            }
        }
        (key, wrote.then(Instant::now))
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
