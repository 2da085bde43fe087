//! As many replicas as the streams ask for: real relays, whose pods the real controllers of Kubernetes
//! make and take away.

use std::collections::BTreeMap;
use std::net::TcpStream;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason, SseRelay};

use super::operator::{Operator, Served};
use super::programs::{RedisServer, RelayProcess, free_port};
use super::roles::allow;
use super::server::{Server, User};
use super::until;

fn spec(redis: u16, streams: Value) -> Value {
    json!({
        "replicas": 1,
        "redis": { "external": { "standalone": { "host": format!("127.0.0.1:{redis}") } } },
        "auth": { "anonymous": { "subscribe": ["**"] } },
        "autoscaling": { "streams": streams },
    })
}

async fn replicas(live: &Served) -> Option<i32> {
    let deployment = live.api::<Deployment>().get(&live.name).await.ok()?;
    deployment.spec?.replicas
}

async fn replicas_are(live: &Served, wanted: i32) {
    until(&format!("there are to be {wanted} replicas"), async || {
        (replicas(live).await == Some(wanted)).then_some(())
    })
    .await;
}

/// A pod that the ReplicaSet has made, and the relay that a test runs in its place.
struct Replica {
    relay: RelayProcess,
    streams: Vec<TcpStream>,
}

impl Replica {
    fn open(&mut self, count: usize) {
        self.streams
            .extend(std::iter::repeat_with(|| self.relay.stream()).take(count));
    }
}

/// Replicas by the names of their pods.
#[derive(Default)]
struct Replicas(BTreeMap<String, Replica>);

impl Replicas {
    /// Waits until there are so many pods, and has relays run for those that have none.
    async fn are(&mut self, live: &Served, count: usize) -> Vec<String> {
        let names = until(&format!("there are {count} pods"), async || {
            let pods = live.api::<Pod>().list(&ListParams::default()).await.ok()?;
            let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
            (names.len() == count).then_some(names)
        })
        .await;
        for name in &names {
            if !self.0.contains_key(name) {
                let relay = RelayProcess::start(&live.configuration().await, &[]).await;
                live.pod_serves(name, relay.address).await;
                let replica = Replica {
                    relay,
                    streams: Vec::new(),
                };
                self.0.insert(name.clone(), replica);
            }
        }
        names
    }

    fn get(&mut self, name: &str) -> &mut Replica {
        self.0.get_mut(name).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_follow_the_streams_and_the_emptiest_leaves_first() {
    let server = Server::start().await;
    allow(&server).await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("scaling").await;
    // with no more rights than the chart gives
    let _operator = Operator::of(server.client(User::Limited), &namespace, "0.1.0");
    let _controllers = server.controllers("deployment-controller,replicaset-controller");
    let port = free_port();
    let _redis = RedisServer::start(port, &[]);
    let asked = json!({ "min": 2, "max": 4, "perReplica": 10, "scaleDownAfter": "3s" });
    let live = Served::create(&client, &namespace, "live", spec(port, asked)).await;
    let mut replicas = Replicas::default();
    let names = replicas.are(&live, 2).await;
    live.says(About::AutoscalingReady, Holds::True, Reason::AsAsked)
        .await;

    replicas.get(&names[0]).open(15);
    replicas.get(&names[1]).open(8);
    replicas_are(&live, 3).await;
    assert!(
        live.told("Scaled")
            .await
            .starts_with("from 2 to 3 replicas")
    );
    let three = replicas.are(&live, 3).await;
    let third = three.iter().find(|name| !names.contains(name)).unwrap();
    replicas.get(third).open(30);
    replicas_are(&live, 4).await;
    let said = live
        .says(About::AutoscalingReady, Holds::False, Reason::AtMaximum)
        .await;
    assert!(said.message.contains("autoscaling.streams.max"), "{said:?}");
    assert_eq!(live.get().await.spec.replicas, 1, "no spec is written");

    let four = replicas.are(&live, 4).await;
    let fourth = four.iter().find(|name| !three.contains(name)).unwrap();
    replicas.get(fourth).open(3);
    // the first and the fourth keep streams
    replicas.get(third).streams.clear();
    replicas.get(&names[1]).streams.truncate(1);
    replicas.get(&names[0]).streams.truncate(9);
    replicas_are(&live, 2).await;
    let left = replicas.are(&live, 2).await;
    let mut busiest = vec![names[0].clone(), fourth.clone()];
    busiest.sort();
    assert_eq!(left, busiest);
    until("the scale subresource has them", async || {
        let scale = live.api::<SseRelay>().get_scale("live").await.ok()?;
        (scale.status?.replicas == 2).then_some(())
    })
    .await;

    live.patch(json!({ "spec": { "replicas": 0 } })).await;
    replicas_are(&live, 0).await;
    live.says(About::AutoscalingReady, Holds::Unknown, Reason::Stopped)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_away_while_replicas_cannot_be_asked_or_their_number_is_not_known() {
    let server = super::shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("scaling-blind").await;
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let port = free_port();
    let mut spec = spec(port, json!({ "min": 1, "max": 4, "scaleDownAfter": "0s" }));
    spec["replicas"] = json!(3);
    let live = Served::create(&client, &namespace, "live", spec).await;
    replicas_are(&live, 3).await;
    for number in 1..=3_u8 {
        let nobody = std::net::Ipv4Addr::new(127, 255, 255, number);
        live.pod(&format!("live-{number}"), nobody.into()).await;
    }
    let said = live
        .says(
            About::AutoscalingReady,
            Holds::Unknown,
            Reason::NotReachable,
        )
        .await;
    assert!(said.message.contains("port 8081"), "{said:?}");
    assert_eq!(replicas(&live).await, Some(3));
    operator.stop().await;

    // a status that was lost, as with a backup, does not take replicas away either
    let lost = json!({ "status": null });
    live.api::<SseRelay>()
        .patch_status("live", &Default::default(), &kube::api::Patch::Merge(lost))
        .await
        .unwrap();
    live.patch(json!({ "spec": { "replicas": 1 } })).await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    live.says(
        About::AutoscalingReady,
        Holds::Unknown,
        Reason::NotReachable,
    )
    .await;
    assert_eq!(replicas(&live).await, Some(3));
}
