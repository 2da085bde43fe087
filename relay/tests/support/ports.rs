//! Ports for servers that tests start, also again where they were.
//!
//! The kernel gives ports of 32,768 and above to connections that go out: one of those could take the port
//! of a server that is away for a moment, and the server would not come back.

#![allow(dead_code, reason = "one of the ranges is of another module")]

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Of Redis and brokers.
pub const SERVERS: Range<u16> = 12_000..20_000;
/// Of relays.
pub const RELAYS: Range<u16> = 20_000..28_000;

/// Ports of a range on which nobody listens, and which this process has not given out before.
pub fn free<const N: usize>(range: Range<u16>) -> [u16; N] {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    [(); N].map(|()| {
        let mut random = std::iter::repeat_with(|| rand::random_range(range.clone()));
        let is_free = |port: &u16| {
            !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        };
        let port = random.by_ref().take(10_000).find(is_free);
        let port = port.expect("a free port");
        given.insert(port);
        port
    })
}
