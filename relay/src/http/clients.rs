//! `GET /v1/clients`: receivers that gave themselves a name (`client=`), over all their streams.

use super::{App, paging::Parameters, problem::Problem};
use crate::hub::inbox::ListQuery;
use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize, Default)]
struct Client {
    name: String,
    connections: usize,
    delivered: u64,
    filtered: u64,
    dropped: u64,
}

#[derive(Serialize)]
pub struct Page {
    clients: Vec<Client>,
    /// Value of `after` for the next page; `null` on the last.
    next: Option<String>,
}

pub async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    let parameters = Parameters::parse(query.as_deref(), &["after"])?;
    let streams = app
        .hub
        .list(ListQuery {
            limit: usize::MAX,
            ..ListQuery::default()
        })
        .await;
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    for stream in streams {
        let Some(name) = stream.info.client.as_deref() else {
            continue;
        };
        if parameters.get("after").is_some_and(|after| name <= after) {
            continue;
        }
        let client = clients.entry(name.to_owned()).or_insert_with(|| Client {
            name: name.to_owned(),
            ..Client::default()
        });
        client.connections += 1;
        client.delivered += stream.delivered;
        client.filtered += stream.filtered;
        client.dropped += stream.dropped;
    }
    let more = clients.len() > parameters.limit;
    let clients: Vec<Client> = clients.into_values().take(parameters.limit).collect();
    let next = clients
        .last()
        .filter(|_| more)
        .map(|client| client.name.clone());
    Ok(Json(Page { clients, next }))
}
