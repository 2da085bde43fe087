//! Proves through the public address that streams really stream: a stream is opened there, an event is
//! published inside, and what comes out is timed. It gates nothing.

mod guard;
mod outcome;
mod probe;

pub use guard::Loopback;
pub use outcome::{Outcome, Unreached};
pub use probe::{Patience, Prober, Target};

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::controller::{Watched, tell};
use crate::crd::{Condition, ConditionType as About, Exposed, SseRelay, SseRelaySpec};
use crate::names::{Names, OPERATOR, PAUSED, PUBLIC_PORT};
use crate::observe::{Pods, list};
use crate::status::{Finding, merge, transitions, unproved};
use crate::tokens::{PROBE, Token};

/// How often the operator looks whether a proof is due.
pub const EVERY: Duration = Duration::from_secs(10);
/// How long a proof is good.
const GOOD: Duration = Duration::from_secs(600);
/// How soon it is tried again after anything else. While there is nobody to try it with, it is looked
/// for each time.
const AGAIN: Duration = Duration::from_secs(60);
/// Relays that are tried together at most: each takes a minute, and does nothing most of it.
const AT_ONCE: usize = 32;

/// Whether a relay with this spec is to be proved: subscribers come from outside, and nobody says no.
#[must_use]
pub fn wanted(spec: &SseRelaySpec) -> bool {
    let way_in = spec.ingress.is_some() || spec.gateway.is_some();
    let exposed = spec.expose.as_ref();
    let subscribed = exposed.is_none_or(|exposed| exposed.contains(&Exposed::Subscribe));
    way_in && subscribed && spec.streaming_check.enabled
}

/// Proves the relays of a store, over and over.
pub struct Prover {
    client: Client,
    recorder: Recorder,
    prober: Prober,
    namespace: Option<String>,
    known: HashMap<ObjectRef<SseRelay>, Known>,
}

/// What was tried last of a relay.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    at: Instant,
    generation: Option<i64>,
    /// How long it is good.
    good: Duration,
}

impl Known {
    fn due(&self, relay: &SseRelay, now: Instant) -> bool {
        let known = self.generation == relay.metadata.generation;
        !known || now.duration_since(self.at) >= self.good
    }
}

impl Prover {
    /// One for the relays of `namespace`, or of all.
    #[must_use]
    pub fn new(
        client: Client,
        recorder: Recorder,
        prober: Prober,
        namespace: Option<String>,
    ) -> Self {
        Self {
            client,
            recorder,
            prober,
            namespace,
            known: HashMap::new(),
        }
    }

    /// Never returns.
    pub async fn run(mut self, store: Store<Watched>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let relays = store.state();
            let relays = relays.iter().filter_map(|relay| relay.0.as_ref().ok());
            self.look(relays.filter(|relay| provable(relay)).collect())
                .await;
        }
    }

    async fn look(&mut self, relays: Vec<&SseRelay>) {
        let now = Instant::now();
        let keys: Vec<_> = relays
            .iter()
            .map(|relay| ObjectRef::from_obj(*relay))
            .collect();
        self.known.retain(|key, _| keys.contains(key));
        let mut due = relays;
        due.retain(|relay| {
            let known = self.known.get(&ObjectRef::from_obj(*relay));
            known.is_none_or(|known| known.due(relay, now))
        });
        if due.is_empty() {
            return;
        }
        let pods = match list(&self.client, self.namespace.as_deref()).await {
            Ok(pods) => pods,
            Err(error) => {
                tracing::warn!(event = "prove.failed", %error, "pods cannot be listed");
                return;
            }
        };
        let prover = &*self;
        let mut proofs = Vec::new();
        for relay in due {
            proofs.push(prover.one(relay, &pods));
        }
        let proofs = futures_util::stream::iter(proofs).buffer_unordered(AT_ONCE);
        let proved: Vec<_> = proofs.collect().await;
        self.known.extend(proved);
    }

    async fn one(&self, relay: &SseRelay, pods: &Pods) -> (ObjectRef<SseRelay>, Known) {
        let (finding, good) = match wanted(&relay.spec) {
            true => match self.find(relay, pods).await {
                Some(finding) if finding.holds() => (Some(finding), GOOD),
                Some(finding) => (Some(finding), AGAIN),
                None => (Some(unproved()), Duration::ZERO),
            },
            false => (None, GOOD),
        };
        let known = Known {
            at: Instant::now(),
            generation: relay.metadata.generation,
            good,
        };
        if let Err(error) = self.tell(relay, finding).await {
            let relay = relay.name_any();
            tracing::warn!(event = "prove.failed", %relay, %error, "the status cannot be written");
        }
        (ObjectRef::from_obj(relay), known)
    }

    /// `None` while there is nobody to try it with.
    async fn find(&self, relay: &SseRelay, pods: &Pods) -> Option<Finding> {
        let url = relay.status.as_ref().and_then(|status| status.url.clone());
        let (Some(url), Some((_, inside))) = (url, pods.of(relay).serving().next()) else {
            return None;
        };
        let names = Names::of(relay);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &names.namespace);
        let secret = secrets.get_opt(&names.probe()).await.unwrap_or_else(|error| {
            tracing::warn!(event = "prove.failed", relay = names.relay, %error, "its token cannot be read");
            None
        });
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        let token = Token::read(&data.get(PROBE)?.0).ok()?;
        let target = Target {
            inside: (inside, PUBLIC_PORT as u16).into(),
            token,
            url,
        };
        let mut outcome = self.prober.probe(&target).await;
        if matches!(outcome, Outcome::Cut { .. }) {
            // a replica that leaves cuts streams, too; a proxy does it again
            outcome = self.prober.probe(&target).await;
        }
        Some(outcome.finding(&target.url))
    }

    async fn tell(&self, relay: &SseRelay, finding: Option<Finding>) -> Result<(), kube::Error> {
        let status = relay.status.as_ref();
        let before = status.map_or(&[][..], |status| &status.conditions);
        let before: Vec<Condition> = before
            .iter()
            .filter(|condition| condition.r#type == About::StreamingVerified)
            .cloned()
            .collect();
        let generation = relay.metadata.generation;
        let now = Time(Timestamp::now());
        let after = merge(&before, finding.into_iter().collect(), generation, &now);
        if after == before {
            return Ok(());
        }
        let namespace = relay.namespace().unwrap_or_default();
        let api: Api<SseRelay> = Api::namespaced(self.client.clone(), &namespace);
        let params = PatchParams::apply(&format!("{OPERATOR}/proved")).force();
        let patch = json!({
            "apiVersion": "sserelay.dev/v1alpha1",
            "kind": "SseRelay",
            // the one that was looked at: one that was made anew since is another
            "metadata": { "uid": relay.metadata.uid },
            "status": { "conditions": after },
        });
        let written = api
            .patch_status(&relay.name_any(), &params, &Patch::Apply(&patch))
            .await;
        match written {
            Ok(_) => {
                tell(&self.recorder, relay, &transitions(&before, &after)).await;
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A relay that the reconcile has seen, that nobody paused, deleted or stopped, and that is to be
/// proved or once was.
fn provable(relay: &SseRelay) -> bool {
    let paused = relay.annotations().get(PAUSED);
    let Some(status) = &relay.status else {
        return false;
    };
    let told = status.conditions.iter();
    let told = told
        .filter(|condition| condition.r#type == About::StreamingVerified)
        .count();
    relay.metadata.deletion_timestamp.is_none()
        && paused.is_none_or(|value| value != "true")
        && (wanted(&relay.spec) || told > 0)
}
