//! What a resource refers to, as it was found. What is found here decides nothing.

mod gateway;
mod read;

pub use read::resolve;

use std::collections::BTreeMap;
use std::fmt;

use crate::controller_profile::Controller;
use crate::crd::Pinned;
use crate::gateway_profile::Implementation;
use crate::references::Key;
use crate::tokens::Generated;

/// What a resource refers to, as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The IngressClass.
    pub class: Class,
    /// The Gateway.
    pub gateway: GatewayFound,
    /// Each key of a Secret or ConfigMap that the resource names.
    pub keys: BTreeMap<Key, Found>,
    /// The versions of the Secrets that the operator makes, as they were read; `None` for one that was
    /// not there.
    pub versions: BTreeMap<String, Option<String>>,
    /// The generated tokens: those that are there, new ones for those that are not.
    pub generated: Generated,
    /// Replicas that the Deployment has, where that matters: `autoscaling.streams` has not decided yet.
    pub deployed: Option<i32>,
    /// The version and image that the relay stays at while the resource does not name them.
    pub pinned: Pinned,
}

/// What is known of the program that serves the Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// There is no Ingress, or the resource names the controller: nothing to look up.
    NotNeeded,
    /// The class (by its name) says that this serves it; `None` for one that is not known here.
    Found {
        /// Name of the class.
        name: String,
        /// `spec.controller` of the class.
        controller: String,
    },
    /// No class of this name; what served the Ingress before, if anything did.
    Missing {
        /// Name of the class.
        name: String,
        /// What the status says it was.
        before: Option<Controller>,
    },
    /// The resource names no class, and none is the cluster's default.
    NoDefault {
        /// What the status says it was.
        before: Option<Controller>,
    },
    /// The operator may not read IngressClasses, as when it serves some namespaces only.
    Forbidden {
        /// What the status says it was.
        before: Option<Controller>,
    },
}

/// What is known of the program that serves the Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayFound {
    /// There is no Gateway, or the resource names the implementation: nothing to look up.
    NotNeeded,
    /// Its class says that this serves it.
    Found {
        /// `spec.controllerName` of the class.
        controller: String,
    },
    /// There is no such Gateway, or no such class.
    Missing {
        /// What is missing.
        what: String,
        /// What the status says it was.
        before: Option<Implementation>,
    },
    /// The operator may not look.
    Forbidden {
        /// What the status says it was.
        before: Option<Implementation>,
    },
}

/// A key of a Secret or ConfigMap, as it was found.
#[derive(Clone, PartialEq, Eq)]
pub enum Found {
    /// What stands in it. It may be a secret, and is shown nowhere.
    Value(Vec<u8>),
    /// It has no such key.
    NoKey,
    /// There is no such Secret or ConfigMap.
    NoObject,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value(_) => "Value(…)",
            Self::NoKey => "NoKey",
            Self::NoObject => "NoObject",
        })
    }
}
