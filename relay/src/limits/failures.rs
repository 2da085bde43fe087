//! Who shows wrong credentials, again and again: a bound on what an address may try.

use super::{
    Key, Limits, State,
    bucket::{Moment, Rate},
    hit::{Exceeded, Resource, Scope},
    network,
};
use crate::{auth::Refused, client_address::ClientAddress};
use std::sync::atomic::Ordering;

/// Whether a refused credential may be one that somebody tries. What was certainly good once, or will be,
/// or is known and may not do it, is none: clients that renew late must not lock others out.
pub fn is_a_try(refused: Refused) -> bool {
    !matches!(
        refused,
        Refused::Expired
            | Refused::Revoked
            | Refused::NotYetValid
            | Refused::ForwardForbidden
            | Refused::TicketReused
    )
}

impl Limits {
    /// Whether credentials of an address are looked at now. A connection without an address (a Unix
    /// socket) is not bounded: who may open it is said by its file.
    pub fn may_try(&self, address: Option<ClientAddress>) -> Result<(), Exceeded> {
        match (self.failures_on.load(Ordering::Acquire), address) {
            (true, Some(address)) => self.may_try_at(address, self.now()),
            _ => Ok(()),
        }
    }

    fn may_try_at(&self, address: ClientAddress, now: Moment) -> Result<(), Exceeded> {
        let state = &mut *self.state.lock();
        let Some(rate) = rate(state) else {
            return Ok(());
        };
        let (key, max) = (key(state, address), state.config.max_tracked);
        let place = state.addresses.place(&key, max, now);
        let checked = state.addresses.account(place).failures.check(rate, now);
        checked.map_err(|wait| Exceeded {
            scope: Scope::Address,
            resource: Resource::Failures,
            wait,
        })
    }

    /// A credential of an address was refused.
    pub fn failed(&self, address: Option<ClientAddress>, refused: Refused) {
        if let (true, Some(address)) = (self.failures_on.load(Ordering::Acquire), address)
            && is_a_try(refused)
        {
            self.failed_at(address, self.now());
        }
    }

    fn failed_at(&self, address: ClientAddress, now: Moment) {
        let state = &mut *self.state.lock();
        let Some(rate) = rate(state) else {
            return;
        };
        let (key, max) = (key(state, address), state.config.max_tracked);
        let place = state.addresses.place(&key, max, now);
        state.addresses.account(place).failures.take(1, rate, now);
    }
}

fn rate(state: &State) -> Option<Rate> {
    let per_second = state.config.auth_failures_per_second?;
    Some(Rate {
        per_second: u64::from(per_second),
        burst: state.config.burst.std(),
    })
}

fn key(state: &State, address: ClientAddress) -> Key {
    Key::Address(network(&state.config, address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::Timespan;
    use std::time::Duration;

    const NOW: Moment = Duration::from_secs(100);

    fn address(text: &str) -> ClientAddress {
        ClientAddress::new(text.parse().unwrap(), None)
    }

    #[test]
    fn an_address_that_fails_too_often_waits_and_no_other_does() {
        let limits = Limits::new(&relay_config::Limits {
            auth_failures_per_second: Some(1),
            burst: Timespan::from_secs(3),
            ..relay_config::Limits::default()
        });
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..3 {
            assert!(limits.may_try_at(bad, NOW).is_ok());
            limits.failed_at(bad, NOW);
        }
        let exceeded = limits.may_try_at(bad, NOW).unwrap_err();
        assert_eq!(exceeded.hit().as_str(), "address-failures");
        assert_eq!(exceeded.retry_after_seconds(), 1);
        assert!(limits.may_try_at(good, NOW).is_ok());
        assert!(limits.may_try_at(bad, NOW + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_credential_that_was_good_once_is_no_try() {
        assert!(is_a_try(Refused::Unknown) && is_a_try(Refused::Signature));
        assert!(!is_a_try(Refused::Expired) && !is_a_try(Refused::Revoked));
    }

    #[test]
    fn who_has_no_address_and_who_is_not_bounded_is_not_kept() {
        let limits = Limits::new(&relay_config::Limits::default());
        limits.failed(Some(address("192.0.2.1")), Refused::Unknown);
        assert!(limits.may_try(Some(address("192.0.2.1"))).is_ok());
        assert!(limits.may_try(None).is_ok());
    }
}
