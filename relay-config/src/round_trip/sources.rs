//! Any sources.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::{postgres, redis_credentials, span, text};
use crate::{
    AmqpSource, Begin, Broker, BrokerCredentials, BrokerTls, ChannelsLayer, DjangoChannelsSource,
    Durable, EncryptionKey, Expect, ListenNames, Mapping, PostgresListenSource,
    PostgresOutboxSource, RabbitmqSource, RedisPubSubSource, RedisStreamSource, Routing, Source,
    SourceRedis, SseCredentials, SseScheme, SseSource, StompSource, TakenRow,
};

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> {
    prop::sample::select(values.to_vec())
}

prop_compose! {
    fn redis()(
        (url, url_variable) in (of(text()), of(text())),
        credentials in of(redis_credentials()),
        connect_timeout in span(),
    ) -> SourceRedis {
        SourceRedis { url, url_variable, credentials, connect_timeout, ..SourceRedis::default() }
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
        layer in prop::sample::select(vec![ChannelsLayer::Core, ChannelsLayer::PubSub]),
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
        DjangoChannelsSource { layer, hosts, groups, prefix, mailbox, expiry, group_expiry, capacity, encryption_keys }
    }
}

prop_compose! {
    fn redis_pub_sub()(
        redis in redis(),
        (channels, patterns) in (vec(text(), 0..3), vec(text(), 0..3)),
        on_demand in vec(text(), 0..3),
    ) -> RedisPubSubSource {
        RedisPubSubSource { redis, channels, patterns, on_demand }
    }
}

prop_compose! {
    fn sse()(
        url in text(),
        credentials in of((text(), of(text()), of(text())).prop_map(|(scheme, token_file, token_variable)| {
            SseCredentials { scheme: SseScheme(scheme), token_file, token_variable }
        })),
        ca_file in of(text().prop_map(Into::into)),
        silence in span(),
    ) -> SseSource {
        SseSource { url, credentials, ca_file, silence }
    }
}

prop_compose! {
    fn postgres_listen()(
        postgres in postgres(),
        (channels, on_demand) in (vec(text(), 0..3), vec(text(), 0..3)),
        names in one_of(&[ListenNames::Exact, ListenNames::Folded]),
    ) -> PostgresListenSource {
        PostgresListenSource { postgres, channels, names, on_demand }
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
    fn postgres_outbox()(
        postgres in postgres(),
        (table, notify, poll) in (text(), of(text()), span()),
        taken in one_of(&[TakenRow::Delete, TakenRow::Mark]),
    ) -> PostgresOutboxSource {
        PostgresOutboxSource { postgres, table, notify, poll, taken }
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
        (redis_pub_sub, redis_stream) in (of(redis_pub_sub().boxed()), of(redis_stream().boxed())).boxed(),
        (postgres_listen, postgres_outbox) in (of(postgres_listen().boxed()), of(postgres_outbox().boxed())).boxed(),
        (sse, rabbitmq) in (of(sse().boxed()), of(rabbitmq().boxed())).boxed(),
        django_channels in of(django_channels().boxed()).boxed(),
        (stomp, amqp) in (of(stomp().boxed()), of(amqp().boxed())).boxed(),
        mapping in mapping().boxed(),
    ) -> Source {
        Source {
            name, redis_pub_sub, redis_stream, postgres_listen, postgres_outbox, django_channels, sse, rabbitmq,
            stomp, amqp, mapping,
        }
    }
}
