//! Any sources.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::{redis_credentials, span, text};
use crate::{
    AmqpSource, Begin, Broker, BrokerCredentials, BrokerTls, DjangoChannelsSource, Durable,
    EncryptionKey, Expect, Mapping, RabbitmqSource, RedisStreamSource, Routing, Source,
    SourceRedis, StompSource,
};

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> {
    prop::sample::select(values.to_vec())
}

prop_compose! {
    fn redis()(
        url in of(text()),
        credentials in of(redis_credentials()),
        connect_timeout in span(),
    ) -> SourceRedis {
        SourceRedis { url, credentials, connect_timeout, ..SourceRedis::default() }
    }
}

prop_compose! {
    fn redis_stream()(
        redis in redis(),
        streams in vec(text(), 0..3),
        (group, field, claim_after) in (text(), of(text()), span()),
        begin in one_of(&[Begin::New, Begin::Oldest]),
    ) -> RedisStreamSource {
        RedisStreamSource { redis, streams, group, begin, field, claim_after }
    }
}

prop_compose! {
    fn django_channels()(
        hosts in vec(redis(), 0..3),
        groups in vec(text(), 0..3),
        (prefix, mailbox) in (text(), text()),
        (expiry, group_expiry) in (span(), span()),
        capacity in any::<u32>(),
        encryption_keys in vec(
            (of(text()), of(text())).prop_map(|(file, variable)| EncryptionKey { file, variable }),
            0..3,
        ),
    ) -> DjangoChannelsSource {
        DjangoChannelsSource { hosts, groups, prefix, mailbox, expiry, group_expiry, capacity, encryption_keys }
    }
}

prop_compose! {
    fn broker()(
        url in text(),
        credentials in of((text(), of(text()), of(text()))),
        tls in of((of(text()), of(text()), of(text()), of(text()))),
        (connect_timeout, heartbeat) in (span(), span()),
    ) -> Broker {
        let credentials = credentials.map(|(username, password_file, password_variable)| {
            BrokerCredentials { username, password_file, password_variable }
        });
        let tls = tls.map(|(ca, certificate, key, server_name)| {
            BrokerTls { ca, certificate, key, server_name }
        });
        Broker { url, credentials, tls, connect_timeout, heartbeat }
    }
}

prop_compose! {
    fn rabbitmq()(
        broker in broker(),
        queues in vec(text(), 0..3),
        prefetch in any::<u16>(),
    ) -> RabbitmqSource {
        RabbitmqSource { broker, queues, prefetch }
    }
}

fn routing() -> impl Strategy<Value = Routing> {
    one_of(&[Routing::Topic, Routing::Queue])
}

fn durable() -> impl Strategy<Value = Option<Durable>> {
    of((text(), text()).prop_map(|(client_id, name)| Durable { client_id, name }))
}

prop_compose! {
    fn stomp()(
        broker in broker(),
        destinations in vec(text(), 0..3),
        (routing, durable) in (of(routing()), durable()),
        virtual_host in of(text()),
        prefetch in any::<u16>(),
    ) -> StompSource {
        StompSource { broker, destinations, routing, durable, virtual_host, prefetch }
    }
}

prop_compose! {
    fn amqp()(
        broker in broker(),
        addresses in vec(text(), 0..3),
        (routing, durable) in (routing(), durable()),
        prefetch in any::<u16>(),
    ) -> AmqpSource {
        AmqpSource { broker, addresses, routing, durable, prefetch }
    }
}

prop_compose! {
    fn mapping()(
        expect in one_of(&[Expect::Text, Expect::Json, Expect::Object]),
        keys in vec(text(), 0..3),
        (channel, r#type, idempotency_key, data) in (text(), text(), text(), text()),
        attributes in btree_map(text(), text(), 0..3),
    ) -> Mapping {
        Mapping { expect, keys, channel, r#type, idempotency_key, attributes, data }
    }
}

prop_compose! {
    pub(super) fn source()(
        name in text(),
        redis_stream in of(redis_stream()),
        django_channels in of(django_channels().boxed()),
        rabbitmq in of(rabbitmq()),
        (stomp, amqp) in (of(stomp().boxed()), of(amqp().boxed())),
        mapping in mapping(),
    ) -> Source {
        Source { name, redis_stream, django_channels, rabbitmq, stomp, amqp, mapping }
    }
}
