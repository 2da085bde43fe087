//! How much is done for everybody, for one subject, for one address, for one group.
//!
//! Asked once when a stream opens and once for each publish, never on the way of an event. One lock
//! around plain numbers, held for a few look-ups; without limits nothing is locked or kept. Rates are
//! arguments of the buckets, so [`Limits::configure`] holds at once and forgets nothing, and so does a
//! new share of a limit that replicas have together ([`sharing`]).

pub mod bucket;
mod failures;
pub mod hit;
mod notices;
mod reopening;
pub mod reporting;
pub mod sharing;
pub mod table;

use crate::{
    auth::{Evidence, Identity},
    client_address::ClientAddress,
    subject::Subject,
};
use bucket::{Bucket, Moment, Rate};
pub use hit::{Exceeded, Hit};
use hit::{Resource, STREAMS_WAIT, Scope};
use notices::Notices;
use parking_lot::Mutex;
use relay_config::Limit;
use sharing::Usage;
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use table::{Account, Place, Table};
use tokio::sync::Notify;

/// Who asks, as far as limits go.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Everybody,
    Subject(Subject),
    /// A token that names no subject.
    Token(Arc<str>),
    Address(IpAddr),
    Attribute(Box<str>, Box<str>),
}

impl Key {
    fn scope(&self) -> Scope {
        match self {
            Key::Everybody => Scope::Total,
            Key::Subject(_) | Key::Token(_) => Scope::Subject,
            Key::Address(_) => Scope::Address,
            Key::Attribute(..) => Scope::Attribute,
        }
    }
}

pub struct Limits {
    started: Instant,
    on: AtomicBool,
    /// Refused credentials are counted.
    failures_on: AtomicBool,
    state: Mutex<State>,
    notices: Mutex<Notices>,
    /// Rings when a larger share is needed.
    pub hurry: Notify,
    places: reopening::Places,
}

struct State {
    config: relay_config::Limits,
    everybody: Table<Key>,
    subjects: Table<Key>,
    addresses: Table<Key>,
    attributes: Table<Key>,
    /// Replicas that limits are shared by, if they are.
    replicas: Option<u64>,
    /// Accounts whose use the other replicas may not know.
    listed: VecDeque<Key>,
    /// Accounts that need a larger share now.
    urgent: Vec<Key>,
}

impl State {
    fn table(&mut self, scope: Scope) -> &mut Table<Key> {
        match scope {
            Scope::Total => &mut self.everybody,
            Scope::Subject => &mut self.subjects,
            Scope::Address => &mut self.addresses,
            Scope::Attribute => &mut self.attributes,
        }
    }

    /// The asker's accounts that are bounded, in the order in which they are asked.
    fn accounts<'a>(&mut self, asker: &'a [Key], now: Moment) -> Accounts<'a> {
        let max = self.config.max_tracked;
        let mut accounts = Accounts::new();
        for key in asker {
            let Some(limit) = limit(&self.config, key) else {
                continue;
            };
            let place = self.table(key.scope()).place(key, max, now);
            accounts.push((key, limit, place));
        }
        accounts
    }
}

/// Who asks: everything that it counts for. Few, so they are looked up without being allocated.
type Asker = SmallVec<[Key; 4]>;

/// The accounts of an asker, with their bounds.
type Accounts<'a> = SmallVec<[(&'a Key, Limit, Place); 4]>;

/// The bounds of an asker, if it has any.
fn limit(config: &relay_config::Limits, key: &Key) -> Option<Limit> {
    let limit = match key {
        Key::Everybody => config.total,
        Key::Subject(_) | Key::Token(_) => config.per_subject,
        Key::Address(_) => config.per_address,
        Key::Attribute(name, _) => config
            .per_attribute
            .iter()
            .find(|rule| rule.attribute == **name)?
            .limit(),
    };
    (!limit.is_none()).then_some(limit)
}

