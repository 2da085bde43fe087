//! `POST /v1/connections/{connection}/events`: an event for one stream alone.

use super::{
    App,
    forwarded::Client,
    identity,
    problem::{Kind, Problem},
    publish, query,
};
use crate::{
    audit::{Action, Entry},
    auth::Identity,
    clock::unix_millis,
    control::Command,
    frame::Frame,
    grant::Right,
    hub::open::Directed,
    who::Who,
};
use axum::{
    Extension, Json,
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
    Extension(client): Extension<Client>,
    Path(connection): Path<String>,
    request: Request,
) -> Result<Json<Answer>, Problem> {
    let (parts, body) = request.into_parts();
    let allowed = allowed(&app, &parts).await;
    let (identity, event) = publish::one_event(&app, &parts.headers, body, client, allowed).await?;
    let command = Command::Direct {
        connection: connection.clone(),
        event: Frame::direct(&event).into_text(),
        attributes: event.attributes,
        time: event.time,
    };
    let spread = app.control.spread(command, unix_millis()).await;
    let spread = spread.map_err(super::revocations::refusal)?;
    let directed = spread.outcome.directed();
    app.hub.stats.direct.of(directed).add(1);
    app.audit.record(&Entry {
        action: Action::SentToStream,
        who: Some(&Who::from(&identity)),
        address: client.address,
        target: &connection,
        outcome: directed.as_str(),
    });
    Ok(Json(Answer {
        delivered: directed == Directed::Delivered,
        reason: (directed != Directed::Delivered).then(|| directed.as_str()),
    }))
}

async fn allowed(app: &App, parts: &Parts) -> Result<Identity, Problem> {
    let identity = identity::with_right(app, parts.into(), Right::Direct).await?;
    query::only(parts.uri.query(), &[])?;
    if parts.headers.contains_key("idempotency-key") {
        return Err(Problem::new(
            Kind::InvalidHeader,
            "an event to one stream is not kept, so a repeat cannot be recognised; leave Idempotency-Key out",
        ));
    }
    Ok(identity)
}
