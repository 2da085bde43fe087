//! `GET /v1/clients`: receivers that gave themselves a name (`client=`), over all their streams, those
//! that ended within the last hour included.

use super::{App, paging::Parameters, problem::Problem};
use crate::hub::{clients::Got, inbox::ListQuery};
use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Instant};

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
    let open = streams.into_iter().filter_map(|stream| {
        let got = Got {
            delivered: stream.delivered,
            filtered: stream.filtered,
            dropped: stream.dropped,
        };
        Some((stream.info.client.clone()?, got, 1))
    });
    let ended = app.hub.clients.all(Instant::now()).into_iter();
    let ended = ended.map(|(name, got)| (name, got, 0));
    for (name, got, connections) in open.chain(ended) {
        if parameters.get("after").is_some_and(|after| *name <= *after) {
            continue;
        }
        let client = clients.entry(name.to_string()).or_insert_with(|| Client {
            name: name.into(),
            ..Client::default()
        });
        client.connections += connections;
        client.delivered += got.delivered;
        client.filtered += got.filtered;
        client.dropped += got.dropped;
    }
    let more = clients.len() > parameters.limit;
    let clients: Vec<Client> = clients.into_values().take(parameters.limit).collect();
    let next = clients
        .last()
        .filter(|_| more)
        .map(|client| client.name.clone());
    Ok(Json(Page { clients, next }))
}
