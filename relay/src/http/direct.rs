//! `POST /v1/connections/{connection}/events`: an event for one stream alone.

use super::{
    App, identity,
    problem::{Kind, Problem},
    publish, query,
};
use crate::{
    clock::unix_millis, control::Command, frame::Frame, grant::Right, hub::open::Directed,
};
use axum::{
    Json,
    extract::{Path, Request, State},
};
use http::request::Parts;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Answer {
    delivered: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub async fn direct(
    State(app): State<Arc<App>>,
    Path(connection): Path<String>,
    request: Request,
) -> Result<Json<Answer>, Problem> {
    let (parts, body) = request.into_parts();
    let allowed = allowed(&app, &parts).await;
    let event = publish::one_event(&app, &parts.headers, body, allowed).await?;
    let command = Command::Direct {
        connection,
        event: Frame::direct(&event).into_text(),
    };
    let outcome = app.control.spread(command, unix_millis()).await;
    let outcome = outcome.map_err(super::revocations::refusal)?;
    let directed = outcome.directed();
    app.hub.stats.direct.of(directed).add(1);
    Ok(Json(Answer {
        delivered: directed == Directed::Delivered,
        reason: (directed != Directed::Delivered).then(|| directed.as_str()),
    }))
}

async fn allowed(app: &App, parts: &Parts) -> Result<(), Problem> {
    identity::with_right(app, &parts.headers, Right::Direct).await?;
    query::only(parts.uri.query(), &[])?;
    if parts.headers.contains_key("idempotency-key") {
        return Err(Problem::new(
            Kind::InvalidHeader,
            "an event to one stream is not kept, so a repeat cannot be recognised; leave Idempotency-Key out",
        ));
    }
    Ok(())
}
