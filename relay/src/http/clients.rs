//! `GET /v1/clients`: receivers that gave themselves a name (`client=`), over all their streams, those
//! that ended within the last hour included.

use super::{App, paging::Parameters, problem::Problem};
use crate::listing::ClientRow;
use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Page {
    clients: Vec<ClientRow>,
    /// Value of `after` for the next page; `null` on the last.
    next: Option<String>,
    /// Replicas that did not answer in time: their streams are missing here.
    unanswered: Vec<Box<str>>,
}

pub async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    let parameters = Parameters::parse(query.as_deref(), &["after"])?;
    let after = parameters.get("after");
    let listed = app.control.clients(after, parameters.limit).await;
    let last = listed.rows.last().filter(|_| listed.more);
    Ok(Json(Page {
        next: last.map(|client| client.name.clone()),
        clients: listed.rows,
        unanswered: listed.unanswered,
    }))
}
