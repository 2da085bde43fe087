//! What stands against a relay: each has a condition that says what to do.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota, Service};
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use sse_relay_operator::controller::Scope;
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};

use super::helm::RELEASE;
use super::operator::{Operator, Served};
use super::roles::allow;
use super::server::{Server, User};
use super::{shared, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_somebody_else_is_left_alone_and_waited_for() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("taken").await;
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let foreign: Service = serde_json::from_value(
        json!({ "metadata": { "name": "live" }, "spec": { "ports": [{ "port": 1 }] } }),
    )
    .unwrap();
    let foreign = services
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;

    let taken = live
        .says(About::Ready, Holds::False, Reason::NameTaken)
        .await;
    assert!(
        taken
            .message
            .contains("Service `live` exists already and belongs to nobody"),
        "{}",
        taken.message
    );
    assert!(
        live.told("NameTaken")
            .await
            .contains("give this relay another name")
    );
    live.says(About::Stalled, Holds::True, Reason::NameTaken)
        .await;
    assert_eq!(
        services
            .get("live")
            .await
            .unwrap()
            .metadata
            .resource_version,
        foreign.metadata.resource_version
    );
    assert!(
        live.api::<Deployment>()
            .get_opt("live")
            .await
            .unwrap()
            .is_none(),
        "no pods with half of what they need"
    );

    services
        .delete("live", &DeleteParams::default())
        .await
        .unwrap();
    live.deployment().await;
    live.says(About::Stalled, Holds::False, Reason::RollingOut)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_changes_nothing_and_is_explained() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("cannot-work").await;
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    live.deployment().await;
    let before = live.configuration().await;
    live.patch(json!({ "spec": { "limits": { "queueBytes": "1Gi" } } }))
        .await;
    let invalid = live
        .says(About::Ready, Holds::False, Reason::InvalidSpec)
        .await;
    assert!(
        invalid
            .message
            .contains("spec.limits.queueBytes: is 1Gi, more than all streams together may have"),
        "{}",
        invalid.message
    );
    live.says(About::Stalled, Holds::True, Reason::InvalidSpec)
        .await;
    assert_eq!(live.configuration().await, before);
    assert!(operator.metric("sse_relay_operator_reconciles_total{outcome=\"invalid\"}") >= 1.0);
    live.patch(json!({ "spec": { "limits": null } })).await;
    live.says(About::Stalled, Holds::False, Reason::RollingOut)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_not_installed_harms_only_the_way_in() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("not-installed").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({ "ingress": { "hosts": ["sse.example.com"], "controller": "gce" } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.deployment().await;
    live.all_pods_serve().await;
    let route = live
        .says(About::RouteReady, Holds::False, Reason::KindNotInstalled)
        .await;
    assert!(
        route.message.contains("BackendConfig `live`"),
        "{}",
        route.message
    );
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_is_looked_up_and_followed() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("classes").await;
    let _operator = Operator::start(client.clone(), Scope::Cluster, "0.1.0");
    let spec = json!({ "ingress": { "hosts": ["sse.example.com"], "className": "edge" } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    let unknown = live
        .says(
            About::RouteReady,
            Holds::False,
            Reason::IngressClassNotFound,
        )
        .await;
    assert!(
        unknown.message.contains("there is no IngressClass `edge`"),
        "{}",
        unknown.message
    );

    let classes: Api<IngressClass> = Api::all(client.clone());
    let class = |name: &str, controller: &str, default: &str| -> IngressClass {
        serde_json::from_value(json!({ "metadata": { "name": name, "annotations": { "ingressclass.kubernetes.io/is-default-class": default } }, "spec": { "controller": controller } })).unwrap()
    };
    classes
        .create(
            &PostParams::default(),
            &class("edge", "k8s.io/ingress-nginx", "false"),
        )
        .await
        .unwrap();
    live.says(About::RouteReady, Holds::True, Reason::NeedsAdministrator)
        .await;
    let controller = async || {
        let effective = live.get().await.status?.effective?;
        effective
            .ingress_controller
            .map(|controller| controller.as_str())
    };
    assert_eq!(controller().await, Some("ingress-nginx"));

    classes
        .delete("edge", &DeleteParams::default())
        .await
        .unwrap();
    live.says(
        About::RouteReady,
        Holds::False,
        Reason::IngressClassNotFound,
    )
    .await;
    assert_eq!(
        controller().await,
        Some("ingress-nginx"),
        "a class that is away for a moment changes no annotation"
    );

    classes
        .create(
            &PostParams::default(),
            &class("other", "ingress-controllers.konghq.com/kong", "true"),
        )
        .await
        .unwrap();
    live.patch(json!({ "spec": { "ingress": { "className": null } } }))
        .await;
    until("the default class counts", async || {
        (controller().await == Some("kong")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_rights_says_which_it_lacks() {
    let server = Server::start().await;
    let admin = server.client(User::Admin);
    let namespace = server.namespace("forbidden").await;
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": { "name": "little" },
        "rules": [
            { "apiGroups": ["sserelay.dev"], "resources": ["sserelays", "sserelays/status"], "verbs": ["get", "list", "watch", "patch"] },
            { "apiGroups": ["", "apps", "networking.k8s.io", "policy"], "resources": ["*"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"] },
        ],
    }))
    .unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "little" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "little" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "limited" }],
    }))
    .unwrap();
    Api::all(admin.clone())
        .create(&PostParams::default(), &role)
        .await
        .unwrap();
    Api::all(admin.clone())
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    let _operator = Operator::of(server.client(User::Limited), &namespace, "0.1.0");
    let live = Served::create(&admin, &namespace, "live", json!({})).await;
    for said in [
        "ConfigMap `live-config`: the operator may not do this",
        "install its chart's roles, or serve this namespace with it",
    ] {
        live.explains(About::Ready, Holds::False, Reason::Forbidden, said)
            .await;
    }
    assert!(
        live.api::<ConfigMap>()
            .get_opt("live-config")
            .await
            .unwrap()
            .is_none()
    );
}

/// A quota of the namespace of `live`, which allows so many objects of a kind.
async fn quota(live: &Served, kind: &str, most: &str) {
    let quotas = live.api::<ResourceQuota>();
    let hard = json!({ kind: most });
    let quota: ResourceQuota =
        serde_json::from_value(json!({ "metadata": { "name": "tiny" }, "spec": { "hard": hard } }))
            .unwrap();
    let made = quotas.create(&PostParams::default(), &quota).await;
    made.unwrap();
    // what the controller of quotas would say
    let status = json!({ "status": { "hard": hard, "used": { kind: "0" } } });
    quotas
        .patch_status("tiny", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_is_named_and_waited_for() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("quota").await;
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    quota(&live, "services", "0").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let said = live
        .says(About::Ready, Holds::False, Reason::QuotaExceeded)
        .await;
    assert!(said.message.contains("Service `live`: a quota"), "{said:?}");
    assert!(
        said.message.contains("raise it, or ask for less"),
        "{said:?}"
    );
    assert!(live.told("QuotaExceeded").await.contains("raise it"));
    live.says(About::Reconciling, Holds::True, Reason::QuotaExceeded)
        .await;
    let there = live.api::<Deployment>().get_opt("live").await.unwrap();
    assert!(there.is_none(), "no pods with half of what they need");
    live.api::<ResourceQuota>()
        .delete("tiny", &DeleteParams::default())
        .await
        .unwrap();
    live.deployment().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_pods_is_told_in_the_words_of_the_replica_set() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("quota-of-pods").await;
    let _controllers = server.controllers("deployment-controller,replicaset-controller");
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    quota(&live, "pods", "0").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let said = live
        .says(About::Ready, Holds::False, Reason::QuotaExceeded)
        .await;
    assert!(said.message.contains("no pod can be made"), "{said:?}");
    assert!(said.message.contains("exceeded quota: tiny"), "{said:?}");
    let told = live.told("QuotaExceeded").await;
    assert!(told.contains("exceeded quota: tiny"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_told_with_what_to_check() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("image").await;
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    live.deployment().await;
    let nowhere = std::net::Ipv4Addr::new(127, 255, 255, 9);
    live.pod("live-1", nowhere.into()).await;
    // as the kubelet of a node says it
    live.pod_is(
        "live-1",
        json!({ "phase": "Pending", "conditions": [{ "type": "Ready", "status": "False" }], "containerStatuses": [{
        "name": "relay", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } } }] }),
    )
    .await;
    let said = live
        .says(About::Ready, Holds::False, Reason::PodCannotStart)
        .await;
    assert!(said.message.contains("check spec.image"), "{said:?}");
    assert!(live.told("PodCannotStart").await.contains("pull secrets"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_leaves_no_room_for_redis_is_told_in_the_words_of_its_stateful_set() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("quota-of-redis").await;
    let _controllers = server.controllers("statefulset-controller");
    let spec = json!({ "redis": { "managed": {} } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    quota(&live, "persistentvolumeclaims", "0").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    live.explains(
        About::RedisReady,
        Holds::False,
        Reason::QuotaExceeded,
        "exceeded quota: tiny",
    )
    .await;
    live.explains(
        About::RedisReady,
        Holds::False,
        Reason::QuotaExceeded,
        "raise the quota of the namespace",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_told_while_the_pods_before_go_on_serving() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("image-of-rollout").await;
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    live.all_pods_serve().await;
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;
    live.patch(json!({ "spec": { "version": "9.9.9", "image": { "pullPolicy": "Never" } } }))
        .await;
    let deployment = until("the Deployment is changed", async || {
        let deployment = live.deployment().await;
        let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
        let image = pod.containers[0].image.clone()?;
        image.ends_with(":9.9.9").then_some(deployment)
    })
    .await;
    let nowhere = std::net::Ipv4Addr::new(127, 255, 255, 10);
    live.pod("live-2", nowhere.into()).await;
    live.pod_is(
        "live-2",
        json!({ "phase": "Pending", "conditions": [{ "type": "Ready", "status": "False" }], "containerStatuses": [{
        "name": "relay", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ErrImageNeverPull", "message": "not present" } } }] }),
    )
    .await;
    // as its controller says it of a pod before, which serves, and the new one
    let status = json!({ "status": { "observedGeneration": deployment.metadata.generation,
        "replicas": 2, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1 } });
    live.api::<Deployment>()
        .patch_status("live", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    live.explains(
        About::Progressing,
        Holds::True,
        Reason::PodCannotStart,
        "pod live-2: ErrImageNeverPull: not present; put the image on the node",
    )
    .await;
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;
}

/// Lets the operator do what its chart allows, but not this; returns how to let it do that, too.
async fn all_but(server: &Server, resource: &str, verb: &str) -> impl AsyncFnOnce() {
    allow(server).await;
    let roles: Api<ClusterRole> = Api::all(server.client(User::Admin));
    let complete = roles.get(RELEASE).await.unwrap().rules;
    let mut less = complete.clone();
    let of_resource = |rule: &&mut PolicyRule| {
        let resources = rule.resources.as_ref();
        resources.is_some_and(|all| all.iter().any(|one| one == resource))
    };
    for rule in less.iter_mut().flatten().filter(of_resource) {
        rule.verbs.retain(|held| held != verb);
    }
    assert_ne!(less, complete);
    set(&roles, less).await;
    async move || set(&roles, complete).await
}

async fn set(roles: &Api<ClusterRole>, rules: Option<Vec<PolicyRule>>) {
    let rules = Patch::Merge(json!({ "rules": rules }));
    roles
        .patch(RELEASE, &PatchParams::default(), &rules)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_secrets_says_so_and_goes_on_when_it_may() {
    let server = Server::start().await;
    let admin = server.client(User::Admin);
    let namespace = server.namespace("unread").await;
    let allow_all = all_but(&server, "secrets", "get").await;
    let _operator = Operator::of(server.client(User::Limited), &namespace, "0.1.0");
    let live = Served::create(&admin, &namespace, "live", json!({})).await;
    for said in [
        "cannot get resource \"secrets\"",
        "install its chart's roles, or serve this namespace with it",
    ] {
        live.explains(About::Ready, Holds::False, Reason::Forbidden, said)
            .await;
    }
    live.says(About::Stalled, Holds::True, Reason::Forbidden)
        .await;
    let there = live.api::<Deployment>().get_opt("live").await.unwrap();
    assert!(there.is_none(), "no pods with half of what they need");
    allow_all().await;
    live.deployment().await;
    live.says(About::Stalled, Holds::False, Reason::RollingOut)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_list_pods_says_so_and_does_all_the_rest() {
    let server = Server::start().await;
    let admin = server.client(User::Admin);
    let namespace = server.namespace("unseen").await;
    let allow_all = all_but(&server, "pods", "list").await;
    let _operator = Operator::of(server.client(User::Limited), &namespace, "0.1.0");
    let spec = json!({ "redis": { "external": { "standalone": { "host": "redis" } } } });
    let live = Served::create(&admin, &namespace, "live", spec).await;
    live.deployment().await;
    for (about, holds) in [
        (About::Ready, Holds::False),
        (About::RedisReady, Holds::Unknown),
    ] {
        let said = "cannot list resource \"pods\"";
        live.explains(about, holds, Reason::Forbidden, said).await;
    }
    let status = live.get().await.status.unwrap();
    assert!(status.effective.is_some() && status.url.is_some());
    allow_all().await;
    live.says(About::Ready, Holds::False, Reason::NoReplicaReady)
        .await;
    live.says(About::RedisReady, Holds::Unknown, Reason::NoReplicaReady)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_made_by_halves_says_which_half() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("by-halves").await;
    let spec = json!({ "disruptionBudget": { "enabled": false } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    live.all_pods_serve().await;
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;
    let before = live.deployment().await.metadata.generation;
    let foreign: PodDisruptionBudget = serde_json::from_value(
        json!({ "metadata": { "name": "live" }, "spec": { "maxUnavailable": 1 } }),
    )
    .unwrap();
    let budgets = live.api::<PodDisruptionBudget>();
    budgets
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();

    live.patch(json!({ "spec": { "disruptionBudget": { "enabled": true }, "retention": { "events": 7 }, "version": "9.9.9" } }))
        .await;
    for said in [
        "PodDisruptionBudget `live` exists already",
        "The Deployment was left as it is; as the resource says are already ConfigMap `live-config`, ServiceAccount `live`",
    ] {
        live.explains(About::Ready, Holds::False, Reason::NameTaken, said)
            .await;
    }
    assert!(live.configuration().await.contains("events: 7"));
    assert_eq!(live.deployment().await.metadata.generation, before);
    budgets
        .delete("live", &DeleteParams::default())
        .await
        .unwrap();
    live.says(About::Stalled, Holds::False, Reason::RollingOut)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_restarted_is_come_back_to() {
    let mut server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("restarted").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    live.deployment().await;
    server.stop_api_server();
    server.start_api_server().await;
    live.patch(json!({ "spec": { "retention": { "events": 7 } } }))
        .await;
    until("the change is seen", async || {
        live.configuration()
            .await
            .contains("events: 7")
            .then_some(())
    })
    .await;
}
