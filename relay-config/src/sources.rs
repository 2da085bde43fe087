//! Systems that events are pulled from. A kind of source has a file of its own in `sources/`.

mod amqp;
mod broker;
mod django_channels;
mod mapping;
mod rabbitmq;
mod redis;
mod redis_stream;
mod stomp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::Problem;

pub use amqp::AmqpSource;
pub use broker::{Broker, BrokerAddress, BrokerCredentials, BrokerProtocol, BrokerTls};
pub use django_channels::{DjangoChannelsSource, EncryptionKey};
pub use mapping::{Expect, Mapping};
pub use rabbitmq::RabbitmqSource;
pub use redis::SourceRedis;
pub use redis_stream::{Begin, RedisStreamSource};
pub use stomp::{Durable, Routing, StompSource};

/// A system that events are pulled from: a name, exactly one kind, and what of a message becomes
/// an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// What metrics and logs call it: 1 to 63 lower-case letters, digits and `-`. Repeated messages
    /// are recognised under it, so a source keeps its name.
    #[schemars(example = &"orders", regex(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// Redis Streams, read as a consumer group. Nothing is lost: an entry is acknowledged once the
    /// event log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_stream: Option<RedisStreamSource>,
    /// Groups of Django Channels. Nothing is lost that their layer keeps: for `expiry`, up to `capacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub django_channels: Option<DjangoChannelsSource>,
    /// Queues of RabbitMQ. A message is acknowledged once the event log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitmqSource>,
    /// Topics and queues over STOMP: ActiveMQ, Artemis. What the broker keeps, queues and durable
    /// subscriptions, is acknowledged once the event log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stomp: Option<StompSource>,
    /// Topics and queues over AMQP 1.0: ActiveMQ, Artemis. What the broker keeps, queues and durable
    /// subscriptions, is acknowledged once the event log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amqp: Option<AmqpSource>,
    /// What of a message becomes an event.
    #[serde(default, skip_serializing_if = "Mapping::is_default")]
    pub mapping: Mapping,
}

/// Which kind a source is, and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind<'s> {
    /// Redis Streams.
    RedisStream(&'s RedisStreamSource),
    /// Groups of Django Channels.
    DjangoChannels(&'s DjangoChannelsSource),
    /// Queues of RabbitMQ.
    Rabbitmq(&'s RabbitmqSource),
    /// Destinations over STOMP.
    Stomp(&'s StompSource),
    /// Addresses over AMQP 1.0.
    Amqp(&'s AmqpSource),
}

impl SourceKind<'_> {
    /// Its key in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RedisStream(_) => "redisStream",
            Self::DjangoChannels(_) => "djangoChannels",
            Self::Rabbitmq(_) => "rabbitmq",
            Self::Stomp(_) => "stomp",
            Self::Amqp(_) => "amqp",
        }
    }

    /// What is wrong with its settings; paths begin with `path`.
    pub(crate) fn problems(self, path: &str) -> Vec<Problem> {
        let path = format!("{path}.{}", self.as_str());
        match self {
            Self::RedisStream(source) => source.problems(&path),
            Self::DjangoChannels(source) => source.problems(&path),
            Self::Rabbitmq(source) => source.problems(&path),
            Self::Stomp(source) => source.problems(&path),
            Self::Amqp(source) => source.problems(&path),
        }
    }
}

impl Source {
    /// Its kind; `None` for what validation refuses.
    #[must_use]
    pub fn kind(&self) -> Option<SourceKind<'_>> {
        self.kinds().next()
    }

    /// All kinds that are set. A legal document has one.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = SourceKind<'_>> {
        let kinds = [
            self.redis_stream.as_ref().map(SourceKind::RedisStream),
            self.django_channels
                .as_ref()
                .map(SourceKind::DjangoChannels),
            self.rabbitmq.as_ref().map(SourceKind::Rabbitmq),
            self.stomp.as_ref().map(SourceKind::Stomp),
            self.amqp.as_ref().map(SourceKind::Amqp),
        ];
        kinds.into_iter().flatten()
    }
}
