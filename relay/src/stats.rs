//! What the relay counts. Plain atomics; `metrics` gives them names.

use crate::{
    archive::stats::ArchiveStats,
    auth::{Refused, jwt::key_set::FetchResult},
    event_log::resume::Verdict,
    frame::GapReason,
    http::problem::Kind,
    hub::open::{CloseReason, Directed},
    label::{Label, labels},
    limits::Hit,
    reload::Outcome as ReloadOutcome,
    traces::SpanOutcome,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Relaxed);
        }
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One counter for each value of a closed set.
#[derive(Debug)]
pub struct Family<K> {
    counters: Box<[(K, Counter)]>,
}

impl<K: Label> Default for Family<K> {
    fn default() -> Self {
        Family {
            counters: K::ALL
                .iter()
                .map(|key| (*key, Counter::default()))
                .collect(),
        }
    }
}

impl<K: Label> Family<K> {
    pub fn of(&self, key: K) -> &Counter {
        let found = self.counters.iter().find(|(known, _)| *known == key);
        let (_, counter) = found.expect("a label's list has every variant");
        counter
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.counters
            .iter()
            .map(|(key, counter)| (*key, counter.get()))
    }
}

/// Seconds from an append to the write that delivered it, in buckets.
#[derive(Default, Debug)]
pub struct Latency {
    buckets: [Counter; LATENCY_BOUNDS.len() + 1],
    sum_nanos: Counter,
}

/// Upper bounds of the latency's buckets, in seconds.
pub const LATENCY_BOUNDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

impl Latency {
    /// Counts `n` deliveries that took the same time.
    pub fn observe(&self, took: std::time::Duration, n: u64) {
        let bucket = LATENCY_BOUNDS.partition_point(|bound| *bound < took.as_secs_f64());
        self.buckets[bucket].add(n);
        self.sum_nanos
            .add((took.as_nanos() as u64).saturating_mul(n));
    }

    /// Counts by bucket, the last one without a bound, and the sum in seconds.
    pub fn get(&self) -> ([u64; LATENCY_BOUNDS.len() + 1], f64) {
        (
            std::array::from_fn(|i| self.buckets[i].get()),
            self.sum_nanos.get() as f64 / 1e9,
        )
    }
}

/// Why a stream did not get an event that its channels had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// Too slow, and the policy drops the oldest; a gap event told it.
    Overflow,
    /// Too slow, and a newer event of the same key replaced it.
    Coalesced,
    /// Still waiting when the stream was closed; the client resumes from the log.
    Closed,
}

labels!(DropReason {
    Overflow => "overflow",
    Coalesced => "coalesced",
    Closed => "closed",
});

/// What became of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublishOutcome {
    Accepted,
    Repeated,
    /// The request was wrong.
    Refused,
    /// The log could not take it.
    Failed,
}

labels!(PublishOutcome {
    Accepted => "accepted",
    Repeated => "repeated",
    Refused => "refused",
    Failed => "failed",
});

/// Why a connection was turned away before a request was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The configured number of connections is reached.
    Limit,
    /// The process has no file descriptor left.
    Descriptors,
    /// No request came in time.
    HeadTimeout,
    /// A header of the PROXY protocol was missing, malformed, or of somebody who is not trusted.
    ProxyProtocol,
}

labels!(Refusal {
    Limit => "limit",
    Descriptors => "descriptors",
    HeadTimeout => "head-timeout",
    ProxyProtocol => "proxy-protocol",
});

/// What was done with a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketUse {
    Minted,
    /// It opened its stream for the first time.
    Redeemed,
    /// It opened its stream again.
    Reopened,
}

labels!(TicketUse {
    Minted => "minted",
    Redeemed => "redeemed",
    Reopened => "reopened",
});

/// Why a request was refused for want of a credential or a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthRefusal {
    /// Nobody may do this without a credential.
    Missing,
    /// The credential is refused.
    Refused(Refused),
    /// It cannot be checked now.
    Unavailable,
    /// It allows something else.
    NotGranted,
}

impl AuthRefusal {
    /// As metrics and logs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthRefusal::Missing => "missing",
            AuthRefusal::Refused(refused) => refused.as_str(),
            AuthRefusal::Unavailable => "unavailable",
            AuthRefusal::NotGranted => "not-granted",
        }
    }
}

/// What the log is asked for streams, and asked again when it cannot answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogOperation {
    /// To deliver channels from now on.
    Attach,
    /// A page of history.
    Read,
}

labels!(LogOperation {
    Attach => "attach",
    Read => "read",
});

