//! Reading what a resource refers to.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::gateway::gateway;
use super::{Class, Found, Resolved};
use crate::controller_profile::Controller;
use crate::crd::{KeyKind, Pinned, SseRelay};
use crate::desired::redis as users;
use crate::names::{Names, ROTATE};
use crate::prove::wanted;
use crate::references::{Key, Reference, references};
use crate::rotation::{Passwords, Stage};
use crate::tokens::{Generated, MANAGE, PROBE, PUBLISH, RedisUsers, SUBSCRIBE, Token};

/// Marks the class that Ingresses without one get.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

/// Everything that `relay` refers to. Absence is a finding; only a failure to look is an error.
pub async fn resolve(
    client: &Client,
    relay: &SseRelay,
    pinned: Pinned,
) -> Result<Resolved, kube::Error> {
    let names = Names::of(relay);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &names.namespace);
    let mut made = BTreeMap::new();
    made.insert(names.tokens(), secrets.get_opt(&names.tokens()).await?);
    if relay
        .spec
        .redis
        .as_ref()
        .is_some_and(|redis| redis.managed.is_some())
    {
        made.insert(names.users(), secrets.get_opt(&names.users()).await?);
    }
    if wanted(&relay.spec) {
        made.insert(names.probe(), secrets.get_opt(&names.probe()).await?);
    }
    Ok(Resolved {
        class: class(client, relay).await?,
        gateway: gateway(client, relay).await?,
        keys: keys(client, relay, &names).await?,
        versions: made
            .iter()
            .map(|(name, secret)| {
                let version = secret.as_ref().and_then(ResourceExt::resource_version);
                (name.clone(), version)
            })
            .collect(),
        generated: generated(&made, relay, &names),
        deployed: deployed(client, relay, &names).await?,
        pinned,
    })
}

/// Replicas of the relay's Deployment, asked for only where `autoscaling.streams` begins.
async fn deployed(
    client: &Client,
    relay: &SseRelay,
    names: &Names,
) -> Result<Option<i32>, kube::Error> {
    let status = relay.status.as_ref();
    let decided = status.and_then(|status| status.desired_replicas);
    let by_streams = relay.spec.autoscaling.as_ref();
    let by_streams = by_streams.is_some_and(|asked| asked.streams.is_some());
    if decided.is_some() || !by_streams {
        return Ok(None);
    }
    let api: Api<Deployment> = Api::namespaced(client.clone(), &names.namespace);
    let deployment = api.get_opt(&names.relay).await?;
    Ok(deployment.and_then(|deployment| deployment.spec?.replicas))
}

/// What a Secret or ConfigMap holds; nothing if it is not there.
type Held = Option<BTreeMap<String, Vec<u8>>>;

/// Each Secret and ConfigMap is read once, however many of its keys are named.
async fn keys(
    client: &Client,
    relay: &SseRelay,
    names: &Names,
) -> Result<BTreeMap<Key, Found>, kube::Error> {
    let mut held: BTreeMap<(KeyKind, String), Held> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for Reference { key, .. } in references(&relay.spec) {
        let of = (key.kind, key.name.clone());
        if !held.contains_key(&of) {
            let read = read(client, names, &key).await?;
            held.insert(of.clone(), read);
        }
        let there = match held.get(&of) {
            Some(Some(data)) => data
                .get(&key.key)
                .map_or(Found::NoKey, |value| Found::Value(value.clone())),
            _ => Found::NoObject,
        };
        found.insert(key, there);
    }
    Ok(found)
}

async fn read(client: &Client, names: &Names, key: &Key) -> Result<Held, kube::Error> {
    match key.kind {
        KeyKind::Secret => {
            let api: Api<Secret> = Api::namespaced(client.clone(), &names.namespace);
            let secret = api.get_opt(&key.name).await?;
            let data = secret.map(|secret| secret.data.unwrap_or_default());
            Ok(data.map(|data| {
                data.into_iter()
                    .map(|(key, value)| (key, value.0))
                    .collect()
            }))
        }
        KeyKind::ConfigMap => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), &names.namespace);
            let map = api.get_opt(&key.name).await?;
            let data = map.map(|map| map.data.unwrap_or_default());
            let bytes = |(key, text): (String, String)| (key, text.into_bytes());
            Ok(data.map(|data| data.into_iter().map(bytes).collect()))
        }
    }
}

