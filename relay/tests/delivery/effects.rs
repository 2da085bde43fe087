//! What a changed configuration does, one kind of setting after the other, while events are published: each
//! change has its effect on newcomers, and not one stream is lost that may stay.

use super::{
    client::{Request, Subscriber},
    relay::{Event, PATIENCE, Publisher, Relay, eventually, exchange},
};
use relay_config::Algorithm;
use rustix::process::Signal;
use serde_json::json;
use sse_relay::auth::{hash_of, jwt::sign::SigningKey};
use std::{
    cell::Cell,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};
use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";
const BACKEND: &str = "a token that stays";

/// A Secret as Kubernetes mounts it: a link to the version that holds.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path) -> Mount {
        let mount = Mount(folder.join("mount"));
        fs::create_dir(&mount.0).unwrap();
        for (version, secret) in [("..1", OLD), ("..2", NEW)] {
            fs::create_dir(mount.0.join(version)).unwrap();
            fs::write(mount.0.join(version).join("secret"), secret).unwrap();
        }
        symlink("..1", mount.0.join("..data")).unwrap();
        symlink("..data/secret", mount.0.join("secret")).unwrap();
        mount
    }

    fn swap(&self) {
        let next = self.0.join("..data_tmp");
        symlink("..2", &next).unwrap();
        fs::rename(&next, self.0.join("..data")).unwrap();
    }
}

fn document(mount: &Mount, more: &str) -> String {
    let (secret, backend) = (mount.0.join("secret"), hash_of(BACKEND));
    format!(
        "auth:\n  anonymous: {{publish: ['**'], subscribe: ['public.**']}}\n  \
         tokens: [{{name: backend, sha256: {backend}, subscribe: ['**']}}]\n  \
         jwt: [{{name: users, keys: [{{secretFile: {secret:?}}}], grant: {{subscribe: ['**'], manage: [observe]}}}}]\n{more}\n"
    )
}

fn token(secret: &str) -> String {
    let key = SigningKey::new(Algorithm::HS256, secret.as_bytes()).unwrap();
    let claims = json!({"sub": "ann", "exp": 4_000_000_000_u64});
    let token = key.sign(None, claims.as_object().unwrap()).unwrap();
    format!("Bearer {token}")
}

async fn open(relay: &Relay, channel: &str, headers: &[(&'static str, &str)]) -> Subscriber {
    let request = Request::new(format!("channel={channel}"));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(name, *value)
    });
    Subscriber::open(relay.public, &request).await
}

async fn changes(relay: &Relay, yaml: &str, count: f64) {
    relay.rewrite(yaml);
    let applied = "sse_relay_config_reloads_total{outcome=\"applied\"}";
    eventually("it is applied", async || {
        relay.metric(applied).await >= count
    })
    .await;
}

/// With a log that tells of errors only.
fn quiet(more: &str) -> String {
    format!("{more}\nlogging: {{level: error}}")
}

