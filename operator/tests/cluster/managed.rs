//! A relay with a Redis of its own: the real Redis, agent and relay, with what the operator wrote.

use std::path::Path;
use std::process::Command;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};
use sse_relay_operator::desired::redis::{ACL, AGENT, NEXT, PASSWORD, PREVIOUS, SINCE};
use sse_relay_operator::names::ROTATE;
use tempfile::TempDir;

use super::operator::{Operator, Served};
use super::programs::{RelayProcess, free_port, relay_program};
use super::server::{Process, Server, User};
use super::{shared, until};

fn managed(more: Value) -> Value {
    json!({ "redis": { "managed": more } })
}

/// What Kubernetes would do with the pod of Redis: files of its Secret, the server, its agent.
struct RedisPod {
    folder: TempDir,
    port: u16,
    server: Option<Process>,
    _agent: Process,
}

impl RedisPod {
    async fn start(live: &Served) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(at("data")).unwrap();
        let map = live.api::<ConfigMap>().get("live-redis").await.unwrap();
        let port = free_port();
        let text = map.data.unwrap()["redis.conf"]
            .replace("bind * -::*", "bind 127.0.0.1")
            .replace("port 6379", &format!("port {port}"))
            .replace("/etc/redis-users", &folder.path().display().to_string())
            .replace("/data", &at("data"));
        std::fs::write(at("redis.conf"), text).unwrap();
        mount(live, folder.path()).await;
        let words = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let server = redis_server(folder.path());
        let agent = Process::start(
            &words(&[
                &relay_program().display().to_string(),
                "redis-agent",
                "--users",
                &at(ACL),
                "--redis",
                &format!("127.0.0.1:{port}"),
                "--password-file",
                &at(AGENT),
                "--listen",
                &format!("127.0.0.1:{}", free_port()),
            ]),
            Path::new(&at("agent.log")),
        );
        Self {
            folder,
            port,
            server: Some(server),
            _agent: agent,
        }
    }

    /// Kills Redis, and starts it again on what it has on disk.
    fn restart(&mut self) {
        self.server = None;
        self.server = Some(redis_server(self.folder.path()));
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Whether Redis takes this password of the relay's user.
    fn takes(&self, password: &str) -> bool {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port, "--user", "relay", "PING"])
            .env("REDISCLI_AUTH", password)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains("PONG")
    }

    async fn until_takes(&self, password: &str, expected: bool) {
        until("Redis has the users", async || {
            (self.takes(password) == expected).then_some(())
        })
        .await;
    }
}

fn redis_server(folder: &Path) -> Process {
    let file = folder.join("redis.conf").display().to_string();
    let command = ["redis-server".to_owned(), file];
    Process::start(&command, &folder.join("redis.log"))
}

/// Files of the Secret, as the kubelet renews them.
async fn mount(live: &Served, folder: &Path) {
    for (key, value) in secret(live).await.data.unwrap() {
        let new = folder.join(format!("{key}.new"));
        std::fs::write(&new, value.0).unwrap();
        std::fs::rename(new, folder.join(key)).unwrap();
    }
}

async fn secret(live: &Served) -> Secret {
    live.api::<Secret>().get("live-users").await.unwrap()
}

async fn value(live: &Served, key: &str) -> Option<String> {
    let data = secret(live).await.data.unwrap();
    let value = data.get(key)?;
    Some(String::from_utf8(value.0.clone()).unwrap())
}

