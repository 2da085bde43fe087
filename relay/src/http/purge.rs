//! `DELETE /v1/channels/{channel}`: drops all events of a channel.

use super::{
    App,
    channel_path::ChannelPath,
    forwarded::Client,
    identity,
    problem::{Kind, Problem},
    query,
};
use crate::{
    audit::{Action, Entry},
    cursor::Place,
    event_log::AppendError,
    grant::Right,
    who::Who,
};
use axum::{
    Extension, Json,
    extract::{RawQuery, State},
};
use http::request::Parts;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Purged {
    /// How many events were dropped.
    events: u64,
    /// The newest of what the channel had; `null` when the log knows nothing of it.
    until: Option<Place>,
}

/// Purging again, or a channel that is not there, is no error: that nothing is there was wanted.
pub async fn purge(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    ChannelPath(name): ChannelPath,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<Purged>, Problem> {
    let identity = identity::with_right(&app, (&parts).into(), Right::Purge).await?;
    query::only(query.as_deref(), &[])?;
    let purged = app.log.purge(&name).await;
    let outcome = match &purged {
        Ok(purged) => format!("{} events dropped", purged.events),
        Err(error) => format!("failed: {error}"),
    };
    app.audit.record(&Entry {
        action: Action::Purged,
        who: Some(&Who::from(&identity)),
        address: client.address,
        target: name.as_str(),
        outcome: &outcome,
    });
    let purged = purged.map_err(|error| refusal(&error))?;
    app.hub.stats.purges.add(1);
    app.hub.stats.purged.add(purged.events);
    Ok(Json(Purged {
        events: purged.events,
        until: purged.until,
    }))
}

/// Nobody knows what an answer that was lost said; to purge again does no harm.
fn refusal(error: &AppendError) -> Problem {
    let kind = match error {
        AppendError::OutcomeUnknown(_) => Kind::OutcomeUnknown,
        _ => Kind::Unavailable,
    };
    Problem::new(kind, format!("{error}; purge it again in a moment"))
}
