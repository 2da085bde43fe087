//! Names of what replicas share besides the log: keys and shard channels of one slot. Pure.
//!
//! The tag is longer than those of the log's partitions, so that users who only publish or only read
//! have no rights here (`RedisRole::rules`).

use std::sync::Arc;

/// Names under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    base: Arc<str>,
}

impl Keys {
    pub fn new(prefix: &str) -> Keys {
        Keys {
            base: format!("{prefix}:{{fleet}}:").into(),
        }
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }

    /// When each replica was heard of last.
    pub fn replicas(&self) -> String {
        self.named("replicas")
    }

    /// What each replica says of itself.
    pub fn vitals(&self) -> String {
        self.named("vitals")
    }

    /// Epoch of all this, and the last change of revocations.
    pub fn state(&self) -> String {
        self.named("state")
    }

    pub fn revocations(&self) -> String {
        self.named("revocations")
    }

    /// Revocations in the order in which they changed.
    pub fn changes(&self) -> String {
        self.named("changes")
    }

    /// Revocations by their end.
    pub fn ends(&self) -> String {
        self.named("ends")
    }

    /// Tickets by the hash of what their holders show.
    pub fn tickets(&self) -> String {
        self.named("tickets")
    }

    /// Tickets by when they are forgotten.
    pub fn ticket_ends(&self) -> String {
        self.named("ticket-ends")
    }

    /// What one replica uses of limits.
    pub fn uses(&self, replica: &str) -> String {
        self.named(&format!("uses:{replica}"))
    }

    /// What all replicas use of limits.
    pub fn used(&self) -> String {
        self.named("used")
    }

    /// Replicas whose use is counted there.
    pub fn users(&self) -> String {
        self.named("users")
    }

    /// What only one replica does at a time, and which.
    pub fn leases(&self) -> String {
        self.named("leases")
    }

    /// The shard channel of orders for all.
    pub fn orders(&self) -> String {
        self.named("orders")
    }

    /// The shard channel of orders and answers for one replica.
    pub fn replica(&self, id: &str) -> String {
        self.named(&format!("to:{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::Slot;

    #[test]
    fn all_names_are_in_one_slot() {
        let keys = Keys::new("live");
        assert_eq!(keys.replica("abc"), "live:{fleet}:to:abc");
        let slot = |name: String| Slot::of(name.as_bytes());
        for name in [keys.vitals(), keys.tickets(), keys.orders()] {
            assert_eq!(slot(name), slot(keys.replicas()));
        }
    }
}
