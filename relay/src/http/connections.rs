//! `GET /v1/connections`: the streams that are open, at all replicas.

use super::{
    App, identity,
    paging::Parameters,
    problem::{Kind, Problem},
    selection,
};
use crate::{control::replica_of, grant::Right};
use axum::{
    Json,
    extract::{RawQuery, State},
};
use http::request::Parts;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Page {
    connections: Vec<Box<RawValue>>,
    /// Value of `after` for the next page; `null` on the last.
    next: Option<String>,
    /// Replicas that did not answer in time: their streams are missing here.
    unanswered: Vec<Box<str>>,
}

pub async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<Page>, Problem> {
    identity::with_right(&app, (&parts).into(), Right::Observe).await?;
    let known = [&["after"], &selection::PARAMETERS[..]].concat();
    let parameters = Parameters::parse(query.as_deref(), &known)?;
    let after = parameters.get("after");
    if after.is_some_and(|id| !is_known(&app, id)) {
        return Err(Problem::new(
            Kind::InvalidQuery,
            "`after` is a connection's id, as the page before gave it in `next`",
        ));
    }
    let streams = selection::of(parameters.all())?;
    let listed = app.control.streams(after, parameters.limit, &streams).await;
    let next = listed.rows.last().filter(|_| listed.more);
    Ok(Json(Page {
        next: next.map(|row| row.id.clone()),
        connections: listed.rows.into_iter().map(|row| row.row).collect(),
        unanswered: listed.unanswered,
    }))
}

/// Whether a connection's id can be one of a page: of this replica, or of another one.
fn is_known(app: &App, id: &str) -> bool {
    app.control.number_of(id).is_some()
        || (app.control.fleet().is_some() && replica_of(id).is_some())
}
