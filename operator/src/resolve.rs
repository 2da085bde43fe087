//! What a resource refers to, as it was found. What is found here decides nothing.

mod read;

pub use read::resolve;

use std::collections::BTreeMap;

use crate::controller_profile::Controller;
use crate::crd::{Pinned, SecretKey};
use crate::tokens::{Generated, Token, TokenError};

/// What a resource refers to, as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The IngressClass.
    pub class: Class,
    /// Each key of a Secret that the resource names.
    pub secrets: BTreeMap<SecretKey, SecretFound>,
    /// The generated tokens: those that are there, new ones for those that are not.
    pub generated: Generated,
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

/// A key of a Secret, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFound {
    /// The token in it.
    Token(Token),
    /// It is there, but holds no token.
    NoToken(TokenError),
    /// The Secret is there; it has no such key.
    NoKey,
    /// There is no such Secret.
    NoSecret,
}
