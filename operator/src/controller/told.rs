//! Events of Kubernetes: what changed about a relay, for whoever looks at it with kubectl.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::apply::{Healed, namespace_goes};
use crate::crd::{Condition, ConditionStatus, ConditionType, Reason, SseRelay};

/// The API server takes at most 1 KiB.
const LONGEST_NOTE: usize = 1_000;

/// Tells each of `conditions`, which say something else than before.
pub async fn tell(recorder: &Recorder, relay: &SseRelay, conditions: &[&Condition]) {
    for condition in conditions {
        let good = match condition.r#type {
            ConditionType::RedisHighlyAvailable => true,
            // it is no fault that nothing is replaced, nor that something is
            ConditionType::Progressing => matches!(
                condition.reason,
                Reason::AsAsked | Reason::RollingOut | Reason::WaitsForUpgrade | Reason::Paused
            ),
            _ => condition.status == ConditionStatus::True,
        };
        publish(
            recorder,
            relay,
            Event {
                type_: if good {
                    EventType::Normal
                } else {
                    EventType::Warning
                },
                reason: format!("{:?}", condition.reason),
                note: Some(note(&condition.message)),
                action: format!("{:?}", condition.r#type),
                secondary: None,
            },
        )
        .await;
    }
}

/// Tells what was put back.
pub async fn tell_healed(recorder: &Recorder, relay: &SseRelay, healed: &[Healed]) {
    for Healed { object, by } in healed {
        publish(recorder, relay, Event {
            type_: EventType::Warning,
            reason: "PutBack".to_owned(),
            note: Some(note(&format!(
                "{object} was changed by {}; what the SseRelay says was put back. Change the SseRelay instead",
                by.join(", ")
            ))),
            action: "Heal".to_owned(),
            secondary: None,
        })
        .await;
    }
}

/// Tells that there are to be another number of replicas.
pub async fn tell_scaled(recorder: &Recorder, relay: &SseRelay, from: i32, to: i32) {
    let why = match to > from {
        true => "what is served asks for more",
        false => "fewer are enough for what is served",
    };
    publish(
        recorder,
        relay,
        Event {
            type_: EventType::Normal,
            reason: "Scaled".to_owned(),
            note: Some(format!("from {from} to {to} replicas: {why}")),
            action: "Scale".to_owned(),
            secondary: None,
        },
    )
    .await;
}

/// An Event that cannot be written is no reason to fail: the status says the same.
async fn publish(recorder: &Recorder, relay: &SseRelay, event: Event) {
    let published = recorder.publish(&event, &relay.object_ref(&())).await;
    if let Err(error) = published.or_else(|error| match namespace_goes(&error) {
        true => Ok(()), // and whoever would have read it is gone with it
        false => Err(error),
    }) {
        tracing::warn!(event = "events.failed", %error, reason = event.reason, "an Event was not written");
    }
}

fn note(text: &str) -> String {
    let mut note = String::new();
    for c in text.chars() {
        if note.len() + c.len_utf8() > LONGEST_NOTE {
            break;
        }
        note.push(c);
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_where_the_api_server_would_refuse_it() {
        assert_eq!(note("é".repeat(800).as_str()).len(), LONGEST_NOTE);
        assert_eq!(note("short"), "short");
    }
}