/// Checks all before anything is taken, so that what is refused costs nothing.
fn check(
    limit: Limit,
    account: &Account,
    resource: Resource,
    burst: Duration,
    now: Moment,
) -> Result<(), Duration> {
    let within = |bucket: &Bucket, per_second: Option<u64>| match per_second {
        Some(per_second) => bucket.check(Rate { per_second, burst }, now),
        None => Ok(()),
    };
    match resource {
        Resource::Streams if limit.streams.is_some_and(|max| account.streams >= max) => {
            Err(STREAMS_WAIT)
        }
        Resource::Streams => Ok(()),
        Resource::Opens => within(&account.opens, limit.opens_per_second.map(u64::from)),
        Resource::Publishes => within(
            &account.publishes,
            limit.publishes_per_second.map(u64::from),
        ),
        Resource::Bytes => within(
            &account.bytes,
            limit.publish_bytes_per_second.map(|bytes| bytes.get()),
        ),
        Resource::Failures => Ok(()), // no limit of this kind: see `failures`
    }
}

fn take(limit: Limit, account: &mut Account, used: Used, burst: Duration, now: Moment) {
    let of = |bucket: &mut Bucket, per_second: Option<u64>, amount: u64| {
        if let Some(per_second) = per_second
            && amount > 0
        {
            bucket.take(amount, Rate { per_second, burst }, now);
        }
    };
    account.streams += used.streams;
    of(
        &mut account.opens,
        limit.opens_per_second.map(u64::from),
        used.opens,
    );
    of(
        &mut account.publishes,
        limit.publishes_per_second.map(u64::from),
        used.events,
    );
    of(
        &mut account.bytes,
        limit.publish_bytes_per_second.map(|bytes| bytes.get()),
        used.bytes,
    );
}

#[derive(Clone, Copy, Default)]
struct Used {
    streams: u32,
    opens: u64,
    events: u64,
    bytes: u64,
}

/// A stream's place among those that may be open; given back when it is dropped.
pub struct Permit {
    limits: Arc<Limits>,
    held: Held,
}

/// The accounts in which a stream is counted. Small, because each stream has them.
type Held = SmallVec<[(Scope, Place); 3]>;

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit")
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limits.state.lock();
        let now = self.limits.now();
        for (scope, place) in &self.held {
            let owner = state.table(*scope).release(*place).cloned();
            if let Some(key) = owner {
                state.note(&key, Usage::default(), now);
            }
        }
    }
}

/// Who publishes, to be charged for what was published.
#[derive(Clone, Default, Debug)]
pub struct Publisher(Asker);

impl Limits {
    pub fn new(config: &relay_config::Limits) -> Arc<Limits> {
        let limits = Limits {
            started: Instant::now(),
            on: AtomicBool::new(false),
            failures_on: AtomicBool::new(false),
            state: Mutex::new(State {
                config: config.clone(),
                everybody: Table::default(),
                subjects: Table::default(),
                addresses: Table::default(),
                attributes: Table::default(),
                replicas: None,
                listed: VecDeque::new(),
                urgent: Vec::new(),
            }),
            notices: Mutex::default(),
            hurry: Notify::new(),
            places: reopening::Places::default(),
        };
        limits.configure(config);
        Arc::new(limits)
    }

    /// Holds for everything that is asked from now on; what is open stays open. Streams that were
    /// opened while nothing was bounded are not counted.
    pub fn configure(&self, config: &relay_config::Limits) {
        let bounds_something = !config.total.is_none()
            || !config.per_subject.is_none()
            || !config.per_address.is_none()
            || !config.per_attribute.is_empty();
        self.failures_on
            .store(config.auth_failures_per_second.is_some(), Ordering::Release);
        self.state.lock().config = config.clone();
        self.on.store(bounds_something, Ordering::Release);
    }

