//! What an upgrade of the operator does to relays.

use serde_json::json;
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};

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
