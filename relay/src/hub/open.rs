//! What a stream is opened with.

use super::feed::FeedKey;
use crate::{
    channel::Selector,
    client_address::ClientAddress,
    cursor::{Cursor, UnixMillis},
    label::labels,
    limits::Permit,
    who::Who,
};
use relay_config::{Charset, HeartbeatAs};
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

/// A subscription that was allowed, not yet a stream.
#[derive(Clone, Debug)]
pub struct Opening {
    pub key: FeedKey,
    pub cursor: Cursor,
    /// When the request was read.
    pub asked: Instant,
    pub heartbeat: HeartbeatAs,
    pub greeting: Greeting,
    pub notices: Notices,
    /// When the grant that allowed it ends.
    pub expires: Option<UnixMillis>,
    /// What the answer's head says of its characters, where the shard writes it.
    pub charset: Charset,
    /// Lines of the answer's head that are this request's own, where the shard writes the head.
    pub head: Box<[u8]>,
    pub info: StreamInfo,
    /// Its place among those that may be open.
    pub permit: Option<Arc<Permit>>,
}

/// A reconnection time in milliseconds, with jitter, so that clients that were cut together come
/// back apart.
pub fn retry(stream: &relay_config::Stream) -> u32 {
    let factor = 1.0 + stream.retry_jitter * rand::random::<f64>();
    (stream.retry.as_millis() as f64 * factor).min(f64::from(u32::MAX)) as u32
}

/// Whether the stream is told how the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Notices {
    #[default]
    None,
    /// By `degraded` events.
    Degraded,
}

/// Whether the stream begins with a `connected` event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Greeting {
    #[default]
    None,
    Connected,
}

/// What a stream is listed with; it does not change while the stream lives.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Unique in this process; ordered by when the stream opened.
    pub number: u64,
    /// The replica that has it. Kept once, and with the number it is the stream's id.
    pub replica: Arc<str>,
    /// The name that the client gave itself.
    pub client: Option<Box<str>>,
    /// Who opened it.
    pub who: Who,
    pub remote: Option<ClientAddress>,
    pub user_agent: Option<Box<str>>,
    pub transport: Transport,
    pub opened: SystemTime,
    /// What it receives, the channel of its subject included.
    pub channels: std::sync::Arc<[Selector]>,
    pub filter: std::sync::Arc<crate::filter::Filter>,
    /// How it is written, and what it chose, where a route says so.
    pub voice: Option<super::voice::Voice>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    Http10,
    Http11,
    Http2,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Http10 => "http/1.0",
            Transport::Http11 => "http/1.1",
            Transport::Http2 => "http/2",
        }
    }
}

/// Why a stream ended: the label of `disconnected{reason}` and of `events.disconnected`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// The client went away.
    Client,
    /// Its channels ended.
    Ended,
    /// It was too far behind.
    Slow,
    /// The process's memory for streams was used up, and it was the furthest behind.
    Memory,
    /// What waited for it may have been purged; its client comes back and resumes.
    Purged,
    /// The system gave the connection up: nothing came back from the other end.
    Unreachable,
    /// Its connection took nothing of what waited for `stream.writeTimeout`.
    Stalled,
    /// It was open for `stream.maxAge`.
    MaxAge,
    /// Its grant ended.
    Expired,
    /// Somebody who may ended it.
    Disconnected,
    /// Its credential was revoked.
    Revoked,
    /// Its ticket opened it anew.
    Replaced,
    /// The relay is draining.
    Draining,
    /// The client sent what no subscriber sends.
    Protocol,
}

labels!(CloseReason {
    Client => "client",
    Ended => "ended",
    Slow => "slow",
    Memory => "memory",
    Purged => "purged",
    Unreachable => "unreachable",
    Stalled => "stalled",
    MaxAge => "max-age",
    Expired => "expired",
    Disconnected => "disconnected",
    Revoked => "revoked",
    Replaced => "replaced",
    Draining => "draining",
    Protocol => "protocol",
});

impl CloseReason {
    /// Whether somebody ordered it, and the client is told so.
    pub fn is_ordered(self) -> bool {
        matches!(
            self,
            CloseReason::Disconnected | CloseReason::Revoked | CloseReason::Replaced
        )
    }
}

/// What happens to a stream, for who watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    Opened,
    /// It ends then, if ever.
    Extended(Option<UnixMillis>),
    Closed,
}

/// What became of an event for one stream alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Directed {
    /// It is on its way, behind what waited before it.
    Delivered,
    /// As much waits for the stream as may.
    Slow,
    /// There is no such stream, or not any more.
    Gone,
}

labels!(Directed {
    Delivered => "delivered",
    Slow => "slow",
    Gone => "gone",
});

impl StreamInfo {
    /// As others see it: the replica's id and the number.
    pub fn id(&self) -> String {
        format!("{}-{}", self.replica, self.number)
    }

    /// The channels and patterns that were asked for.
    pub fn asked(&self) -> impl Iterator<Item = &Selector> {
        Selector::asked(&self.channels)
    }
}

/// Why somebody ended a stream: what its client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Somebody who may ended it; it may come back.
    Disconnected,
    /// Its credential was revoked; a return is refused.
    Revoked,
    /// Its ticket opened it anew.
    Replaced,
}

impl From<EndReason> for CloseReason {
    fn from(reason: EndReason) -> CloseReason {
        match reason {
            EndReason::Disconnected => CloseReason::Disconnected,
            EndReason::Revoked => CloseReason::Revoked,
            EndReason::Replaced => CloseReason::Replaced,
        }
    }
}
