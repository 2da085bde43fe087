//! `GET /v1/connections`: the streams that are open.

use super::{
    App, identity,
    paging::Parameters,
    problem::{Kind, Problem},
    selection,
};
use crate::{
    clock::rfc3339,
    grant::Right,
    hub::inbox::{ListQuery, StreamReport},
};
use axum::{
    Json,
    extract::{RawQuery, State},
};
use http::request::Parts;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    id: String,
    client: Option<String>,
    /// Whom its credential stands for.
    subject: Option<String>,
    /// What kind of credential opened it.
    credential: &'static str,
    /// Name of the token, if it was one.
    token: Option<String>,
    remote_addr: Option<String>,
    opened_at: String,
    age_seconds: u64,
    channels: Vec<String>,
    filter: BTreeMap<String, Vec<String>>,
    /// `null` while it reads history.
    cursor: Option<String>,
    queue_bytes: u64,
    delivered: u64,
    filtered: u64,
    dropped: u64,
    transport: &'static str,
    user_agent: Option<String>,
}

#[derive(Serialize)]
pub struct Page {
    connections: Vec<Connection>,
    /// Value of `after` for the next page; `null` on the last.
    next: Option<String>,
}

pub async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<Page>, Problem> {
    identity::with_right(&app, (&parts).into(), Right::Observe).await?;
    let known = [&["after"], &selection::PARAMETERS[..]].concat();
    let parameters = Parameters::parse(query.as_deref(), &known)?;
    let after = parameters.get("after").map(|id| number(&app, id));
    let query = ListQuery {
        after: after.transpose()?.unwrap_or(0),
        limit: parameters.limit + 1,
        streams: selection::of(parameters.all())?,
        dialect: None,
    };
    let mut streams = app.hub.list(query).await;
    let more = streams.len() > parameters.limit;
    streams.truncate(parameters.limit);
    let next = streams
        .last()
        .filter(|_| more)
        .map(|stream| stream.info.id.to_string());
    let now = SystemTime::now();
    Ok(Json(Page {
        connections: streams
            .into_iter()
            .map(|stream| describe(stream, now))
            .collect(),
        next,
    }))
}

/// The number of the stream that a page ended with.
fn number(app: &App, id: &str) -> Result<u64, Problem> {
    app.control.number_of(id).ok_or_else(|| {
        Problem::new(
            Kind::InvalidQuery,
            "`after` is a connection's id, as the page before gave it in `next`",
        )
    })
}

fn describe(stream: StreamReport, now: SystemTime) -> Connection {
    let info = &stream.info;
    let texts = |values: &std::collections::BTreeSet<Box<str>>| {
        values.iter().map(|value| value.to_string()).collect()
    };
    Connection {
        id: info.id.to_string(),
        client: info.client.as_deref().map(str::to_owned),
        subject: info.who.subject.as_ref().map(ToString::to_string),
        credential: info.who.credential(),
        token: info.who.token().map(str::to_owned),
        remote_addr: info.remote.map(|addr| addr.to_string()),
        opened_at: rfc3339(info.opened),
        age_seconds: now
            .duration_since(info.opened)
            .map_or(0, |age| age.as_secs()),
        channels: info.asked().map(ToString::to_string).collect(),
        filter: info
            .filter
            .terms()
            .iter()
            .map(|(name, values)| (name.to_string(), texts(values)))
            .collect(),
        cursor: stream.cursor,
        queue_bytes: stream.queue_bytes,
        delivered: stream.delivered,
        filtered: stream.filtered,
        dropped: stream.dropped,
        transport: info.transport.as_str(),
        user_agent: info.user_agent.as_deref().map(str::to_owned),
    }
}