/// The tokens of the generated Secret; new ones for keys that are not there or hold no token.
fn generated(
    made: &BTreeMap<String, Option<Secret>>,
    relay: &SseRelay,
    names: &Names,
) -> Generated {
    let made = |name: String| made.get(&name).and_then(Option::as_ref);
    let users = made(names.users());
    let rotate = relay.annotations().get(ROTATE).map(String::as_str);
    let token = |secret: Option<&Secret>, key: &str| {
        let data = secret.and_then(|secret| secret.data.as_ref());
        let there = data.and_then(|data| Token::read(&data.get(key)?.0).ok());
        there.unwrap_or_else(|| Token::from_random(rand::random()))
    };
    let tokens = made(names.tokens());
    Generated {
        publish: token(tokens, PUBLISH),
        subscribe: token(tokens, SUBSCRIBE),
        manage: token(tokens, MANAGE),
        probe: token(made(names.probe()), PROBE),
        redis: redis_users(users, rotate, Timestamp::now()),
    }
}

/// The users as the Secret has them, one step further if it is time for that. What cannot be read
/// is made anew.
fn redis_users(secret: Option<&Secret>, wanted: Option<&str>, now: Timestamp) -> RedisUsers {
    let fresh = || Token::from_random(rand::random());
    let read = |key: &str| {
        let data = secret.and_then(|secret| secret.data.as_ref())?;
        Token::read(&data.get(key)?.0).ok()
    };
    let told = |key: &str| Some(secret?.annotations().get(key)?.clone());
    let since = told(users::SINCE).and_then(|text| text.parse().ok());
    let stage = match (read(users::NEXT), read(users::PREVIOUS), since) {
        (Some(next), _, Some(since)) => Stage::Announced { next, since },
        (None, Some(previous), Some(since)) => Stage::Switched { previous, since },
        _ => Stage::Settled,
    };
    let passwords = Passwords {
        current: read(users::PASSWORD).unwrap_or_else(fresh),
        stage,
        // one that was asked for before there was a password is done with it
        asked: match secret {
            Some(_) => told(users::ASKED),
            None => wanted.map(ToOwned::to_owned),
        },
    };
    RedisUsers {
        passwords: passwords.step(wanted, fresh(), now),
        agent: read(users::AGENT).unwrap_or_else(fresh),
    }
}

async fn class(client: &Client, relay: &SseRelay) -> Result<Class, kube::Error> {
    let Some(ingress) = &relay.spec.ingress else {
        return Ok(Class::NotNeeded);
    };
    if ingress.controller.is_some() {
        return Ok(Class::NotNeeded);
    }
    let before = served_before(relay);
    let classes: Api<IngressClass> = Api::all(client.clone());
    let looked = match &ingress.class_name {
        Some(name) => classes.get_opt(name).await,
        None => default_class(&classes).await,
    };
    match looked {
        Ok(Some(class)) => Ok(Class::Found {
            name: class.name_any(),
            controller: class
                .spec
                .and_then(|spec| spec.controller)
                .unwrap_or_default(),
        }),
        Ok(None) => Ok(match &ingress.class_name {
            Some(name) => Class::Missing {
                name: name.clone(),
                before,
            },
            None => Class::NoDefault { before },
        }),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Class::Forbidden { before }),
        Err(error) => Err(error),
    }
}

fn served_before(relay: &SseRelay) -> Option<Controller> {
    let effective = relay.status.as_ref()?.effective.as_ref()?;
    effective.ingress_controller
}

async fn default_class(classes: &Api<IngressClass>) -> Result<Option<IngressClass>, kube::Error> {
    let list = classes.list(&ListParams::default()).await?;
    Ok(list
        .into_iter()
        .find(|class| class.annotations().get(DEFAULT_CLASS).map(String::as_str) == Some("true")))
}
