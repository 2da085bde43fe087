//! The context of a trace (W3C Trace Context), in a request's headers and in an event. Pure.
//!
//! In an event it stands in the attributes `traceparent` and `tracestate`, as the Distributed Tracing
//! extension of CloudEvents has it. What cannot be read is no context, never an error.

use crate::event::{Attributes, Event, MAX_ATTRIBUTE_VALUE};
use http::HeaderMap;
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Both texts, wherever they stood.
struct Said<'a> {
    parent: &'a str,
    state: String,
}

impl Extractor for Said<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            PARENT => Some(self.parent),
            STATE => Some(&self.state),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}

impl Said<'_> {
    fn context(&self) -> Option<Context> {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), self);
        let valid = context.span().span_context().is_valid();
        valid.then_some(context)
    }
}

/// What a request says. A `traceparent` that is there twice says nothing; several `tracestate` are one
/// list (3.3.1.1).
pub fn of_headers(headers: &HeaderMap) -> Option<Context> {
    let mut parents = headers.get_all(PARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let states = headers.get_all(STATE).iter();
    let states: Vec<&str> = states.filter_map(|value| value.to_str().ok()).collect();
    let said = Said {
        parent: parent.to_str().ok()?,
        state: states.join(","),
    };
    said.context()
}

/// What an event carries.
pub fn of_event(event: &Event) -> Option<Context> {
    let said = Said {
        parent: event.attributes.get(PARENT)?,
        state: event.attributes.get(STATE).unwrap_or_default().to_owned(),
    };
    said.context()
}

/// The same, if it is traced.
pub fn sampled(event: &Event) -> Option<Context> {
    let context = of_event(event)?;
    let sampled = context.span().span_context().is_sampled();
    sampled.then_some(context)
}

/// Makes an event carry a context, unless it has one. A state that is too long for an attribute stays
/// behind.
pub fn carry(event: &mut Event, span: &SpanContext) {
    if event.attributes.get(PARENT).is_some() {
        return;
    }
    let parent = format!("00-{}-{}-01", span.trace_id(), span.span_id());
    let state = span.trace_state().header();
    let mut all: Vec<(String, String)> = event
        .attributes
        .iter()
        .filter(|(name, _)| *name != STATE)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    all.push((PARENT.to_owned(), parent));
    if !state.is_empty() && state.len() <= MAX_ATTRIBUTE_VALUE {
        all.push((STATE.to_owned(), state));
    }
    if let Ok(attributes) = Attributes::new(all) {
        event.attributes = attributes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOT_TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn with(pairs: &[(&str, &str)]) -> Event {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Event {
            attributes: Attributes::new(pairs).unwrap(),
            ..Event::text("x")
        }
    }

    #[test]
    fn a_context_goes_from_headers_into_an_event_and_out_of_it() {
        let said = headers(&[(PARENT, TRACED), (STATE, "a=1"), (STATE, "b=2")]);
        let context = of_headers(&said).unwrap();
        let mut event = with(&[("kind", "x")]);
        carry(&mut event, context.span().span_context());
        assert_eq!(event.attributes.get(PARENT), Some(TRACED));
        assert_eq!(event.attributes.get(STATE), Some("a=1,b=2"));
        assert_eq!(event.attributes.get("kind"), Some("x"));
        let carried = sampled(&event).unwrap();
        let (before, after) = (
            context.span().span_context().clone(),
            carried.span().span_context().clone(),
        );
        assert_eq!(before, after);
    }

    #[test]
    fn what_an_event_carries_already_stays() {
        let context = of_headers(&headers(&[(PARENT, TRACED)])).unwrap();
        let mut event = with(&[(PARENT, NOT_TRACED)]);
        carry(&mut event, context.span().span_context());
        assert_eq!(event.attributes.get(PARENT), Some(NOT_TRACED));
        assert!(
            sampled(&event).is_none(),
            "its sender did not want it traced"
        );
    }

    #[test]
    fn what_is_no_context_says_nothing() {
        for wrong in [
            "",
            "x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(
                of_headers(&headers(&[(PARENT, wrong)])).is_none(),
                "{wrong}"
            );
        }
        let twice = headers(&[(PARENT, TRACED), (PARENT, TRACED)]);
        assert!(of_headers(&twice).is_none());
        assert!(of_headers(&headers(&[(STATE, "a=1")])).is_none());
    }

    #[test]
    fn a_state_that_is_too_long_stays_behind() {
        let long = (0..30).map(|n| format!("k{n}={}", "v".repeat(60)));
        let long = long.collect::<Vec<_>>().join(",");
        let context = of_headers(&headers(&[(PARENT, TRACED), (STATE, &long)])).unwrap();
        let mut event = with(&[]);
        carry(&mut event, context.span().span_context());
        assert_eq!(event.attributes.get(PARENT), Some(TRACED));
        assert_eq!(event.attributes.get(STATE), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_makes_an_event_illegal(parent in ".{0,80}", state in ".{0,200}") {
            let mut said = HeaderMap::new();
            for (name, value) in [(PARENT, &parent), (STATE, &state)] {
                if let Ok(value) = value.parse() {
                    said.insert(name, value);
                }
            }
            if let Some(context) = of_headers(&said) {
                let mut event = with(&[]);
                carry(&mut event, context.span().span_context());
                prop_assert!(event.attributes.get(PARENT).is_some());
            }
        }
    }
}
