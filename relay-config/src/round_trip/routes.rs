//! Any routes.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::{overflow, span, text};
use crate::{
    BeatWhen, Charset, Dialect, DialectFarewell, DialectHeartbeat, FarewellWhen, FilledKey,
    FilterValues, FrameField, JsonStyle, LineEnd, Refusal, RefusedFor, Repeated, Route, RouteCors,
    RouteCredentials, RouteFilter, RouteStatus,
};

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> {
    prop::sample::select(values.to_vec())
}

prop_compose! {
    fn field()(
        (comment, id, event) in (of(text()), of(text()), of(text())),
        (data, json, retry) in (of(text()), of(text()), of(text())),
        fill in vec((text(), text()).prop_map(|(key, json)| FilledKey { key, json }), 0..2),
    ) -> FrameField {
        FrameField { comment, id, event, data, json, retry, fill }
    }
}

fn block() -> BoxedStrategy<Vec<FrameField>> {
    vec(field(), 0..2).boxed()
}

prop_compose! {
    fn dialect()(
        line_end in one_of(&[LineEnd::Lf, LineEnd::Crlf]),
        line_end_from in of(text()),
        json in one_of(&[JsonStyle::Compact, JsonStyle::CompactAscii, JsonStyle::Spaced, JsonStyle::SpacedAscii]),
        greeting in vec(block(), 0..2),
        (event, frame, gap, end, farewell) in (block(), block(), block(), block(), block()),
        (expiring, degraded) in (block(), block()),
        farewell_when in one_of(&[FarewellWhen::Always, FarewellWhen::Draining]),
        (interval, when) in (span(), one_of(&[BeatWhen::Always, BeatWhen::Idle])),
    ) -> Dialect {
        let heartbeat = DialectHeartbeat { interval, when, frame };
        let farewell = DialectFarewell { when: farewell_when, frame: farewell };
        Dialect { line_end, line_end_from, json, greeting, event, heartbeat, gap, expiring, degraded, end, farewell }
    }
}

prop_compose! {
    fn filter()(
        (parameter, value) in (text(), text()),
        values in one_of(&[FilterValues::Commas, FilterValues::One]),
        repeated in one_of(&[Repeated::All, Repeated::Last]),
    ) -> RouteFilter {
        RouteFilter { parameter, value, values, repeated }
    }
}

prop_compose! {
    fn refusal()(
        problem in one_of(&[RefusedFor::Any, RefusedFor::Unauthenticated, RefusedFor::Draining]),
        (reason, status, json) in (of(text()), of(any::<u16>()), text()),
    ) -> Refusal {
        Refusal { problem, reason, status, json }
    }
}

prop_compose! {
    pub fn route()(
        (paths, channels) in (vec(text(), 0..3), vec(text(), 0..3)),
        filters in vec(filter(), 0..2),
        (scheme, query_parameter) in (of(text()), of(text())),
        cors in one_of(&[RouteCors::AsConfigured, RouteCors::Off]),
        charset in one_of(&[Charset::Named, Charset::Unnamed]),
        (overflow, lifetime) in (of(overflow()), of(span())),
        dialect in dialect().boxed(),
        status in of((vec(text(), 0..3), text(), vec(refusal(), 0..2))
            .prop_map(|(paths, json, refusals)| RouteStatus { paths, json, refusals })),
        refusals in vec(refusal(), 0..2),
    ) -> Route {
        let credentials = RouteCredentials { scheme, query_parameter };
        Route { paths, channels, filters, credentials, cors, charset, overflow, lifetime, dialect, status, refusals }
    }
}
