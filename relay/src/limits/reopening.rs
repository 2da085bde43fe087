//! The places of streams that tickets opened. A ticket that opens its stream anew closes the one before
//! (`EventSource` comes back before its old connection is known to be gone), so both are one stream.

use super::{Exceeded, Limits, Permit, Resource, Used, asker, charge};
use crate::{
    auth::{Evidence, Identity, TicketId},
    client_address::ClientAddress,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

/// By ticket. It holds at most twice as many as there are such streams, and a few.
#[derive(Default)]
pub(super) struct Places(Mutex<Held>);

#[derive(Default)]
struct Held {
    places: HashMap<TicketId, Weak<Permit>>,
    /// At so many, those are forgotten whose streams have ended.
    look_at: usize,
}

/// A few.
const LEAST: usize = 64;

impl Places {
    fn of(&self, ticket: &TicketId) -> Option<Arc<Permit>> {
        self.0.lock().places.get(ticket)?.upgrade()
    }

    fn keep(&self, ticket: &TicketId, permit: &Arc<Permit>) {
        let held = &mut *self.0.lock();
        held.places.insert(*ticket, Arc::downgrade(permit));
        if held.places.len() > held.look_at.max(LEAST) {
            held.places.retain(|_, permit| permit.strong_count() > 0);
            held.look_at = held.places.len() * 2;
        }
    }
}

impl Limits {
    /// Whether one more stream may open, or the stream of a ticket anew: for that one it has its place,
    /// and only how often streams open is asked.
    pub fn open(
        self: &Arc<Limits>,
        identity: &Identity,
        address: Option<ClientAddress>,
    ) -> Result<Option<Arc<Permit>>, Exceeded> {
        if !self.is_on() {
            return Ok(None);
        }
        let Evidence::Ticket(minted) = &identity.from else {
            return self.open_at(identity, address, self.now());
        };
        if let Some(permit) = self.places.of(&minted.id) {
            self.reopen(identity, address)?;
            return Ok(Some(permit));
        }
        let permit = self.open_at(identity, address, self.now())?;
        if let Some(permit) = &permit {
            self.places.keep(&minted.id, permit);
        }
        Ok(permit)
    }

    fn reopen(&self, identity: &Identity, address: Option<ClientAddress>) -> Result<(), Exceeded> {
        let state = &mut *self.state.lock();
        let asker = asker(&state.config, identity, address);
        let used = Used {
            opens: 1,
            ..Used::default()
        };
        charge(state, &asker, &[Resource::Opens], used, self.now()).map(drop)
    }
}
