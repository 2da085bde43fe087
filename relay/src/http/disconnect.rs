//! `DELETE /v1/connections` and `DELETE /v1/connections/{id}`: streams that somebody ends.

use super::{App, identity, problem::Problem, query, selection};
use crate::{
    clock::unix_millis,
    control::Command,
    grant::Right,
    hub::{open::EndReason, select::StreamSelector},
};
use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use http::request::Parts;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Ended {
    /// How many streams were ended.
    ended: u64,
}

pub async fn many(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<Ended>, Problem> {
    identity::with_right(&app, (&parts).into(), Right::Disconnect).await?;
    end(&app, selection::required(query.as_deref())?).await
}

/// No stream of that id is no error: that it is not there is what was wanted.
pub async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<Ended>, Problem> {
    identity::with_right(&app, (&parts).into(), Right::Disconnect).await?;
    query::only(query.as_deref(), &[])?;
    end(&app, StreamSelector::connection(&id)).await
}

async fn end(app: &App, streams: StreamSelector) -> Result<Json<Ended>, Problem> {
    let command = Command::End {
        streams,
        reason: EndReason::Disconnected,
    };
    let outcome = app.control.spread(command, unix_millis()).await;
    let outcome = outcome.map_err(super::revocations::refusal)?;
    Ok(Json(Ended {
        ended: outcome.streams,
    }))
}