    /// Whether a refusal is worth a line of the log: how many there were since the last line, if so.
    pub fn notice(&self, hit: Hit) -> Option<u64> {
        self.notices.lock().of(hit, self.now())
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    fn now(&self) -> Moment {
        self.started.elapsed()
    }

    fn open_at(
        self: &Arc<Limits>,
        identity: &Identity,
        address: Option<ClientAddress>,
        now: Moment,
    ) -> Result<Option<Arc<Permit>>, Exceeded> {
        let mut state = self.state.lock();
        let asker = asker(&state.config, identity, address);
        let used = Used {
            streams: 1,
            opens: 1,
            ..Used::default()
        };
        let resources = [Resource::Streams, Resource::Opens];
        let held = charge(&mut state, &asker, &resources, used, now);
        self.ring(&state);
        drop(state);
        let held = held?;
        Ok(Some(Arc::new(Permit {
            limits: self.clone(),
            held,
        })))
    }

    /// Whether something may be published: at least one event, and so many bytes as it announces.
    pub fn publish(
        &self,
        identity: &Identity,
        address: Option<ClientAddress>,
        bytes: u64,
    ) -> Result<Publisher, Exceeded> {
        if !self.is_on() {
            return Ok(Publisher::default());
        }
        self.publish_at(identity, address, bytes, self.now())
    }

    fn publish_at(
        &self,
        identity: &Identity,
        address: Option<ClientAddress>,
        bytes: u64,
        now: Moment,
    ) -> Result<Publisher, Exceeded> {
        let mut state = self.state.lock();
        let asker = asker(&state.config, identity, address);
        let used = Used {
            events: 1,
            bytes,
            ..Used::default()
        };
        let resources = [Resource::Publishes, Resource::Bytes];
        let charged = charge(&mut state, &asker, &resources, used, now);
        self.ring(&state);
        charged.map(|_| Publisher(asker))
    }

    /// What was published besides, once it is known. It is never refused; the next publish may be.
    pub fn charge(&self, publisher: &Publisher, events: u64, bytes: u64) {
        self.charge_at(publisher, events, bytes, self.now());
    }

    fn charge_at(&self, publisher: &Publisher, events: u64, bytes: u64, now: Moment) {
        if publisher.0.is_empty() || (events, bytes) == (0, 0) {
            return;
        }
        let used = Used {
            events,
            bytes,
            ..Used::default()
        };
        let _ = charge(&mut self.state.lock(), &publisher.0, &[], used, now);
    }
}

fn charge(
    state: &mut State,
    asker: &[Key],
    resources: &[Resource],
    used: Used,
    now: Moment,
) -> Result<Held, Exceeded> {
    let accounts = state.accounts(asker, now);
    let burst = state.config.burst.std();
    for (key, limit, place) in &accounts {
        let scope = key.scope();
        for resource in resources.iter().copied() {
            let here = state.bound(key, *limit, *place);
            let account = state.table(scope).account(*place);
            let Err(wait) = check(here, account, resource, burst, now) else {
                continue;
            };
            let wait = state.refused(key, *place, *limit, used, wait, now);
            return Err(Exceeded {
                scope,
                resource,
                wait,
            });
        }
    }
    let charged = accounts.into_iter().map(|(key, limit, place)| {
        let here = state.bound(key, limit, place);
        let account = state.table(key.scope()).account(place);
        take(here, account, used, burst, now);
        let full = here.streams.is_some_and(|max| account.streams + 1 >= max);
        if place != Place::Shared {
            state.note(key, used.into(), now);
            if used.streams > 0 && full && here != limit {
                state.hasten(key);
            }
        }
        (key.scope(), place)
    });
    Ok(charged.collect())
}

/// Everything that an asker counts for: its own first, so that it hears of its own limits first.
fn asker(
    config: &relay_config::Limits,
    identity: &Identity,
    address: Option<ClientAddress>,
) -> Asker {
    let grant = &identity.grant;
    let subject = grant.subject.clone().map(Key::Subject);
    let token = match &identity.from {
        Evidence::Token(name) | Evidence::Certificate(name) => Some(Key::Token(name.clone())),
        _ => None,
    };
    let attributes = config.per_attribute.iter().filter_map(|rule| {
        let name = rule.attribute.as_str();
        let value = grant.attributes.get(name)?;
        Some(Key::Attribute(name.into(), value.clone()))
    });
    let network = |address: ClientAddress| Key::Address(network(config, address.ip()));
    let mut asker: Asker = subject.or(token).into_iter().collect();
    asker.extend(address.map(network));
    asker.extend(attributes);
    asker.push(Key::Everybody);
    asker
}

/// The first bits of an address, the others zero.
fn network(config: &relay_config::Limits, ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let prefix = u32::from(config.ipv4_prefix.min(32));
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
        }
        IpAddr::V6(ip) => {
            let prefix = u32::from(config.ipv6_prefix.min(128));
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
        }
    }
}

#[cfg(test)]
mod tests;
