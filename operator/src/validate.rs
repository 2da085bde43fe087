//! Whether a resource can work with what it refers to; what it means, if it can.

mod gateway;
mod ingress;
mod way_in;

pub use way_in::{By, Doubt, WayIn};

use std::collections::BTreeMap;

use relay_config::{ByteSize, Config};

use self::way_in::{exposed, way_in};
use crate::controller_profile::Profile;
use crate::crd::{Exposed, KeyKind, Pinned, Reason, SseRelay, SseRelaySpec};
use crate::desired::beginning;
use crate::document::{self, Credentials, Given, Leaving, Unread, path_in_resource};
use crate::names::Names;
use crate::prove::wanted;
use crate::references::{Key, Purpose, Reference, references};
use crate::resolve::{Found, Resolved};
use crate::scaling::{Aim, replicas};
use crate::sizing::Sizing;
use crate::tokens::Token;

/// What a resource means: everything that objects are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Valid {
    /// What its objects are called.
    pub names: Names,
    /// What was written.
    pub spec: SseRelaySpec,
    /// The relay's configuration.
    pub config: Config,
    /// Replicas that are asked for.
    pub replicas: i32,
    /// What a replica needs.
    pub sizing: Sizing,
    /// How long one takes to leave.
    pub leaving: Leaving,
    /// The version that runs.
    pub version: String,
    /// The image that runs.
    pub image: String,
    /// The Redis that the operator runs for it.
    pub redis: Option<Store>,
    /// The way in from outside.
    pub way_in: Option<WayIn>,
}

impl Valid {
    /// What the way in from outside needs.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.way_in.as_ref().map(|way_in| &way_in.profile)
    }

    /// What stands against streaming well on the way in from outside.
    #[must_use]
    pub fn doubt(&self) -> Option<&Doubt> {
        self.way_in.as_ref()?.doubt.as_ref()
    }
}

/// A Redis that the operator runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Its image.
    pub image: String,
    /// Memory of its pod.
    pub memory: ByteSize,
    /// Size of its volume.
    pub size: ByteSize,
}

/// One thing that must be corrected before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Why, in one word.
    pub reason: Reason,
    /// The field, what is wrong with it, and what to do.
    pub message: String,
}

/// What `relay` means, or all that must be corrected.
pub fn validate(relay: &SseRelay, resolved: &Resolved) -> Result<Valid, Vec<Fault>> {
    let spec = &relay.spec;
    let names = Names::of(relay);
    let named = named(spec, resolved)?;
    let given = Given {
        names: &names,
        credentials: match &spec.auth {
            None => Credentials::Generated(&resolved.generated),
            Some(auth) => Credentials::Named(auth, &named.hashes),
        },
        probe: wanted(spec).then_some(&resolved.generated.probe),
        texts: &named.texts,
    };
    let (config, sizing, leaving) =
        document::configuration(spec, &given).map_err(|unread| invalid(unread.0.into_iter()))?;
    config.validate().map_err(|problems| {
        let located = problems
            .into_iter()
            .map(|problem| (path_in_resource(&problem.path), problem.message));
        invalid(located)
    })?;
    let mut unread = Unread::default();
    let _ = Aim::of(spec, &mut unread); // it is used elsewhere; here its texts are read
    if !unread.0.is_empty() {
        return Err(invalid(unread.0.into_iter()));
    }
    shown(spec, &config)?;
    let redis = store(spec, resolved)?;
    let way_in = way_in(&names, spec, resolved, &leaving, &config);
    Ok(Valid {
        version: spec
            .version
            .clone()
            .unwrap_or_else(|| resolved.pinned.version.clone()),
        image: image(spec, resolved),
        spec: spec.clone(),
        names,
        config,
        replicas: replicas(spec, relay.status.as_ref(), resolved.deployed),
        sizing,
        leaving,
        redis,
        way_in,
    })
}

fn invalid(problems: impl Iterator<Item = (String, String)>) -> Vec<Fault> {
    problems
        .map(|(path, message)| Fault {
            reason: Reason::InvalidSpec,
            message: format!("spec.{path}: {message}"),
        })
        .collect()
}

/// What stands in the keys that the spec names, as far as the configuration needs it.
#[derive(Default)]
struct Named {
    /// Of tokens, in the order of the spec.
    hashes: Vec<String>,
    texts: BTreeMap<Key, String>,
}

fn named(spec: &SseRelaySpec, resolved: &Resolved) -> Result<Named, Vec<Fault>> {
    let mut named = Named::default();
    let mut faults = Vec::new();
    for reference in references(spec) {
        if let Err((reason, message)) = take(&reference, resolved, &mut named) {
            faults.push(Fault {
                reason,
                message: format!("spec.{}: {message}", reference.path),
            });
        }
    }
    if faults.is_empty() {
        Ok(named)
    } else {
        Err(faults)
    }
}