impl Label for AuthRefusal {
    const ALL: &'static [AuthRefusal] = &{
        let mut all = [AuthRefusal::Missing; Refused::ALL.len() + 3];
        all[1] = AuthRefusal::NotGranted;
        all[2] = AuthRefusal::Unavailable;
        let mut index = 0;
        while index < Refused::ALL.len() {
            all[index + 3] = AuthRefusal::Refused(Refused::ALL[index]);
            index += 1;
        }
        all
    };

    fn label(self) -> &'static str {
        self.as_str()
    }
}

/// What became of a TLS handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandshakeOutcome {
    Completed,
    /// The two sides have nothing in common, or a certificate was refused, or it was no TLS.
    Failed,
    /// It, or the request after it, did not come in time.
    Timeout,
    /// Too many others began one.
    Displaced,
}

labels!(HandshakeOutcome {
    Completed => "completed",
    Failed => "failed",
    Timeout => "timeout",
    Displaced => "displaced",
});

/// What became of changed certificate files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateReload {
    Loaded,
    /// They are broken; the old ones go on.
    Failed,
}

labels!(CertificateReload {
    Loaded => "loaded",
    Failed => "failed",
});

/// What became of a beat: once a second a replica tells the others that it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BeatOutcome {
    Done,
    /// Redis could not be reached, or did not answer.
    Failed,
}

labels!(BeatOutcome {
    Done => "done",
    Failed => "failed",
});

/// What came of something that another replica was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskOutcome {
    Answered,
    /// It did not answer in time, or did not understand.
    Unanswered,
}

labels!(AskOutcome {
    Answered => "answered",
    Unanswered => "unanswered",
});

/// A moment, once it is known.
#[derive(Default, Debug)]
pub struct Moment(parking_lot::Mutex<Option<crate::cursor::UnixMillis>>);

impl Moment {
    pub fn set(&self, at: crate::cursor::UnixMillis) {
        *self.0.lock() = Some(at);
    }

    pub fn get(&self) -> Option<crate::cursor::UnixMillis> {
        *self.0.lock()
    }
}

/// Everything that is counted, from the start of the process.
#[derive(Default, Debug)]
pub struct Stats {
    pub published: Counter,
    pub publishes: Family<PublishOutcome>,
    pub delivered: Counter,
    pub delivered_bytes: Counter,
    pub filtered: Counter,
    /// Events that a route's dialect had nothing to say of, once for each stream that wanted them.
    pub unwritten: Counter,
    pub dropped: Family<DropReason>,
    pub gaps: Family<GapReason>,
    pub opened: Family<Verdict>,
    pub closed: Family<CloseReason>,
    /// Purges of channels, and the events that they dropped.
    pub purges: Counter,
    pub purged: Counter,
    /// Events for one stream alone.
    pub direct: Family<Directed>,
    pub tickets: Family<TicketUse>,
    pub refused: Family<Refusal>,
    pub auth_refused: Family<AuthRefusal>,
    pub limited: Family<Hit>,
    /// Requests with a proxy's word that is not believed.
    pub disbelieved: Counter,
    /// Answers that are problems.
    pub problems: Family<Kind>,
    pub handshakes: Family<HandshakeOutcome>,
    pub reloads: Family<CertificateReload>,
    /// When the certificate ends that new connections get; the first to end, of several.
    pub certificate_expires: Moment,
    /// Fetches of the keys of issuers.
    pub jwks_fetches: Family<FetchResult>,
    pub log_retries: Family<LogOperation>,
    pub config_reloads: Family<ReloadOutcome>,
    pub fleet_beats: Family<BeatOutcome>,
    pub fleet_asks: Family<AskOutcome>,
    pub archive: ArchiveStats,
    /// Spans of traces.
    pub spans: Family<SpanOutcome>,
    /// Writes to sockets, and those that the socket could not take whole.
    pub writes: Counter,
    pub short_writes: Counter,
    pub latency: Latency,
}

impl Stats {
    /// Streams that are open now.
    pub fn streams(&self) -> u64 {
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.sum::<u64>();
        let opened = sum(&mut self.opened.iter().map(|(_, n)| n));
        opened.saturating_sub(sum(&mut self.closed.iter().map(|(_, n)| n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn latencies_fall_into_the_first_bucket_that_holds_them() {
        let latency = Latency::default();
        latency.observe(Duration::from_micros(500), 3);
        latency.observe(Duration::from_secs(60), 1);
        let (buckets, sum) = latency.get();
        assert_eq!((buckets[0], buckets[12]), (3, 1));
        assert!((sum - 60.0015).abs() < 1e-6);
    }

    #[test]
    fn open_streams_are_those_opened_and_not_closed() {
        let stats = Stats::default();
        stats.opened.of(Verdict::Fresh).add(3);
        stats.closed.of(CloseReason::Client).add(1);
        assert_eq!(stats.streams(), 2);
    }
}