/// As if the step before had been made long ago, until `done` says that the next one was made. The
/// Secret is changed only as it was looked at: the operator may write it at the same time, and must
/// not be sent two steps further.
async fn later<T>(live: &Served, what: &str, done: impl Fn(&Secret) -> Option<T>) -> T {
    until(what, async || {
        let there = secret(live).await;
        if let Some(found) = done(&there) {
            return Some(found);
        }
        let patch = json!({ "metadata": {
            "resourceVersion": there.resource_version(),
            "annotations": { SINCE: "2020-01-01T00:00:00Z" } } });
        let patched = live
            .api::<Secret>()
            .patch("live-users", &PatchParams::default(), &Patch::Merge(patch))
            .await;
        match patched {
            Err(kube::Error::Api(status)) if status.code == 409 => None,
            other => other.map(|_| None).unwrap(),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_works_with_its_own_redis_while_its_password_is_replaced() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("redis-managed").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = managed(json!({ "memory": "64Mi", "storage": { "size": "128Mi" } }));
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.deployment().await;
    let condition = live
        .says(
            About::RedisHighlyAvailable,
            Holds::False,
            Reason::SingleServer,
        )
        .await;
    assert!(
        condition.message.contains("redis.external"),
        "{condition:?}"
    );
    let redis = RedisPod::start(&live).await;
    let first = value(&live, PASSWORD).await.unwrap();
    redis.until_takes(&first, true).await;
    assert!(!redis.takes("wrong") && !redis.takes(""));

    let url = format!("redis://127.0.0.1:{}", redis.port);
    let relay = RelayProcess::start(
        &live.configuration().await,
        &[
            ("SSE_RELAY_REDIS__URL", &url),
            (
                "SSE_RELAY_REDIS__CREDENTIALS__PASSWORD_FILE",
                &redis.file(PASSWORD),
            ),
        ],
    )
    .await;
    live.pod("live-1", relay.address).await;
    live.says(About::RedisReady, Holds::True, Reason::AsAsked)
        .await;

    live.patch(json!({ "metadata": { "annotations": { ROTATE: "monday" } } }))
        .await;
    let next = until("a new password is announced", async || {
        value(&live, NEXT).await
    })
    .await;
    assert_eq!(value(&live, PASSWORD).await.unwrap(), first);
    mount(&live, redis.folder.path()).await;
    redis.until_takes(&next, true).await;
    assert!(redis.takes(&first));

    let has = |secret: &Secret, key: &str| secret.data.as_ref().unwrap().contains_key(key);
    later(&live, "the relay is to use it", |secret| {
        has(secret, PREVIOUS).then_some(())
    })
    .await;
    assert_eq!(value(&live, PASSWORD).await.unwrap(), next);
    mount(&live, redis.folder.path()).await;
    assert!(redis.takes(&first) && redis.takes(&next));

    later(&live, "the old one is forgotten", |secret| {
        (!has(secret, PREVIOUS)).then_some(())
    })
    .await;
    mount(&live, redis.folder.path()).await;
    redis.until_takes(&first, false).await;
    assert!(redis.takes(&next));
    live.says(About::RedisReady, Holds::True, Reason::AsAsked)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_was_told_outlives_its_redis() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("redis-restarts").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let mut spec = managed(json!({ "memory": "64Mi", "storage": { "size": "128Mi" } }));
    spec["auth"] = json!({ "anonymous": { "publish": ["**"], "subscribe": ["**"] } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.deployment().await;
    let mut redis = RedisPod::start(&live).await;
    let password = value(&live, PASSWORD).await.unwrap();
    redis.until_takes(&password, true).await;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let password_file = redis.file(PASSWORD);
    let variables = [
        ("SSE_RELAY_REDIS__URL", url.as_str()),
        (
            "SSE_RELAY_REDIS__CREDENTIALS__PASSWORD_FILE",
            &password_file,
        ),
    ];
    let configuration = live.configuration().await;
    let path = "/v1/channels/a/events";
    for number in 0..3 {
        // a new one each time: it remembers nothing of its own
        let relay = RelayProcess::start(&configuration, &variables).await;
        until("the relay takes an event", async || {
            let answer = relay.request("POST", path, &format!("told {number}"));
            answer.starts_with("HTTP/1.1 201").then_some(())
        })
        .await;
        until("the log has all that it was told", async || {
            let has = relay.request("GET", path, "");
            let all = (0..=number).all(|told| has.contains(&format!("told {told}")));
            all.then_some(())
        })
        .await;
        drop(relay);
        redis.restart();
        redis.until_takes(&password, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_grows_while_its_pod_goes_on_and_never_shrinks() {
    // one of its own: controllers would act in the namespaces of other tests too
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("grows").await;
    let _controllers = server.controllers("statefulset-controller,garbage-collector-controller");
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": { "name": "elastic" }, "provisioner": "example.com/none", "allowVolumeExpansion": true }))
    .unwrap();
    Api::<StorageClass>::all(client.clone())
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = managed(json!({ "storage": { "size": "1Gi", "className": "elastic" } }));
    let live = Served::create(&client, &namespace, "live", spec).await;
    let pods = live.api::<Pod>();
    let pod = until("the pod is made", async || {
        pods.get("live-redis-0").await.ok()
    })
    .await;
    let claims = live.api::<PersistentVolumeClaim>();
    let bound = json!({ "status": { "phase": "Bound" } });
    claims
        .patch_status(
            "data-live-redis-0",
            &PatchParams::default(),
            &Patch::Merge(bound),
        )
        .await
        .unwrap();
    let sets = live.api::<StatefulSet>();
    let set = sets.get("live-redis").await.unwrap();

    let size = |size: &str| json!({ "spec": managed(json!({ "storage": { "size": size } })) });
    live.patch(size("2Gi")).await;
    until("the StatefulSet is made anew", async || {
        let new = sets.get("live-redis").await.ok()?;
        (new.uid() != set.uid()).then_some(())
    })
    .await;
    let claim = claims.get("data-live-redis-0").await.unwrap();
    let requests = claim.spec.unwrap().resources.unwrap().requests.unwrap();
    assert_eq!(requests["storage"].0, "2Gi");
    until("the pod belongs to the new one", async || {
        let pod = pods.get("live-redis-0").await.ok()?;
        let new = sets.get("live-redis").await.ok()?;
        let owner = pod.owner_references().first()?.uid.clone();
        (Some(owner) == new.uid()).then_some(())
    })
    .await;
    let kept = pods.get("live-redis-0").await.unwrap();
    assert_eq!(kept.uid(), pod.uid());

    let said = live.try_patch(size("1Gi")).await.unwrap_err().to_string();
    assert!(said.contains("a volume can grow, not shrink"), "{said}");
}

/// A claim as the controller of StatefulSets makes it, which does not run here.
async fn claim(live: &Served, class: &str, phase: &str) {
    let name = format!("data-{}-redis-0", live.name);
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": { "requests": { "storage": "1Gi" } } } }))
    .unwrap();
    let claims = live.api::<PersistentVolumeClaim>();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    let status = json!({ "status": { "phase": phase } });
    claims
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_cannot_grow_is_told_and_keeps_nothing_else_from_being_done() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("cannot-grow").await;
    let classes = Api::<StorageClass>::all(client.clone());
    for (name, expands) in [("rigid", false), ("expands", true)] {
        let class: StorageClass = serde_json::from_value(json!({
            "metadata": { "name": name }, "provisioner": "example.com/none", "allowVolumeExpansion": expands }))
        .unwrap();
        classes
            .create(&PostParams::default(), &class)
            .await
            .unwrap();
    }
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    for (name, class, phase) in [("rigid", "rigid", "Bound"), ("waits", "expands", "Pending")] {
        let spec = managed(json!({ "storage": { "size": "1Gi", "className": class } }));
        let live = Served::create(&client, &namespace, name, spec).await;
        live.deployment().await;
        live.says(About::VolumeReady, Holds::True, Reason::AsAsked)
            .await;
        claim(&live, class, phase).await;
        let mut change = managed(json!({ "storage": { "size": "2Gi" } }));
        change["version"] = "0.2.0".into();
        live.patch(json!({ "spec": change })).await;
        live.explains(
            About::VolumeReady,
            Holds::False,
            Reason::VolumeCannotGrow,
            "allowVolumeExpansion: true",
        )
        .await;
        live.says(About::Stalled, Holds::True, Reason::VolumeCannotGrow)
            .await;
        let image = |pod: Option<k8s_openapi::api::core::v1::PodSpec>| {
            let container = pod.unwrap().containers.pop().unwrap();
            container.image.unwrap()
        };
        until("the pods are of the new version all the same", async || {
            let deployment = live.deployment().await.spec?.template.spec;
            image(deployment).ends_with(":0.2.0").then_some(())
        })
        .await;
        let set = live.api::<StatefulSet>();
        let set = set.get(&format!("{name}-redis")).await.unwrap();
        let set = set.spec.unwrap();
        assert!(image(set.template.spec).ends_with(":0.2.0"));
        let template = set.volume_claim_templates.unwrap().pop().unwrap();
        let requests = template.spec.unwrap().resources.unwrap().requests.unwrap();
        assert_eq!(requests["storage"].0, "1Gi");
    }

    let rigid = Served {
        client: client.clone(),
        namespace,
        name: "rigid".to_owned(),
    };
    let expands = json!({ "allowVolumeExpansion": true });
    let merge = Patch::Merge(expands);
    classes
        .patch("rigid", &PatchParams::default(), &merge)
        .await
        .unwrap();
    rigid
        .says(About::VolumeReady, Holds::True, Reason::AsAsked)
        .await;
    let claims = rigid.api::<PersistentVolumeClaim>();
    let claim = claims.get("data-rigid-redis-0").await.unwrap();
    let requests = claim.spec.unwrap().resources.unwrap().requests.unwrap();
    assert_eq!(requests["storage"].0, "2Gi");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_whose_image_cannot_be_pulled_is_told_with_what_to_check() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("redis-image").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", managed(json!({}))).await;
    live.deployment().await;
    let set = live.api::<StatefulSet>().get("live-redis").await.unwrap();
    let labels = set.spec.unwrap().template.metadata.unwrap().labels;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "live-redis-0", "labels": labels },
        "spec": { "serviceAccountName": "live", "automountServiceAccountToken": false, "containers": [{ "name": "redis", "image": "none" }] } }))
    .unwrap();
    let pods = live.api::<Pod>();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    // as the kubelet of a node says it
    live.pod_is(
        "live-redis-0",
        json!({ "phase": "Pending", "containerStatuses": [{
            "name": "redis", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } } }] }),
    )
    .await;
    live.explains(
        About::RedisReady,
        Holds::False,
        Reason::PodCannotStart,
        "check spec.redis.managed.image",
    )
    .await;
}
