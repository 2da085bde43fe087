//! Systems that events are pulled from. A kind of source has a file of its own in `sources/`.

mod amqp;
mod broker;
mod django_channels;
mod mapping;
mod on_demand;
mod postgres_listen;
mod postgres_outbox;
mod rabbitmq;
mod redis;
mod redis_pub_sub;
mod redis_stream;
mod sse;
mod stomp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::Problem;

pub use amqp::AmqpSource;
pub use broker::{Broker, BrokerAddress, BrokerCredentials, BrokerProtocol, BrokerTls};
pub use django_channels::{ChannelsLayer, DjangoChannelsSource, EncryptionKey};
pub use mapping::{Expect, Mapping};
pub use postgres_listen::{ListenNames, PostgresListenSource};
pub use postgres_outbox::{PostgresOutboxSource, TakenRow};
pub use rabbitmq::RabbitmqSource;
pub use redis::SourceRedis;
pub use redis_pub_sub::RedisPubSubSource;
pub use redis_stream::{Begin, RedisStreamSource};
pub use sse::{SseCredentials, SseScheme, SseSource};
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
    /// Redis Pub/Sub. What is published while nobody listens is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_pub_sub: Option<RedisPubSubSource>,
    /// Redis Streams, read as a consumer group. Nothing is lost: an entry is acknowledged once the
    /// event log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_stream: Option<RedisStreamSource>,
    /// Groups of Django Channels. Nothing is lost that their layer keeps: for `expiry`, up to `capacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub django_channels: Option<DjangoChannelsSource>,
    /// Another server's event stream over HTTP. It is resumed where it was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sse: Option<SseSource>,
    /// Notifications of PostgreSQL. It keeps none: what is notified while nobody listens is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_listen: Option<PostgresListenSource>,
    /// A table in PostgreSQL that an application writes its events to, in its own transactions. Nothing
    /// is lost: a row is deleted or marked once the event log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_outbox: Option<PostgresOutboxSource>,
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
    /// Redis Pub/Sub.
    RedisPubSub(&'s RedisPubSubSource),
    /// Notifications of PostgreSQL.
    PostgresListen(&'s PostgresListenSource),
    /// A table in PostgreSQL.
    PostgresOutbox(&'s PostgresOutboxSource),
    /// Redis Streams.
    RedisStream(&'s RedisStreamSource),
    /// Groups of Django Channels.
    DjangoChannels(&'s DjangoChannelsSource),
    /// An event stream over HTTP.
    Sse(&'s SseSource),
    /// Queues of RabbitMQ.
    Rabbitmq(&'s RabbitmqSource),
    /// Destinations over STOMP.
    Stomp(&'s StompSource),
    /// Addresses over AMQP 1.0.
    Amqp(&'s AmqpSource),
}

impl<'s> SourceKind<'s> {
    /// Its key in the document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RedisPubSub(_) => "redisPubSub",
            Self::PostgresListen(_) => "postgresListen",
            Self::PostgresOutbox(_) => "postgresOutbox",
            Self::RedisStream(_) => "redisStream",
            Self::DjangoChannels(_) => "djangoChannels",
            Self::Sse(_) => "sse",
            Self::Rabbitmq(_) => "rabbitmq",
            Self::Stomp(_) => "stomp",
            Self::Amqp(_) => "amqp",
        }
    }

    /// What is wrong with its settings; paths begin with `path`.
    pub(crate) fn problems(self, path: &str) -> Vec<Problem> {
        let path = format!("{path}.{}", self.as_str());
        match self {
            Self::RedisPubSub(source) => source.problems(&path),
            Self::PostgresListen(source) => source.problems(&path),
            Self::PostgresOutbox(source) => source.problems(&path),
            Self::RedisStream(source) => source.problems(&path),
            Self::DjangoChannels(source) => source.problems(&path),
            Self::Sse(source) => source.problems(&path),
            Self::Rabbitmq(source) => source.problems(&path),
            Self::Stomp(source) => source.problems(&path),
            Self::Amqp(source) => source.problems(&path),
        }
    }

    /// Channels of the relay that it listens to as long as streams want them, as patterns.
    #[must_use]
    pub fn on_demand(self) -> &'s [String] {
        match self {
            Self::RedisPubSub(source) => &source.on_demand,
            Self::PostgresListen(source) => &source.on_demand,
            _ => &[],
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
            self.redis_pub_sub.as_ref().map(SourceKind::RedisPubSub),
            self.redis_stream.as_ref().map(SourceKind::RedisStream),
            self.django_channels
                .as_ref()
                .map(SourceKind::DjangoChannels),
            self.sse.as_ref().map(SourceKind::Sse),
            self.postgres_listen
                .as_ref()
                .map(SourceKind::PostgresListen),
            self.postgres_outbox
                .as_ref()
                .map(SourceKind::PostgresOutbox),
            self.rabbitmq.as_ref().map(SourceKind::Rabbitmq),
            self.stomp.as_ref().map(SourceKind::Stomp),
            self.amqp.as_ref().map(SourceKind::Amqp),
        ];
        kinds.into_iter().flatten()
    }
}
