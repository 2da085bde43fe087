//! The chart, with Helm 3 and with Helm 4, as the API server takes it.

use std::path::Path;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason, SseRelay};

use super::helm::{Helm, NAMESPACE, RELEASE, chart};
use super::operator::{Operator, Served, relay};
use super::server::{Server, User};
use super::until;

const DEFINITION: &str = "sserelays.sserelay.dev";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The first object of this kind.
fn first<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

fn variable<'a>(deployment: &'a Value, name: &str) -> &'a Value {
    let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let variables = variables.as_array().unwrap();
    let found = variables.iter().find(|variable| variable["name"] == name);
    &found.unwrap()["value"]
}

#[test]
fn a_registry_of_one_s_own_with_digests_and_credentials_is_used_for_every_image() {
    for helm in Helm::each() {
        let values = format!(
            "image.repository=r.example.com/operator,image.digest={DIGEST},relay.repository=r.example.com/relay,relay.digest={DIGEST},redis.repository=r.example.com/valkey,redis.digest={DIGEST},imagePullSecrets[0].name=mirror"
        );
        let objects = helm.render(&["--set", &values]);
        let deployment = first(&objects, "Deployment").unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        let own = format!("r.example.com/operator@{DIGEST}");
        assert_eq!(pod["containers"][0]["image"], own);
        assert_eq!(pod["imagePullSecrets"], json!([{ "name": "mirror" }]));
        let relay = format!("r.example.com/relay@{DIGEST}");
        assert_eq!(variable(deployment, "RELAY_IMAGE"), &relay);
        let redis = format!("r.example.com/valkey:8.1@{DIGEST}");
        assert_eq!(variable(deployment, "REDIS_IMAGE"), &redis);
    }
}

#[test]
fn authorities_and_hosts_of_one_s_own_are_known_to_the_operator() {
    for helm in Helm::each() {
        let plain = helm.render(&[]);
        let pod = &first(&plain, "Deployment").unwrap()["spec"]["template"]["spec"];
        assert_eq!(
            (&pod["volumes"], &pod["hostAliases"]),
            (&Value::Null, &Value::Null)
        );

        let values = "trust.configMap=authorities,trust.key=bundle.pem,hostAliases[0].ip=198.51.100.7,hostAliases[0].hostnames={sse.example.com}";
        let objects = helm.render(&["--set", values]);
        let deployment = first(&objects, "Deployment").unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        let file =
            json!({ "name": "authorities", "items": [{ "key": "bundle.pem", "path": "ca.crt" }] });
        assert_eq!(pod["volumes"][0]["configMap"], file);
        let mount = pod["containers"][0]["volumeMounts"][0]["mountPath"].as_str();
        let path = format!("{}/ca.crt", mount.unwrap());
        assert_eq!(variable(deployment, "TRUST_FILE"), &path);
        let alias = json!([{ "ip": "198.51.100.7", "hostnames": ["sse.example.com"] }]);
        assert_eq!(pod["hostAliases"], alias);
    }
}

