//! What an upgrade of the operator does to relays.

use kube::Client;
use kube::api::DeleteParams;
use serde_json::json;
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason, SseRelay};
use sse_relay_operator::names::PAUSED;

use super::operator::{Operator, Served};
use super::server::User;
use super::{shared, until};

async fn image(live: &Served) -> String {
    let pod = live.deployment().await.spec.unwrap().template.spec.unwrap();
    pod.containers[0].image.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_upgrade_moves_only_relays_that_follow_and_one_at_a_time() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("upgrade").await;
    let old = Operator::of(client.clone(), &namespace, "0.1.0");
    let still = Served::create(&client, &namespace, "still", json!({})).await;
    let one = Served::create(
        &client,
        &namespace,
        "one",
        json!({ "upgradePolicy": "Auto" }),
    )
    .await;
    let two = Served::create(
        &client,
        &namespace,
        "two",
        json!({ "upgradePolicy": "Auto" }),
    )
    .await;
    for relay in [&still, &one, &two] {
        relay.all_pods_serve().await;
        relay.says(About::Ready, Holds::True, Reason::AsAsked).await;
    }
    old.stop().await;
    let before = still.deployment().await.metadata.generation;

    let _new = Operator::of(client.clone(), &namespace, "0.2.0");
    let (first, second) = until("one of the two follows", async || {
        match (
            image(&one).await.ends_with(":0.2.0"),
            image(&two).await.ends_with(":0.2.0"),
        ) {
            (true, false) => Some((&one, &two)),
            (false, true) => Some((&two, &one)),
            (false, false) => None,
            (true, true) => panic!("both at once"),
        }
    })
    .await;
    second
        .says(About::Progressing, Holds::False, Reason::WaitsForUpgrade)
        .await;
    assert!(image(second).await.ends_with(":0.1.0"));
    first.all_pods_serve().await;
    until("the other one follows", async || {
        image(second).await.ends_with(":0.2.0").then_some(())
    })
    .await;
    assert!(image(&still).await.ends_with(":0.1.0"));
    assert_eq!(still.deployment().await.metadata.generation, before);
}

/// So many relays that follow, all of them there at 0.1.0.
async fn followers(client: &Client, namespace: &str, count: usize) -> Vec<Served> {
    let old = Operator::of(client.clone(), namespace, "0.1.0");
    let mut all = Vec::new();
    for number in 0..count {
        let spec = json!({ "upgradePolicy": "Auto" });
        let name = format!("live-{number}");
        let live = Served::create(client, namespace, &name, spec).await;
        live.all_pods_serve().await;
        live.says(About::Ready, Holds::True, Reason::AsAsked).await;
        all.push(live);
    }
    old.stop().await;
    all
}

/// Waits until one of `all` has gone to 0.2.0, and takes it out of them.
async fn next(all: &mut Vec<Served>) -> Served {
    let place = until("the next one follows", async || {
        let mut moved = Vec::new();
        for (place, live) in all.iter().enumerate() {
            if image(live).await.ends_with(":0.2.0") {
                moved.push(place);
            }
        }
        assert!(moved.len() <= 1, "several at once");
        moved.pop()
    })
    .await;
    all.remove(place)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_gone_or_cannot_go_on_lets_the_next_one_follow() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("turn").await;
    let mut all = followers(&client, &namespace, 4).await;
    let _new = Operator::of(client.clone(), &namespace, "0.2.0");
    let first = next(&mut all).await;
    first
        .api::<SseRelay>()
        .delete(&first.name, &DeleteParams::default())
        .await
        .unwrap();
    let second = next(&mut all).await;
    second
        .patch(json!({ "spec": { "limits": { "queueBytes": "1Gi" } } }))
        .await;
    let third = next(&mut all).await;
    third
        .patch(json!({ "metadata": { "annotations": { PAUSED: "true" } } }))
        .await;
    next(&mut all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_begins_to_act_waits_for_the_relay_that_is_on_its_way() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("turn-of-leader").await;
    let mut all = followers(&client, &namespace, 2).await;
    let leader = Operator::of(client.clone(), &namespace, "0.2.0");
    let first = next(&mut all).await;
    first
        .says(About::Progressing, Holds::True, Reason::RollingOut)
        .await;
    leader.stop().await;
    let other = Operator::of(client.clone(), &namespace, "0.2.0");
    // each is looked at once before any is looked at again
    until("both were looked at", async || {
        let looks = other.metric("sse_relay_operator_reconciles_total");
        (looks >= 2.0).then_some(())
    })
    .await;
    assert!(image(&all[0]).await.ends_with(":0.1.0"));
    first.all_pods_serve().await;
    next(&mut all).await;
}
