//! Why the StatefulSet of a Redis makes no pod. Its status does not say it: its controller tells it in
//! Events.

use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::names::Names;
use crate::status::PodTrouble;

/// What the controller of StatefulSets calls it.
const FAILED: &str = "FailedCreate";
/// At most so many Events are looked at.
const EVENTS: u32 = 20;

/// What was last said of the pod of this relay's own Redis, which is not there; nothing, if nothing was
/// said or the operator may not read Events.
pub async fn not_made(client: &Client, names: &Names) -> Option<PodTrouble> {
    let events: Api<Event> = Api::namespaced(client.clone(), &names.namespace);
    let of_set = format!(
        "regarding.kind=StatefulSet,regarding.name={},reason={FAILED}",
        names.redis()
    );
    let said = match events
        .list(&ListParams::default().fields(&of_set).limit(EVENTS))
        .await
    {
        Ok(said) => said,
        Err(error) => {
            tracing::debug!(event = "observe.events", %error, "Events cannot be listed");
            return None;
        }
    };
    let last = said.into_iter().max_by_key(last_seen)?;
    Some(PodTrouble {
        pod: format!("{}-0", names.redis()),
        reason: FAILED.to_owned(),
        message: last.note.unwrap_or_default(),
    })
}

/// When `event` was seen last, in microseconds; those of older writers have no series.
fn last_seen(event: &Event) -> i64 {
    let series = event
        .series
        .as_ref()
        .map(|series| &series.last_observed_time.0);
    let older = event.deprecated_last_timestamp.as_ref().map(|time| &time.0);
    let first = event.event_time.as_ref().map(|time| &time.0);
    let seen = [series, older, first].into_iter().flatten().max();
    seen.map_or(i64::MIN, |time| time.as_microsecond())
}
