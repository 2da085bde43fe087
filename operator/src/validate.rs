//! Whether a resource can work with what it refers to; what it means, if it can.

mod gateway;

pub use gateway::GatewayRoute;

use std::collections::BTreeMap;

use relay_config::{ByteSize, Config};

use self::gateway::by_gateway;
use crate::controller_profile::{Controller, Https, Idle, Profile, Severity, Wishes};
use crate::crd::{Exposed, Ingress, KeyKind, Pinned, Reason, SseRelay, SseRelaySpec};
use crate::document::{self, Credentials, Given, Leaving, Unread, path_in_resource};
use crate::names::Names;
use crate::references::{Key, Purpose, Reference, references};
use crate::resolve::{Class, Found, Resolved};
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
    /// The way in from outside, by an Ingress.
    pub route: Option<Route>,
    /// The way in from outside, by a Gateway.
    pub gateway: Option<GatewayRoute>,
}

impl Valid {
    /// What the way in from outside needs.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        let by_gateway = self.gateway.as_ref().map(|route| &route.profile);
        let by_ingress = self.route.as_ref().map(|route| &route.profile);
        by_ingress.or(by_gateway)
    }

    /// What stands against streaming well on the way in from outside.
    #[must_use]
    pub fn doubt(&self) -> Option<&Doubt> {
        let by_gateway = self.gateway.as_ref().and_then(|route| route.doubt.as_ref());
        let by_ingress = self.route.as_ref().and_then(|route| route.doubt.as_ref());
        by_ingress.or(by_gateway)
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

/// The way in from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// What was written.
    pub ingress: Ingress,
    /// What is shown, in order and once.
    pub exposed: Vec<Exposed>,
    /// The program that serves it.
    pub controller: Controller,
    /// What that needs.
    pub profile: Profile,
    /// What stands against streaming well, if anything does.
    pub doubt: Option<Doubt>,
}

/// What stands against streaming well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Whether streams will work: `None` if that cannot be known from here.
    pub works: Option<bool>,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, and what to do.
    pub message: String,
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
    let redis = store(spec, resolved)?;
    let route = spec
        .ingress
        .as_ref()
        .map(|ingress| route(&names, spec, ingress, resolved, &leaving, &config));
    let gateway = spec.gateway.as_ref();
    let gateway =
        gateway.map(|gateway| by_gateway(&names, spec, gateway, resolved, &leaving, &config));
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
        route,
        gateway,
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

fn route(
    names: &Names,
    spec: &SseRelaySpec,
    ingress: &Ingress,
    resolved: &Resolved,
    leaving: &Leaving,
    config: &Config,
) -> Route {
    let (controller, doubt) = controller(ingress, &resolved.class);
    let profile = controller.profile(&Wishes {
        name: &names.relay,
        namespace: &names.namespace,
        drain_seconds: leaving.drain_seconds(),
        https: match ingress.tls {
            Some(_) => Https::Redirect,
            None => Https::Off,
        },
        annotations: &ingress.annotations,
    });
    let exposed = exposed(spec);
    let doubt = doubt
        .or_else(|| too_slow(controller.as_str(), profile.idle, config))
        .or_else(|| noted(&profile));
    Route {
        ingress: ingress.clone(),
        exposed,
        controller,
        profile,
        doubt,
    }
}

fn exposed(spec: &SseRelaySpec) -> Vec<Exposed> {
    let exposed = spec.expose.clone();
    let mut exposed = exposed.unwrap_or_else(|| vec![Exposed::Subscribe]);
    exposed.sort_unstable();
    exposed.dedup();
    exposed
}

/// The program that serves the Ingress: as the resource names it, as its class says, or as it was
/// before, so that a class that is away for a moment changes no annotation.
fn controller(ingress: &Ingress, class: &Class) -> (Controller, Option<Doubt>) {
    if let Some(named) = ingress.controller {
        return (named, None);
    }
    let doubt = |works, reason, message: String| {
        Some(Doubt {
            works,
            reason,
            message,
        })
    };
    match class {
        Class::NotNeeded => (Controller::Generic, None),
        Class::Found { name, controller } => match Controller::of_class(controller) {
            Some(known) => (known, None),
            None => (
                Controller::Generic,
                doubt(
                    None,
                    Reason::ControllerUnknown,
                    format!("IngressClass `{name}` is served by `{controller}`, which is not known here; if it is one of the known controllers, name it in spec.ingress.controller, else `generic`"),
                ),
            ),
        },
        Class::Missing { name, before } => match (Controller::of_class_name(name), before) {
            (Some(known), _) => (known, None),
            (None, before) => (
                before.unwrap_or(Controller::Generic),
                doubt(
                    Some(false),
                    Reason::IngressClassNotFound,
                    format!("there is no IngressClass `{name}`; correct spec.ingress.className, install the controller, or name it in spec.ingress.controller"),
                ),
            ),
        },
        Class::NoDefault { before } => (
            before.unwrap_or(Controller::Generic),
            doubt(
                Some(false),
                Reason::IngressClassNotFound,
                "no IngressClass is the cluster's default; set spec.ingress.className".to_owned(),
            ),
        ),
        Class::Forbidden { before } => (
            before.unwrap_or(Controller::Generic),
            doubt(
                None,
                Reason::ControllerUnknown,
                "the operator may not read IngressClasses; name the controller in spec.ingress.controller".to_owned(),
            ),
        ),
    }
}

fn too_slow(by: &str, idle: Idle, config: &Config) -> Option<Doubt> {
    let half = idle.half()?;
    let interval = config.heartbeat.interval;
    (interval > half).then(|| Doubt {
        works: Some(false),
        reason: Reason::HeartbeatTooSlow,
        message: format!(
            "a heartbeat every {interval} is too rare: {} cuts streams that are silent for twice {half}; set spec.heartbeat.interval to at most {half}",
            by
        ),
    })
}

fn noted(profile: &Profile) -> Option<Doubt> {
    let texts: Vec<&str> = profile.notes.iter().map(|note| note.text).collect();
    let breaks = profile
        .notes
        .iter()
        .any(|note| note.severity == Severity::Breaks);
    (!texts.is_empty()).then(|| Doubt {
        works: if breaks { None } else { Some(true) },
        reason: Reason::NeedsAdministrator,
        message: texts.join(". "),
    })
}
