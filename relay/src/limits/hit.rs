//! Which limit was reached.

use crate::label::labels;
use std::time::Duration;

/// How soon to come back where streams are counted: nobody knows when one ends.
pub const STREAMS_WAIT: Duration = Duration::from_secs(5);

/// Whose limit it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    Total,
    Subject,
    Address,
    Attribute,
}

/// What there was too much of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Resource {
    Streams,
    Opens,
    Publishes,
    Bytes,
    /// Credentials that were refused.
    Failures,
}

/// Both: the label of `sse_relay_limited_total`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hit {
    TotalStreams,
    TotalOpens,
    TotalPublishes,
    TotalBytes,
    SubjectStreams,
    SubjectOpens,
    SubjectPublishes,
    SubjectBytes,
    AddressStreams,
    AddressOpens,
    AddressPublishes,
    AddressBytes,
    AddressFailures,
    AttributeStreams,
    AttributeOpens,
    AttributePublishes,
    AttributeBytes,
}

labels!(Hit {
    TotalStreams => "total-streams",
    TotalOpens => "total-opens",
    TotalPublishes => "total-publishes",
    TotalBytes => "total-bytes",
    SubjectStreams => "subject-streams",
    SubjectOpens => "subject-opens",
    SubjectPublishes => "subject-publishes",
    SubjectBytes => "subject-bytes",
    AddressStreams => "address-streams",
    AddressOpens => "address-opens",
    AddressPublishes => "address-publishes",
    AddressBytes => "address-bytes",
    AddressFailures => "address-failures",
    AttributeStreams => "attribute-streams",
    AttributeOpens => "attribute-opens",
    AttributePublishes => "attribute-publishes",
    AttributeBytes => "attribute-bytes",
});

impl Hit {
    pub fn of(scope: Scope, resource: Resource) -> Hit {
        use {Resource as R, Scope as S};
        match (scope, resource) {
            (S::Total, R::Streams) => Hit::TotalStreams,
            (S::Total, R::Opens) => Hit::TotalOpens,
            (S::Total, R::Publishes) => Hit::TotalPublishes,
            (S::Total, R::Bytes) => Hit::TotalBytes,
            (S::Subject, R::Streams) => Hit::SubjectStreams,
            (S::Subject, R::Opens) => Hit::SubjectOpens,
            (S::Subject, R::Publishes) => Hit::SubjectPublishes,
            (S::Subject, R::Bytes) => Hit::SubjectBytes,
            (S::Address, R::Streams) => Hit::AddressStreams,
            (S::Address, R::Opens) => Hit::AddressOpens,
            (S::Address, R::Publishes) => Hit::AddressPublishes,
            (S::Address, R::Bytes) => Hit::AddressBytes,
            // only addresses are bounded in what they try
            (_, R::Failures) => Hit::AddressFailures,
            (S::Attribute, R::Streams) => Hit::AttributeStreams,
            (S::Attribute, R::Opens) => Hit::AttributeOpens,
            (S::Attribute, R::Publishes) => Hit::AttributePublishes,
            (S::Attribute, R::Bytes) => Hit::AttributeBytes,
        }
    }
}

/// A request past a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} for {}; try again in {} s, or ask whoever runs the relay for more", what(.resource), whom(.scope), self.retry_after_seconds())]
pub struct Exceeded {
    pub scope: Scope,
    pub resource: Resource,
    pub wait: Duration,
}

impl Exceeded {
    /// Another stream would take the room that is kept for who publishes.
    pub fn no_room() -> Exceeded {
        Exceeded {
            scope: Scope::Total,
            resource: Resource::Streams,
            wait: STREAMS_WAIT,
        }
    }

    pub fn hit(&self) -> Hit {
        Hit::of(self.scope, self.resource)
    }

    /// At least one.
    pub fn retry_after_seconds(&self) -> u64 {
        (self.wait.as_millis().div_ceil(1000) as u64).max(1)
    }
}

fn what(resource: &Resource) -> &'static str {
    match resource {
        Resource::Streams => "as many streams are open as may be",
        Resource::Opens => "streams are opened faster than they may be",
        Resource::Publishes => "events are published faster than they may be",
        Resource::Bytes => "more bytes are published than may be",
        Resource::Failures => "too many credentials were refused",
    }
}

fn whom(scope: &Scope) -> &'static str {
    match scope {
        Scope::Total => "this replica",
        Scope::Subject => "this credential's holder",
        Scope::Address => "this address",
        Scope::Attribute => "the group of this credential's holder",
    }
}
