//! Any sources.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::{postgres, redis_credentials, span, text};
use crate::{
    Begin, Expect, ListenNames, Mapping, PostgresListenSource, PostgresOutboxSource,
    RedisStreamSource, Source, SourceRedis, TakenRow,
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
    fn postgres_listen()(
        postgres in postgres(),
        channels in vec(text(), 0..3),
        names in one_of(&[ListenNames::Exact, ListenNames::Folded]),
    ) -> PostgresListenSource {
        PostgresListenSource { postgres, channels, names }
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
        postgres_listen in of(postgres_listen().boxed()),
        postgres_outbox in of(postgres_outbox().boxed()),
        mapping in mapping(),
    ) -> Source {
        Source { name, redis_stream, postgres_listen, postgres_outbox, mapping }
    }
}