#[test]
fn the_chart_passes_the_linter_and_a_wrong_value_is_refused() {
    for helm in Helm::each() {
        let chart = chart();
        let chart = chart.to_str().unwrap();
        helm.run(&["lint", "--strict", chart]).unwrap();
        for wrong in [
            "replica=3",
            "replicas=-1",
            "image.pullPolicy=Sometimes",
            "relay.digest=sha256:12",
            "watchNamespaces=shop",
            "serviceMonitor.interval=often",
            "rbac.optional.traefik=true",
            "trust.secret=authorities",
            "hostAliases[0].ip=198.51.100.7",
        ] {
            let arguments = ["template", "x", chart, "--set", wrong];
            assert!(helm.run(&arguments).is_err(), "{wrong}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_everything_in_the_chart() {
    let server = Server::start().await;
    server.install_foreign_definitions().await;
    let client = server.client(User::Admin);
    for namespace in [NAMESPACE, "shop"] {
        server.namespace(namespace).await;
    }
    // nothing is kept, but the pod of `helm test` wants its account to be there
    let mut account = ServiceAccount::default();
    account.metadata.name = Some(RELEASE.to_owned());
    Api::namespaced(client.clone(), NAMESPACE)
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let strict = PatchParams::apply("helm").validation_strict().force();
    for helm in Helm::each() {
        for values in [
            "replicas=2",
            "serviceMonitor.enabled=true,dashboard.enabled=true,dashboard.annotations.grafana_folder=sse",
            "watchNamespaces={shop},priorityClassName=high,nodeSelector.disk=none,podLabels.team=infra",
            "rbac.aggregate=false,replicas=1,crds.keep=false",
        ] {
            for object in helm.render(&["--set", values]) {
                let object: DynamicObject = serde_json::from_value(object).unwrap();
                let kind = GroupVersionKind::try_from(object.types.clone().unwrap()).unwrap();
                let resource = ApiResource::from_gvk(&kind);
                let cluster =
                    kind.kind.starts_with("ClusterRole") || kind.kind == "CustomResourceDefinition";
                let api: Api<DynamicObject> = if cluster {
                    Api::all_with(client.clone(), &resource)
                } else {
                    let namespace = object.namespace();
                    let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
                    Api::namespaced_with(client.clone(), &namespace, &resource)
                };
                let name = object.name_any();
                let taken = api
                    .patch(&name, &strict.clone().dry_run(), &Patch::Apply(&object))
                    .await;
                taken.unwrap_or_else(|error| panic!("{values}: {} {name}: {error}", kind.kind));
            }
        }
    }
}

/// A copy of the chart as it was before the definition had `spec.cors`.
fn former_chart(folder: &Path) {
    let copied = std::process::Command::new("cp")
        .args(["-r", chart().to_str().unwrap(), folder.to_str().unwrap()])
        .status();
    assert!(copied.unwrap().success());
    let file = folder.join("files/sserelays.sserelay.dev.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut definition: Value = serde_saphyr::from_str(&text).unwrap();
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer_mut(fields).unwrap().as_object_mut();
    fields.unwrap().remove("cors").unwrap();
    std::fs::write(&file, serde_saphyr::to_string(&definition).unwrap()).unwrap();
}

async fn knows_cors(definitions: &Api<CustomResourceDefinition>) -> bool {
    let definition = definitions.get(DEFINITION).await.unwrap();
    let json = serde_json::to_value(definition).unwrap();
    let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/cors";
    json.pointer(field).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_brings_the_new_definition_and_relays_outlive_the_chart() {
    for helm in Helm::each() {
        let server = Server::start().await;
        let client = server.client(User::Admin);
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        definitions
            .delete(DEFINITION, &DeleteParams::default())
            .await
            .unwrap();
        until("the tests' definition is gone", async || {
            definitions
                .get_opt(DEFINITION)
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let former = folder.path().join("former");
        former_chart(&former);
        let former = former.to_str().unwrap();
        helm.at(&server, &["install", RELEASE, former, "--create-namespace"])
            .unwrap();
        server.serves(DEFINITION).await;
        assert!(!knows_cors(&definitions).await);
        let relays: Api<SseRelay> = Api::namespaced(client.clone(), "default");
        let live = relay("live", json!({ "maxStreams": 500 }));
        until("a relay is taken", async || {
            relays.create(&PostParams::default(), &live).await.ok()
        })
        .await;
        let uid = relays.get("live").await.unwrap().uid();

        let chart = chart();
        let chart = chart.to_str().unwrap();
        helm.at(&server, &["upgrade", RELEASE, chart]).unwrap();
        assert!(knows_cors(&definitions).await);
        helm.at(&server, &["uninstall", RELEASE]).unwrap();
        assert_eq!(relays.get("live").await.unwrap().uid(), uid);
        // the definition that stayed is no obstacle
        helm.at(&server, &["install", RELEASE, chart]).unwrap();
        assert_eq!(relays.get("live").await.unwrap().uid(), uid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_the_watched_namespaces_are_enough_and_reach_no_others() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let watched = server.namespace("watched").await;
    let other = server.namespace("other").await;
    let helm = Helm::of("4");
    helm.install(&server, &["--set", "watchNamespaces={watched}"]);
    let account = server.account(NAMESPACE, RELEASE).await;
    let operator = Operator::of(account.clone(), &watched, "0.1.0");
    let spec = json!({ "redis": { "managed": {} }, "ingress": { "hosts": ["a.example.com"] } });
    let live = Served::create(&client, &watched, "live", spec).await;
    live.deployment().await;
    // it may not read IngressClasses, and says what to do about it
    live.says(About::RouteReady, Holds::Unknown, Reason::ControllerUnknown)
        .await;
    live.patch(json!({ "spec": { "ingress": { "controller": "traefik" } } }))
        .await;
    live.says(About::RouteReady, Holds::True, Reason::NeedsAdministrator)
        .await;
    operator.stop().await;

    let relays: Api<SseRelay> = Api::namespaced(account.clone(), &other);
    let refused = relays.list(&Default::default()).await.unwrap_err();
    assert!(refused.to_string().contains("forbidden"), "{refused}");
    let secrets: Api<Secret> = Api::namespaced(account, &other);
    let refused = secrets.list(&Default::default()).await.unwrap_err();
    assert!(refused.to_string().contains("forbidden"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_edit_a_namespace_may_have_relays_in_it_and_viewers_may_see_them() {
    let server = Server::start().await;
    let namespace = server.namespace("tenant").await;
    let client = server.client(User::Admin);
    let _controllers = server.controllers("clusterrole-aggregation-controller");
    Helm::of("4").install(&server, &[]);
    let tenant = server.client(User::Limited);
    let relays: Api<SseRelay> = Api::namespaced(tenant, &namespace);
    let bind = async |role: &str| {
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "limited" }] }))
        .unwrap();
        let bindings = Api::namespaced(client.clone(), &namespace);
        let post = PostParams::default();
        bindings.create(&post, &binding).await.unwrap();
    };
    assert!(relays.list(&Default::default()).await.is_err());
    bind("view").await;
    until("a viewer sees relays", async || {
        relays.list(&Default::default()).await.ok()
    })
    .await;
    let live = relay("live", json!({}));
    let refused = relays.create(&PostParams::default(), &live).await;
    assert!(refused.unwrap_err().to_string().contains("forbidden"));
    bind("edit").await;
    until("an editor makes one", async || {
        relays.create(&PostParams::default(), &live).await.ok()
    })
    .await;
    let scale = json!({ "spec": { "replicas": 0 } });
    relays
        .patch_scale("live", &PatchParams::default(), &Patch::Merge(scale))
        .await
        .unwrap();
    let refused = relays
        .patch_status(
            "live",
            &PatchParams::default(),
            &Patch::Merge(json!({ "status": {} })),
        )
        .await;
    assert!(refused.is_err(), "the status is the operator's");
}
