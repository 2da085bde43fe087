//! What a profile is made of.

use std::collections::BTreeMap;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use relay_config::Timespan;
use serde_json::{Value, json};

/// What the resource asks of the way in, as far as profiles differ by it.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Name of the relay, for objects of the controller's own kinds.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// How long a leaving pod serves streams, in whole seconds.
    pub drain_seconds: u64,
    /// Whether plain http is redirected to https.
    pub https: Https,
    /// The user's annotations of the Ingress.
    pub annotations: &'a BTreeMap<String, String>,
}

/// Whether plain http is redirected to https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Https {
    /// The Ingress has a certificate.
    Redirect,
    /// It has none.
    Off,
}

/// One annotation, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The annotation.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What would happen to streams without it.
    pub why: &'static str,
}

impl Setting {
    pub(crate) fn new(key: &'static str, value: impl Into<String>, why: &'static str) -> Self {
        Self {
            key,
            value: value.into(),
            why,
        }
    }
}

/// An object of a controller's own kinds, named like the relay, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Companion {
    /// The object.
    pub object: DynamicObject,
    /// What would happen to streams without it.
    pub why: &'static str,
}

/// What only an administrator of the cluster can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// What happens to streams, and the setting to change.
    pub text: &'static str,
}

/// How bad it is to leave something as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Streams work; they are cut more often than need be, or there is room for fewer.
    Advice,
    /// Streams may not work at all.
    Breaks,
}

/// How long a stream may be silent before the controller cuts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// As long as it likes.
    Unlimited,
    /// So long.
    Of(Timespan),
}

impl Idle {
    /// What a heartbeat interval has to stay under, so that two fit in; `None` is any.
    #[must_use]
    pub fn half(self) -> Option<Timespan> {
        match self {
            Self::Unlimited => None,
            Self::Of(limit) => Some(Timespan::from_millis(limit.as_millis() / 2)),
        }
    }
}

/// What a controller needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Annotations of the Ingress, or of the HTTPRoute.
    pub ingress: Vec<Setting>,
    /// Annotations of the Service behind it.
    pub service: Vec<Setting>,
    /// Annotations of the pods.
    pub pod: Vec<Setting>,
    /// Objects of the controller's own kinds.
    pub objects: Vec<Companion>,
    /// What only an administrator can change.
    pub notes: Vec<Note>,
    /// How long a stream may be silent, with all this in place.
    pub idle: Idle,
    /// The annotation that says so, if one does.
    pub idle_key: Option<&'static str>,
}

impl Profile {
    pub(crate) fn new(idle: Idle) -> Self {
        Self {
            ingress: Vec::new(),
            service: Vec::new(),
            pod: Vec::new(),
            objects: Vec::new(),
            notes: Vec::new(),
            idle,
            idle_key: None,
        }
    }

    pub(crate) fn with(mut self, key: &'static str, value: &str, why: &'static str) -> Self {
        self.ingress.push(Setting::new(key, value, why));
        self
    }

    pub(crate) fn on_service(mut self, key: &'static str, value: &str, why: &'static str) -> Self {
        self.service.push(Setting::new(key, value, why));
        self
    }

    pub(crate) fn note(mut self, severity: Severity, text: &'static str) -> Self {
        self.notes.push(Note { severity, text });
        self
    }

    /// Adds an object of `kind` with `spec`.
    pub(crate) fn object(
        mut self,
        wishes: &Wishes<'_>,
        (group, version, kind): (&str, &str, &str),
        spec: &Value,
        why: &'static str,
    ) -> Self {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let object = DynamicObject::new(wishes.name, &kind)
            .within(wishes.namespace)
            .data(json!({ "spec": spec }));
        self.objects.push(Companion { object, why });
        self
    }

    pub(crate) fn idle_by(mut self, key: &'static str) -> Self {
        self.idle_key = Some(key);
        self
    }

    /// Lets the user's annotations win, also for how long a stream may be silent.
    pub(crate) fn respect(&mut self, annotations: &BTreeMap<String, String>) {
        let idle = self.idle_key.and_then(|key| annotations.get(key));
        if let Some(limit) = idle.and_then(|text| duration(text)) {
            self.idle = Idle::Of(limit);
        }
        self.ingress
            .retain(|setting| !annotations.contains_key(setting.key));
    }
}

/// A time as controllers write it: with a unit, or in seconds without one.
fn duration(text: &str) -> Option<Timespan> {
    match text.parse::<u64>() {
        Ok(seconds) => Some(Timespan::from_secs(seconds)),
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_annotation_wins_and_says_how_long_a_stream_may_be_silent() {
        let mut profile = Profile::new(Idle::Of(Timespan::from_secs(3_600)))
            .with("read-timeout", "3600", "streams are quiet")
            .with("buffering", "off", "streams are not files")
            .idle_by("read-timeout");
        profile.respect(&BTreeMap::from([(
            "read-timeout".to_owned(),
            "20".to_owned(),
        )]));
        assert_eq!(profile.idle, Idle::Of(Timespan::from_secs(20)));
        assert_eq!(profile.idle.half(), Some(Timespan::from_secs(10)));
        let keys: Vec<&str> = profile.ingress.iter().map(|s| s.key).collect();
        assert_eq!(keys, ["buffering"]);
    }

    #[test]
    fn times_of_controllers_have_units_or_are_seconds() {
        for (text, seconds) in [("60", 60), ("60s", 60), ("1h", 3_600)] {
            assert_eq!(duration(text), Some(Timespan::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("for ever"), None);
    }
}
