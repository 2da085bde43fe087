//! Changes: of the resource, of Secrets, and by others.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};

use super::operator::{Operator, Served};
use super::server::User;
use super::{shared, until};

fn template(deployment: &Deployment) -> Value {
    serde_json::to_value(&deployment.spec.as_ref().unwrap().template).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_resource_changes_what_depends_on_it_and_replaces_pods_only_then() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("changed").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    let before = template(&live.deployment().await);

    live.patch(json!({ "spec": { "ingress": { "hosts": ["sse.example.com"], "controller": "haproxy-ingress" } } })).await;
    let ingress = until("the Ingress is there", async || {
        live.api::<Ingress>().get("live").await.ok()
    });
    let annotations = ingress.await.metadata.annotations.unwrap();
    assert_eq!(
        annotations["haproxy-ingress.github.io/timeout-server"],
        "1h"
    );
    live.says(About::RouteReady, Holds::True, Reason::NeedsAdministrator)
        .await;
    assert_eq!(template(&live.deployment().await), before);

    // a running relay takes this by itself
    live.patch(json!({ "spec": { "retention": { "events": 7 } } }))
        .await;
    until("the configuration changes", async || {
        let changed = live.configuration().await.contains("events: 7");
        changed.then_some(())
    })
    .await;
    live.says(About::Progressing, Holds::True, Reason::RollingOut)
        .await;
    assert_eq!(template(&live.deployment().await), before);

    live.patch(json!({ "spec": { "logging": { "environment": "staging" } } }))
        .await;
    until("the pods change", async || {
        (template(&live.deployment().await) != before).then_some(())
    })
    .await;

    live.patch(json!({ "spec": { "ingress": null, "networkPolicy": { "enabled": false }, "disruptionBudget": { "enabled": false } } })).await;
    until("what is turned off is removed", async || {
        let gone = live
            .api::<Ingress>()
            .get_opt("live")
            .await
            .unwrap()
            .is_none()
            && live
                .api::<NetworkPolicy>()
                .get_opt("live")
                .await
                .unwrap()
                .is_none()
            && live
                .api::<PodDisruptionBudget>()
                .get_opt("live")
                .await
                .unwrap()
                .is_none();
        gone.then_some(())
    })
    .await;
    until("its condition goes too", async || {
        let conditions = live.get().await.status?.conditions;
        let route = conditions.iter().any(|c| c.r#type == About::RouteReady);
        (!route).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_is_put_back_and_they_are_named() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("drift").await;
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    live.deployment().await;
    live.all_pods_serve().await;
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;

    for _ in 0..3 {
        let drift =
            json!({ "spec": { "template": { "spec": { "terminationGracePeriodSeconds": 1 } } } });
        let meddler = PatchParams {
            field_manager: Some("meddler".to_owned()),
            ..PatchParams::default()
        };
        live.api::<Deployment>()
            .patch("live", &meddler, &Patch::Merge(drift))
            .await
            .unwrap();
        until("it is put back", async || {
            let pod = live.deployment().await.spec?.template.spec?;
            (pod.termination_grace_period_seconds == Some(85)).then_some(())
        })
        .await;
        live.all_pods_serve().await;
    }
    assert!(operator.metric("sse_relay_operator_healed_total") >= 3.0);
    let ready = live
        .says(About::Ready, Holds::True, Reason::FieldConflict)
        .await;
    assert!(
        ready.message.starts_with("meddler changes"),
        "{}",
        ready.message
    );
    let note = until("an Event names who it was", async || {
        let events = live
            .api::<Event>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let mut events = events.into_iter();
        events
            .find(|event| event.reason.as_deref() == Some("PutBack"))?
            .note
    });
    assert!(
        note.await
            .contains("Deployment live was changed by meddler")
    );

    live.api::<Service>()
        .delete("live", &DeleteParams::default())
        .await
        .unwrap();
    until("a removed object is made again", async || {
        live.api::<Service>().get_opt("live").await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_add_stays() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("added").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    live.deployment().await;
    let added = json!({ "metadata": { "annotations": { "example.com/mine": "1" } }, "spec": { "sessionAffinity": "ClientIP" } });
    live.api::<Service>()
        .patch("live", &PatchParams::default(), &Patch::Merge(added))
        .await
        .unwrap();
    live.patch(
        json!({ "spec": { "ingress": { "hosts": ["a.example.com"], "controller": "contour" } } }),
    )
    .await;
    let service = until("the Service is written again", async || {
        let service = live.api::<Service>().get("live").await.unwrap();
        let annotations = service.metadata.annotations.clone()?;
        annotations
            .contains_key("projectcontour.io/max-requests")
            .then_some(service)
    })
    .await;
    assert_eq!(
        service.meta().annotations.as_ref().unwrap()["example.com/mine"],
        "1"
    );
    assert_eq!(
        service.spec.unwrap().session_affinity.as_deref(),
        Some("ClientIP")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_looked_for_waited_for_and_followed_when_it_changes() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("tokens").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({ "auth": { "tokens": [{ "name": "feed", "secret": { "name": "publishers", "key": "feed" }, "publish": ["**"] }] } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    let missing = live
        .says(About::Ready, Holds::False, Reason::SecretNotFound)
        .await;
    assert!(
        missing
            .message
            .contains("spec.auth.tokens[0].secret: there is no Secret `publishers`")
    );
    live.says(About::Stalled, Holds::True, Reason::SecretNotFound)
        .await;
    assert!(
        live.api::<Deployment>()
            .get_opt("live")
            .await
            .unwrap()
            .is_none()
    );

    let secret = |data: Value| -> Secret {
        serde_json::from_value(json!({ "metadata": { "name": "publishers" }, "stringData": data }))
            .unwrap()
    };
    let secrets = live.api::<Secret>();
    secrets
        .create(&PostParams::default(), &secret(json!({ "other": "x" })))
        .await
        .unwrap();
    live.says(About::Ready, Holds::False, Reason::SecretKeyNotFound)
        .await;
    let change = async |token: &str| {
        let patch = json!({ "stringData": { "feed": token } });
        secrets
            .patch("publishers", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    };
    change("short").await;
    let short = live
        .says(About::Ready, Holds::False, Reason::InvalidSpec)
        .await;
    assert!(
        short.message.contains("shorter than 20 characters"),
        "{}",
        short.message
    );
    change("a-token-of-twenty-bytes\n").await;
    let first = until("the configuration is there", async || {
        live.deployment().await;
        Some(live.configuration().await)
    })
    .await;
    assert!(!first.contains("a-token-of"), "only hashes stand there");
    change("another-token-of-twenty-bytes").await;
    until("the configuration follows the Secret", async || {
        (live.configuration().await != first).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_tokens_stay_and_may_be_changed_or_thrown_away() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("generated").await;
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    live.deployment().await;
    let secrets = live.api::<Secret>();
    let data = async || secrets.get("live-tokens").await.unwrap().data.unwrap();
    let first = data().await;
    operator.stop().await;

    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let configuration = live.configuration().await;
    live.patch(json!({ "spec": { "retention": { "events": 7 } } }))
        .await;
    until("another operator has written", async || {
        live.configuration()
            .await
            .contains("events: 7")
            .then_some(())
    })
    .await;
    assert_eq!(data().await, first);

    let mine = json!({ "stringData": { "publish": "my-own-token-of-twenty-bytes" } });
    secrets
        .patch("live-tokens", &PatchParams::default(), &Patch::Merge(mine))
        .await
        .unwrap();
    let hash = |text: &str| {
        text.lines()
            .find(|line| line.contains("sha256"))
            .unwrap()
            .to_owned()
    };
    until("the configuration follows", async || {
        (hash(&live.configuration().await) != hash(&configuration)).then_some(())
    })
    .await;
    assert_eq!(data().await["publish"].0, b"my-own-token-of-twenty-bytes");

    secrets
        .delete("live-tokens", &DeleteParams::default())
        .await
        .unwrap();
    until("thrown away tokens are made anew", async || {
        let secret = secrets.get_opt("live-tokens").await.unwrap()?;
        (secret.data.unwrap() != first).then_some(())
    })
    .await;

    live.patch(json!({ "spec": { "auth": { "anonymous": { "subscribe": ["**"] } } } }))
        .await;
    until(
        "with auth of the resource's own they are removed",
        async || {
            let gone = secrets.get_opt("live-tokens").await.unwrap().is_none();
            (gone && live.get().await.status?.token_secret.is_none()).then_some(())
        },
    )
    .await;
}
