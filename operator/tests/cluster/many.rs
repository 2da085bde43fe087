//! Many relays at once.

use std::time::Instant;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use sse_relay_operator::controller::Scope;

use super::operator::{Operator, Served};
use super::server::{Server, User};
use super::until;

const RELAYS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_relays_at_once_all_get_their_pods() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("many").await;
    for number in 0..RELAYS {
        Served::create(&client, &namespace, &format!("live-{number}"), json!({})).await;
    }
    let started = Instant::now();
    let operator = Operator::start(client.clone(), Scope::Cluster, "0.1.0");
    let deployments: Api<Deployment> = Api::namespaced(client, &namespace);
    until("all have their Deployment", async || {
        let all = deployments
            .list_metadata(&ListParams::default())
            .await
            .unwrap();
        (all.items.len() == RELAYS).then_some(())
    })
    .await;
    println!(
        "{RELAYS} relays have their pods after {:?}",
        started.elapsed()
    );
    assert!(operator.metric("sse_relay_operator_reconciles_total{outcome=\"failed\"}") < 1.0);
}
