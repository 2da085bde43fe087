//! `DELETE /v1/connections` and `DELETE /v1/connections/{id}`: streams that somebody ends.

use super::{App, forwarded::Client, identity, problem::Problem, query, selection};
use crate::{
    audit::{Action, Entry},
    auth::Identity,
    clock::unix_millis,
    control::Command,
    grant::Right,
    hub::{open::EndReason, select::StreamSelector},
    who::Who,
};
use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State},
};
use http::{StatusCode, request::Parts};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Ended {
    /// How many streams were ended.
    ended: u64,
    /// How many of the replicas that it is for have done it.
    confirmed: usize,
    replicas: usize,
}

pub async fn many(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<(StatusCode, Json<Ended>), Problem> {
    let identity = identity::with_right(&app, (&parts).into(), Right::Disconnect).await?;
    let streams = selection::required(query.as_deref())?;
    end(&app, streams, &identity, client).await
}

/// No stream of that id is no error: that it is not there is what was wanted.
pub async fn one(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<(StatusCode, Json<Ended>), Problem> {
    let identity = identity::with_right(&app, (&parts).into(), Right::Disconnect).await?;
    query::only(query.as_deref(), &[])?;
    end(&app, StreamSelector::connection(&id), &identity, client).await
}

async fn end(
    app: &App,
    streams: StreamSelector,
    identity: &Identity,
    client: Client,
) -> Result<(StatusCode, Json<Ended>), Problem> {
    let target = serde_json::to_string(&streams).expect("a struct of texts");
    let command = Command::End {
        streams,
        reason: EndReason::Disconnected,
    };
    let spread = app.control.spread(command, unix_millis()).await;
    let spread = spread.map_err(super::revocations::refusal)?;
    app.audit.record(&Entry {
        action: Action::Disconnected,
        who: Some(&Who::from(identity)),
        address: client.address,
        target: &target,
        outcome: &format!(
            "{} streams ended, {} of {} replicas",
            spread.outcome.streams, spread.confirmed, spread.replicas
        ),
    });
    let ended = Ended {
        ended: spread.outcome.streams,
        confirmed: spread.confirmed,
        replicas: spread.replicas,
    };
    Ok((super::revocations::status(&spread), Json(ended)))
}
