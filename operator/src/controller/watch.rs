//! What makes the operator look at a relay.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::controller::Error;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{mpsc, watch};

use super::Context;
use super::pace::Pace;
use super::reconcile::{on_error, reconcile};
use super::relays::{Watched, with_class, with_object};
use super::unwatched::{WAITING, look_after};
use crate::crd::KeyKind;
use crate::names::OPERATOR;
use crate::observe::Observer;
use crate::prove::Prover;

/// Relays that are looked at together at most.
const AT_ONCE: u16 = 8;

/// Which relays the operator serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of the cluster.
    Cluster,
    /// Those of these namespaces.
    Namespaces(Vec<String>),
}

/// Serves the relays of `scope` until `stop` says true; what is under way is finished.
pub async fn run(context: Arc<Context>, scope: &Scope, stop: watch::Receiver<bool>) {
    let namespaces: Vec<Option<&str>> = match scope {
        Scope::Cluster => vec![None],
        Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let served = namespaces
        .into_iter()
        .map(|namespace| serve(context.clone(), namespace, stop.clone()));
    tokio::select! {
        _ = futures_util::future::join_all(served) => {}
        () = forget_gone(&context) => {} // never: it ends with the first
    }
}

/// Forgets relays that are gone, at intervals. Never returns.
async fn forget_gone(context: &Context) {
    loop {
        tokio::time::sleep(context.every.observe).await;
        context.forget_gone();
    }
}

async fn serve(context: Arc<Context>, namespace: Option<&str>, mut stop: watch::Receiver<bool>) {
    let client = &context.client;
    let config = kube::runtime::controller::Config::default().concurrency(AT_ONCE);
    let relays: Api<Watched> = api(client, namespace);
    let controller = Controller::new(relays, watcher::Config::default())
        .with_config(config)
        .trigger_backoff(Pace);
    let store = controller.store();
    context.shown.relays.add(store.clone());
    let owned =
        watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={OPERATOR}"));
    let (of_secret, of_map) = (store.clone(), store.clone());
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await; // who is gone cannot want it to go on
    };
    let mut controller = controller
        .owns(metadata::<ConfigMap>(client, namespace), owned.clone())
        .owns(metadata::<ServiceAccount>(client, namespace), owned.clone())
        .owns(metadata::<Service>(client, namespace), owned.clone())
        .owns(
            metadata::<PodDisruptionBudget>(client, namespace),
            owned.clone(),
        )
        .owns(metadata::<NetworkPolicy>(client, namespace), owned.clone())
        .owns(metadata::<Ingress>(client, namespace), owned.clone())
        .owns(metadata::<StatefulSet>(client, namespace), owned.clone())
        .owns(
            metadata::<HorizontalPodAutoscaler>(client, namespace),
            owned.clone(),
        )
        .owns(metadata::<Deployment>(client, namespace), owned)
        .watches(
            metadata::<Secret>(client, namespace),
            watcher::Config::default(),
            move |secret| {
                let namespace = secret.namespace().unwrap_or_default();
                with_object(&of_secret, KeyKind::Secret, &namespace, &secret.name_any())
            },
        )
        .watches(
            metadata::<ConfigMap>(client, namespace),
            watcher::Config::default(),
            move |map| {
                let namespace = map.namespace().unwrap_or_default();
                with_object(&of_map, KeyKind::ConfigMap, &namespace, &map.name_any())
            },
        );
    let observer = Observer::new(
        client.clone(),
        context.recorder.clone(),
        context.asker.clone(),
        namespace.map(ToOwned::to_owned),
    );
    let observing = observer.run(store.clone(), context.every.observe);
    let prover = Prover::new(
        client.clone(),
        context.recorder.clone(),
        context.prober.clone(),
        namespace.map(ToOwned::to_owned),
    );
    let proving = prover.run(store.clone(), context.every.prove);
    let (changed, mut to_look_at) = mpsc::channel(WAITING);
    let unwatched = look_after(
        client.clone(),
        namespace.map(ToOwned::to_owned),
        store.clone(),
        context.every.observe,
        changed,
    );
    controller = controller.reconcile_on(futures_util::stream::poll_fn(move |context| {
        to_look_at.poll_recv(context)
    }));
    if namespace.is_none() {
        controller = controller.watches(
            Api::<IngressClass>::all(client.clone()),
            watcher::Config::default(),
            move |_| with_class(&store),
        );
    }
    let reconciling = controller
        .graceful_shutdown_on(stopped.boxed().shared())
        .run(reconcile, on_error, context.clone())
        .for_each(async |looked| {
            // failures of looks are told where they happen, and a relay that is gone is none
            if let Err(Error::QueueError(error)) = looked {
                tracing::warn!(event = "watch.failed", %error, "a watch is begun anew");
            }
        });
    tokio::select! {
        () = reconciling => {}
        () = observing => {} // never: it ends with the first
        () = proving => {}   // never, too
        () = unwatched => {} // nor this
    }
}

/// Only metadata is asked for: that something changed is all that a watch tells.
fn metadata<K>(client: &Client, namespace: Option<&str>) -> Api<PartialObjectMeta<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    api(client, namespace)
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
