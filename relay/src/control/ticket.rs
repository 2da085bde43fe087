//! One ticket: what it allows, who may use it, and how far its use has come. Pure.

use super::tickets::{Redeemed, TicketRefusal};
use crate::{
    auth::Minted, channel::Selector, client_address::ClientAddress, cursor::UnixMillis,
    filter::Filter, grant::Grant,
};
use relay_config::TicketBinding;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{net::IpAddr, sync::Arc};

/// Milliseconds by which clocks may differ, and news come late.
pub const SLACK: u64 = 5000;

/// What a client is recognised by, as a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(
        bind: &[TicketBinding],
        address: Option<ClientAddress>,
        user_agent: Option<&str>,
    ) -> Fingerprint {
        let mut hash = Sha256::new();
        if bind.contains(&TicketBinding::Address) {
            match address.map(|address| address.ip()) {
                Some(IpAddr::V4(ip)) => hash.update(ip.octets()),
                // privacy extensions change the rest (RFC 8981)
                Some(IpAddr::V6(ip)) => hash.update(&ip.octets()[..8]),
                None => hash.update([0]),
            }
        }
        hash.update([b'|']);
        if bind.contains(&TicketBinding::UserAgent) {
            hash.update(user_agent.unwrap_or_default());
        }
        Fingerprint(hash.finalize().into())
    }
}

/// Which stream a client asked for, as a hash: its channels and its filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shape([u8; 32]);

impl Shape {
    pub fn of(selectors: &[Selector], filter: &Filter) -> Shape {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for selector in selectors {
            text(&selector.to_string());
        }
        text("");
        for (attribute, values) in filter.terms() {
            text(attribute);
            values.iter().for_each(|value| text(value));
            text("");
        }
        Shape(hash.finalize().into())
    }
}

/// A ticket, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    pub grant: Arc<Grant>,
    pub minted: Arc<Minted>,
    /// Until when it must be used for the first time.
    pub redeem_before: UnixMillis,
    /// How often it was changed since it was made, in a store that replicas share: of two records of a
    /// ticket the one with more is the later.
    pub changes: u64,
    pub(super) used: Option<Use>,
}

/// Whose it is, and which stream it opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Use {
    pub client: Fingerprint,
    pub shape: Shape,
    pub connection: Box<str>,
    /// When its stream ended, or was to begin.
    pub idle_since: Option<UnixMillis>,
}

impl Ticket {
    pub fn new(grant: Grant, minted: Minted, redeem_before: UnixMillis) -> Ticket {
        Ticket {
            grant: Arc::new(grant),
            minted: Arc::new(minted),
            redeem_before,
            changes: 0,
            used: None,
        }
    }

    /// Whether this client may use it now, for some stream. `reopen` is the time after a stream's end, in
    /// milliseconds.
    pub fn look(
        &self,
        client: Fingerprint,
        reopen: u64,
        now: UnixMillis,
    ) -> Result<(), TicketRefusal> {
        if self.is_over(reopen, now) {
            return Err(TicketRefusal::Unknown);
        }
        match &self.used {
            Some(used) if used.client != client => Err(TicketRefusal::Reused),
            _ => Ok(()),
        }
    }

    /// Opens the stream `connection`: from now on the ticket is this client's, for this stream alone.
    pub fn redeem(
        &mut self,
        client: Fingerprint,
        shape: Shape,
        connection: &str,
        reopen: u64,
        now: UnixMillis,
    ) -> Result<Redeemed, TicketRefusal> {
        self.look(client, reopen, now)?;
        let before = match &self.used {
            Some(used) if used.shape != shape => return Err(TicketRefusal::Reused),
            Some(used) => Redeemed::Again(used.connection.clone()),
            None => Redeemed::First,
        };
        self.used = Some(Use {
            client,
            shape,
            connection: connection.into(),
            // should the stream never begin, the ticket is forgotten in time
            idle_since: Some(now),
        });
        Ok(before)
    }

    /// Until when a shared store keeps it: a little longer than it is good, and for `kept` where its
    /// stream is open, unless that is said again.
    pub fn kept_until(&self, reopen: u64, kept: u64, now: UnixMillis) -> UnixMillis {
        match &self.used {
            None => self.redeem_before.saturating_add(SLACK),
            Some(Use {
                idle_since: Some(since),
                ..
            }) => since.saturating_add(reopen).saturating_add(SLACK),
            Some(_) => now.saturating_add(kept),
        }
    }

    /// Whether it opens nothing any more. `reopen` is the time after a stream's end, in milliseconds.
    pub(super) fn is_over(&self, reopen: u64, now: UnixMillis) -> bool {
        let unused = match &self.used {
            None => Some(self.redeem_before),
            Some(used) => used.idle_since.map(|since| since.saturating_add(reopen)),
        };
        self.grant.has_ended(now) || unused.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_recognised_by_what_it_is_bound_to() {
        let of = |bind: &[TicketBinding], ip: &str, agent: &str| {
            let address = ClientAddress::new(ip.parse().unwrap(), Some(1));
            Fingerprint::of(bind, Some(address), Some(agent))
        };
        use TicketBinding::{Address, UserAgent};
        let both = [Address, UserAgent];
        let one = of(&both, "192.0.2.1", "a");
        assert_eq!(one, of(&both, "::ffff:192.0.2.1", "a"));
        assert_ne!(one, of(&both, "192.0.2.2", "a"));
        assert_ne!(one, of(&both, "192.0.2.1", "b"));
        let network = |ip| of(&[Address], ip, "a");
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(
            of(&[UserAgent], "192.0.2.1", "a"),
            of(&[UserAgent], "::1", "a")
        );
        assert_eq!(of(&[], "192.0.2.1", "a"), of(&[], "::1", "b"));
    }

    #[test]
    fn a_stream_has_a_shape_that_no_other_has() {
        let of = |channels: &[&str], filter: &[(&str, &str)]| {
            let selectors: Vec<_> = channels
                .iter()
                .map(|text| Selector::parse(text).unwrap())
                .collect();
            let mut terms = Filter::default();
            for (name, value) in filter {
                terms.accept(name, [(*value).into()]);
            }
            Shape::of(&selectors, &terms)
        };
        assert_eq!(of(&["a"], &[("k", "v")]), of(&["a"], &[("k", "v")]));
        for other in [
            of(&["a", "k"], &[]),
            of(&["a"], &[("k", "w")]),
            of(&["a"], &[("kv", "")]),
            of(&["ak"], &[("v", "v")]),
            of(&["a"], &[]),
        ] {
            assert_ne!(other, of(&["a"], &[("k", "v")]));
        }
    }
}