/// Every kind of setting, one after the other.
async fn all_effects(relay: &Relay, mount: &Mount) {
    let (old, new) = (token(OLD), token(NEW));
    let status =
        async |headers: &[(&'static str, &str)]| open(relay, "public.x", headers).await.status;

    // limits: a lower one holds for newcomers, and goes away again
    changes(
        relay,
        &document(mount, &quiet("limits: {total: {streams: 5}}")),
        1.0,
    )
    .await;
    let limited = async || {
        let mut opened = Vec::new();
        for _ in 0..7 {
            opened.push(open(relay, "public.x", &[]).await);
        }
        opened.iter().filter(|stream| stream.status == 503).count()
    };
    assert!(limited().await >= 2);
    changes(relay, &document(mount, &quiet("")), 2.0).await;
    assert_eq!(limited().await, 0);

    // origins
    let page = [("origin", "https://app.example")];
    let shared = async || {
        let head = open(relay, "public.x", &page)
            .await
            .head
            .to_ascii_lowercase();
        head.contains("access-control-allow-origin: https://app.example")
    };
    assert!(!shared().await);
    changes(
        relay,
        &document(mount, &quiet("cors: {origins: ['https://app.example']}")),
        3.0,
    )
    .await;
    assert!(shared().await);

    // proxies, and what is believed of them; the log's level besides
    let plain = [("x-forwarded-proto", "http")];
    assert_eq!(status(&plain).await, 200);
    assert!(!relay.log().contains("events.connected"));
    let proxies = "proxies: {trusted: ['127.0.0.1'], plaintext: refuse}\nlogging: {level: info}";
    changes(relay, &document(mount, proxies), 4.0).await;
    assert_eq!(status(&plain).await, 403);
    assert_eq!(status(&[]).await, 200);
    eventually("it is logged", async || {
        relay.log().contains("events.connected")
    })
    .await;

    // settings of channels
    let mut publisher = Publisher::new(relay).await;
    let long = json!({"data": "x".repeat(100)}).to_string();
    assert_eq!(publisher.post("small.x", &long).await.status, 201);
    changes(
        relay,
        &document(mount, "channels: [{match: 'small.**', maxEventBytes: 50}]"),
        5.0,
    )
    .await;
    // a batch of one, in which that one is refused
    let refused = publisher.post("small.x", &long).await;
    assert!(refused.body.contains("event-too-large"), "{}", refused.body);
    assert_eq!(publisher.post("large.x", &long).await.status, 201);

    // credentials: what everybody may
    assert_eq!(open(relay, "open.x", &[]).await.status, 401);
    let wider = document(mount, "").replace("'public.**'", "'public.**', 'open.**'");
    changes(relay, &wider, 6.0).await;
    assert_eq!(open(relay, "open.x", &[]).await.status, 200);

    // keys, by the swap of a Secret's link: newcomers need the new one
    let bearer = async |token: &str| {
        let headers = [("authorization", token)];
        open(relay, "private.y", &headers).await.status
    };
    assert_eq!((bearer(&old).await, bearer(&new).await), (200, 401));
    mount.swap();
    eventually("the new key", async || bearer(&new).await == 200).await;
    assert_eq!(bearer(&old).await, 401);

    // a signal reads all of it again
    let applied = "sse_relay_config_reloads_total{outcome=\"applied\"}";
    let before = relay.metric(applied).await;
    relay.send(Signal::HUP);
    eventually("it was read", async || relay.metric(applied).await > before).await;

    // what is broken changes nothing, loudly
    let refused = "sse_relay_config_reloads_total{outcome=\"refused\"}";
    relay.rewrite(&document(mount, "limits: {total: {streams: none}}"));
    eventually("it is refused", async || relay.metric(refused).await >= 1.0).await;
    eventually("it is said", async || {
        relay.log().contains("config.refused")
    })
    .await;
    assert_eq!(open(relay, "open.x", &[]).await.status, 200);
    assert_eq!(bearer(&new).await, 200);
    let ready = exchange(relay.admin, "GET /readyz", "").await.unwrap();
    assert_eq!(ready.status, 200);
}

#[tokio::test]
async fn each_setting_has_its_effect_under_load_and_not_one_stream_is_lost() {
    let folder = tempfile::TempDir::new().unwrap();
    let mount = Mount::new(folder.path());
    let begin = document(&mount, "logging: {level: error}");
    fs::write(folder.path().join("config.yaml"), begin).unwrap();
    let relay = Rc::new(Relay::start_in(folder).await);
    let (old, backend) = (token(OLD), format!("Bearer {BACKEND}"));
    let (mut kept, mut going) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        kept.push(open(&relay, "public.x", &[]).await);
        kept.push(open(&relay, "private.x", &[("authorization", &*backend)]).await);
        // the key of their token is taken away on the way
        going.push(open(&relay, "private.x", &[("authorization", &*old)]).await);
    }
    assert!(kept.iter().chain(&going).all(|stream| stream.status == 200));
    let (last, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let local = LocalSet::new();
    let publishing = local.spawn_local({
        let (relay, last, stop) = (relay.clone(), last.clone(), stop.clone());
        async move {
            let mut publisher = Publisher::new(&relay).await;
            while !stop.get() {
                last.set(last.get() + 1);
                for channel in ["private.x", "public.x"] {
                    let event = Event::new(last.get().to_string());
                    publisher.publish(channel, event).await;
                }
                sleep(Duration::from_millis(2)).await;
            }
        }
    });
    local
        .run_until(async {
            all_effects(&relay, &mount).await;
            stop.set(true);
            publishing.await.unwrap();
            for stream in &mut kept {
                let data = timeout(PATIENCE, stream.rest_until(&last.get().to_string())).await;
                let numbers = data.expect("all of them").into_iter();
                let numbers: Vec<u32> = numbers.map(|data| data.parse().unwrap()).collect();
                assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
                assert_eq!(stream.end, None);
            }
            for stream in &mut going {
                let rest = timeout(PATIENCE, stream.rest()).await.expect("it ends");
                let end = rest.last().expect("it is told why");
                assert_eq!((&*end.kind, &*end.data), ("end", r#"{"reason":"revoked"}"#));
            }
        })
        .await;
}
