//! What a way in from outside means, by an Ingress or by the Gateway API.

use std::collections::BTreeMap;

use relay_config::Config;

use super::gateway::implementation;
use super::ingress::controller;
use crate::controller_profile::{Controller, Https, Idle, Profile, Severity, Wishes};
use crate::crd::{Exposed, Gateway, Ingress, Reason, SseRelaySpec};
use crate::document::Leaving;
use crate::gateway_profile::Implementation;
use crate::names::Names;
use crate::resolve::Resolved;

/// The way in from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct WayIn {
    /// By what.
    pub by: By,
    /// What is shown, in order and once.
    pub exposed: Vec<Exposed>,
    /// What the program that serves it needs.
    pub profile: Profile,
    /// What stands against streaming well, if anything does.
    pub doubt: Option<Doubt>,
}

/// What leads in from outside: what was written, and the program that serves it.
#[derive(Debug, Clone, PartialEq)]
pub enum By {
    /// An Ingress.
    Ingress(Ingress, Controller),
    /// A route of the Gateway API.
    Gateway(Gateway, Implementation),
}

impl By {
    /// What the program is called.
    fn program(&self) -> &'static str {
        match self {
            Self::Ingress(_, controller) => controller.as_str(),
            Self::Gateway(_, implementation) => implementation.as_str(),
        }
    }
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

/// The one of `spec`; none, if it asks for none.
pub(super) fn way_in(
    names: &Names,
    spec: &SseRelaySpec,
    resolved: &Resolved,
    leaving: &Leaving,
    config: &Config,
) -> Option<WayIn> {
    let none = BTreeMap::new();
    let wishes = Wishes {
        name: &names.relay,
        namespace: &names.namespace,
        drain_seconds: leaving.drain_seconds(),
        https: Https::Off,
        annotations: &none,
    };
    let (by, profile, doubt) = match (&spec.ingress, &spec.gateway) {
        (Some(ingress), _) => {
            let (controller, doubt) = controller(ingress, &resolved.class);
            let profile = controller.profile(&Wishes {
                https: match ingress.tls {
                    Some(_) => Https::Redirect,
                    None => Https::Off,
                },
                annotations: &ingress.annotations,
                ..wishes
            });
            (By::Ingress(ingress.clone(), controller), profile, doubt)
        }
        (None, Some(gateway)) => {
            let (implementation, doubt) = implementation(gateway, &resolved.gateway);
            let profile = implementation.profile(&wishes);
            (By::Gateway(gateway.clone(), implementation), profile, doubt)
        }
        (None, None) => return None,
    };
    let doubt = doubt
        .or_else(|| too_slow(by.program(), profile.idle, config))
        .or_else(|| noted(&profile));
    Some(WayIn {
        by,
        exposed: exposed(spec),
        profile,
        doubt,
    })
}

/// What a way in shows, in order and once.
pub(super) fn exposed(spec: &SseRelaySpec) -> Vec<Exposed> {
    let exposed = spec.expose.clone();
    let mut exposed = exposed.unwrap_or_else(|| vec![Exposed::Subscribe]);
    exposed.sort_unstable();
    exposed.dedup();
    exposed
}

fn too_slow(by: &str, idle: Idle, config: &Config) -> Option<Doubt> {
    let half = idle.half()?;
    let interval = config.heartbeat.interval;
    (interval >= half).then(|| Doubt {
        works: Some(false),
        reason: Reason::HeartbeatTooSlow,
        message: format!(
            "a heartbeat every {interval} is too rare: {} cuts streams that are silent for twice {half}; set spec.heartbeat.interval to less than {half}",
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