fn take(
    reference: &Reference,
    resolved: &Resolved,
    named: &mut Named,
) -> Result<(), (Reason, String)> {
    let value = value(&reference.key, resolved)?;
    let Key { kind, name, key } = &reference.key;
    let wrong = |why: &str| {
        (
            Reason::InvalidSpec,
            format!("key `{key}` of {kind} `{name}` {why}"),
        )
    };
    match &reference.purpose {
        Purpose::Token => {
            let token = Token::read(value).map_err(|error| wrong(&error.to_string()))?;
            named.hashes.push(token.hash());
        }
        Purpose::Text => {
            let text = std::str::from_utf8(value).unwrap_or_default().trim();
            if text.is_empty() || text.chars().any(char::is_control) {
                return Err(wrong("holds no text of one line; write one"));
            }
            named.texts.insert(reference.key.clone(), text.to_owned());
        }
        Purpose::File(_) => {}
    }
    Ok(())
}

fn value<'a>(wanted: &Key, resolved: &'a Resolved) -> Result<&'a [u8], (Reason, String)> {
    let Key { kind, name, key } = wanted;
    match resolved.keys.get(wanted) {
        Some(Found::Value(value)) => Ok(value),
        Some(Found::NoKey) => Err((
            match kind {
                KeyKind::Secret => Reason::SecretKeyNotFound,
                KeyKind::ConfigMap => Reason::ConfigMapKeyNotFound,
            },
            format!("{kind} `{name}` has no key `{key}`; add it, or name another key"),
        )),
        Some(Found::NoObject) | None => Err((
            match kind {
                KeyKind::Secret => Reason::SecretNotFound,
                KeyKind::ConfigMap => Reason::ConfigMapNotFound,
            },
            format!("there is no {kind} `{name}` in this namespace; create it, or name another"),
        )),
    }
}

/// A proxy knows no parameters of paths: one that begins with a parameter would show it everything.
fn shown(spec: &SseRelaySpec, config: &Config) -> Result<(), Vec<Fault>> {
    let way_in = spec.ingress.is_some() || spec.gateway.is_some();
    if !way_in || !exposed(spec).contains(&Exposed::Subscribe) {
        return Ok(());
    }
    let routes = config.routes.iter().enumerate();
    let wide =
        routes.filter(|(_, route)| route.paths.iter().any(|path| beginning(path).is_empty()));
    let wide: Vec<_> = wide
        .map(|(index, _)| {
            let message = "a path that begins with a parameter cannot be shown outside without showing everything; begin it with a segment of its own, or leave subscribe out of spec.expose";
            (format!("routes[{index}].paths"), message.to_owned())
        })
        .collect();
    match wide.is_empty() {
        true => Ok(()),
        false => Err(invalid(wide.into_iter())),
    }
}

fn store(spec: &SseRelaySpec, resolved: &Resolved) -> Result<Option<Store>, Vec<Fault>> {
    let redis = spec.redis.as_ref();
    let Some(managed) = redis.and_then(|redis| redis.managed.as_ref()) else {
        return Ok(None);
    };
    let mut unread = Unread::default();
    let memory = unread.bytes("redis.managed.memory", &managed.memory);
    let size = unread.bytes("redis.managed.storage.size", &managed.storage.size);
    if memory < LEAST_MEMORY {
        let wrong = format!("Redis itself needs some; write at least {LEAST_MEMORY}");
        unread.0.push(("redis.managed.memory".to_owned(), wrong));
    }
    if size.get() / 2 < memory.get() {
        let wrong = format!(
            "the log and a new writing of it stand there together; write at least twice redis.managed.memory, which is {memory}"
        );
        unread
            .0
            .push(("redis.managed.storage.size".to_owned(), wrong));
    }
    if !unread.0.is_empty() {
        return Err(invalid(unread.0.into_iter()));
    }
    let image = managed.image.as_ref();
    let image = image.or(resolved.pinned.redis_image.as_ref());
    Ok(Some(Store {
        image: image.cloned().unwrap_or_default(),
        memory,
        size,
    }))
}

/// Less is none for a server and its clients.
const LEAST_MEMORY: ByteSize = ByteSize::from_mib(64);

fn image(spec: &SseRelaySpec, resolved: &Resolved) -> String {
    let image = spec.image.clone().unwrap_or_default();
    let Pinned {
        version: own,
        repository: pinned,
        ..
    } = &resolved.pinned;
    // the operator's own digest is that of its own version in its own repository
    let (pinned, own_digest) = match pinned.split_once('@') {
        Some((repository, digest)) => (repository, Some(digest)),
        None => (pinned.as_str(), None),
    };
    let version = spec.version.as_ref().unwrap_or(own);
    match (image.digest, image.repository, own_digest) {
        (Some(digest), repository, _) => {
            let repository = repository.unwrap_or_else(|| pinned.to_owned());
            format!("{repository}@{digest}")
        }
        (None, Some(repository), _) => format!("{repository}:{version}"),
        (None, None, Some(digest)) if version == own => format!("{pinned}:{version}@{digest}"),
        (None, None, _) => format!("{pinned}:{version}"),
    }
}
