//! The operator, run by a test in its own process, and one relay that it serves.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use sse_relay_operator::controller::{Context, Every, Relays, Scope, run};
use sse_relay_operator::crd::{
    Condition, ConditionStatus, ConditionType, Pinned, Reason, SseRelay,
};
use sse_relay_operator::health::Shown;
use sse_relay_operator::metrics::Metrics;
use sse_relay_operator::names::Names;
use sse_relay_operator::observe::Asker;
use sse_relay_operator::prove::{Loopback, Patience, Prober};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::until;

/// The operator, run by a test; it ends with it.
pub struct Operator {
    shown: Arc<Shown>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Operator {
    /// One that serves `namespace` and brings relays of `version`.
    pub fn of(client: Client, namespace: &str, version: &str) -> Self {
        Self::start(
            client,
            Scope::Namespaces(vec![namespace.to_owned()]),
            version,
        )
    }

    /// One that serves `scope`.
    pub fn start(client: Client, scope: Scope, version: &str) -> Self {
        let shown = Arc::new(Shown {
            metrics: Metrics::default(),
            relays: Relays::default(),
            ready: AtomicBool::new(true),
        });
        let own = Pinned {
            version: version.to_owned(),
            repository: "sse-relay".to_owned(),
            redis_image: Some("valkey/valkey:8.1".to_owned()),
        };
        let asker = Asker::new().unwrap();
        let prober = Prober::new(Loopback::Refused, Patience::default(), Vec::new()).unwrap();
        let soon = Duration::from_millis(200);
        let every = Every {
            observe: soon,
            prove: soon,
        };
        let context = Context::new(client, own, shown.clone(), asker, prober, every);
        let context = Arc::new(context);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move { run(context, &scope, stopped).await });
        Self { shown, stop, task }
    }

    /// Lets it finish what it does.
    pub async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }

    /// The sum of the samples that begin so.
    pub fn metric(&self, begin: &str) -> f64 {
        let text = self.shown.metrics.text(&self.shown.relays);
        let samples = text.lines().filter(|line| line.starts_with(begin));
        samples
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

/// One relay in a namespace of a test.
pub struct Served {
    pub client: Client,
    pub namespace: String,
    pub name: String,
}

impl Served {
    /// Makes a relay that says `spec`.
    pub async fn create(client: &Client, namespace: &str, name: &str, spec: Value) -> Self {
        let served = Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        served
            .api::<SseRelay>()
            .create(&PostParams::default(), &relay(name, spec))
            .await
            .unwrap();
        served
    }

    /// Objects of one kind beside it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Merges `patch` into it.
    pub async fn patch(&self, patch: Value) {
        self.try_patch(patch).await.unwrap();
    }

    /// Merges `patch` into it, if the API server takes that.
    pub async fn try_patch(&self, patch: Value) -> Result<SseRelay, kube::Error> {
        self.api()
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    /// Makes a pod of the relay that nobody runs here, and says that it serves at `address`.
    pub async fn pod(&self, name: &str, address: IpAddr) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": Names::of(&self.get().await).labels() },
            "spec": { "serviceAccountName": self.name, "automountServiceAccountToken": false, "containers": [{ "name": "relay", "image": "none" }] },
        }))
        .unwrap();
        let pods = self.api::<Pod>();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        self.pod_serves(name, address).await;
    }

    /// Says of a pod, which nobody runs here, that it serves at `address`.
    pub async fn pod_serves(&self, name: &str, address: IpAddr) {
        self.pod_is(
            name,
            json!({ "podIP": address, "podIPs": [{ "ip": address }],
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] }),
        )
        .await;
    }

    /// Says of a pod, which nobody runs here, how it is.
    pub async fn pod_is(&self, name: &str, status: Value) {
        let status = json!({ "status": status });
        let pods = self.api::<Pod>();
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// Waits for an Event of this reason, and returns what it says.
    pub async fn told(&self, reason: &str) -> String {
        until(&format!("an Event tells {reason}"), async || {
            let events = self
                .api::<Event>()
                .list(&ListParams::default())
                .await
                .ok()?;
            let mut events = events.into_iter();
            events
                .find(|event| event.reason.as_deref() == Some(reason))?
                .note
        })
        .await
    }

    /// Waits until a condition says so, with `remedy` in its message, and an Event does.
    pub async fn explains(
        &self,
        about: ConditionType,
        holds: ConditionStatus,
        reason: Reason,
        remedy: &str,
    ) {
        let said = self.says(about, holds, reason).await;
        assert!(said.message.contains(remedy), "{said:?}");
        let reason = format!("{reason:?}");
        until(&format!("an Event tells {reason}: {remedy}"), async || {
            let all = ListParams::default();
            let events = self.api::<Event>().list(&all).await.ok()?;
            let told = events.iter().any(|event| {
                let note = event.note.as_deref().unwrap_or_default();
                event.reason.as_deref() == Some(&reason) && note.contains(remedy)
            });
            told.then_some(())
        })
        .await;
    }

    pub async fn get(&self) -> SseRelay {
        self.api::<SseRelay>().get(&self.name).await.unwrap()
    }

    /// Waits until a condition says so, and returns it.
    pub async fn says(
        &self,
        about: ConditionType,
        holds: ConditionStatus,
        reason: Reason,
    ) -> Condition {
        until(
            &format!("{about:?} is {holds:?} for {reason:?}"),
            async || {
                let relay = self.get().await;
                let generation = relay.metadata.generation;
                let conditions = relay.status?.conditions;
                conditions.into_iter().find(|condition| {
                    condition.r#type == about
                        && condition.status == holds
                        && condition.reason == reason
                        && condition.observed_generation == generation
                })
            },
        )
        .await
    }

    /// Waits until its Deployment is there.
    pub async fn deployment(&self) -> Deployment {
        until("the Deployment is there", async || {
            self.api::<Deployment>().get(&self.name).await.ok()
        })
        .await
    }

    /// Says of its pods, which nobody runs here, that they all serve.
    pub async fn all_pods_serve(&self) {
        let deployment = self.deployment().await;
        let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let status = DeploymentStatus {
            observed_generation: deployment.metadata.generation,
            replicas,
            ready_replicas: replicas,
            available_replicas: replicas,
            updated_replicas: replicas,
            ..DeploymentStatus::default()
        };
        self.api::<Deployment>()
            .patch_status(
                &self.name,
                &PatchParams::default(),
                &Patch::Merge(json!({ "status": status })),
            )
            .await
            .unwrap();
    }

    /// The relay's configuration as it is written now.
    pub async fn configuration(&self) -> String {
        let name = format!("{}-config", self.name);
        let map = self.api::<ConfigMap>().get(&name).await.unwrap();
        map.data.unwrap()["relay.yaml"].clone()
    }
}

/// A relay that says `spec`.
pub fn relay(name: &str, spec: Value) -> SseRelay {
    serde_json::from_value(json!({
        "apiVersion": "sserelay.dev/v1alpha1",
        "kind": "SseRelay",
        "metadata": { "name": name },
        "spec": spec,
    }))
    .unwrap()
}
