//! One life of a relay: one that is made anew under the same name is another, and inherits nothing.

use kube::Resource;

/// One life of a relay: the UID of its resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Life(String);

impl Life {
    /// That of `relay`.
    pub fn of(relay: &impl Resource) -> Self {
        Self(relay.meta().uid.clone().unwrap_or_default())
    }

    /// One for a test.
    #[cfg(test)]
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }
}
