//! `GET /v1/channels` and `GET /v1/channels/{channel}`.

use super::{
    App,
    channel_path::ChannelPath,
    identity,
    paging::Parameters,
    problem::{Kind, Problem},
    query, time,
};
use crate::{
    channel::ChannelName, cursor::Place, event::Ending, event_log::ChannelInfo, grant::Right,
};
use axum::{
    Json,
    extract::{RawQuery, State},
};
use http::request::Parts;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Channel {
    name: String,
    events: usize,
    bytes: usize,
    first_id: Option<String>,
    last_id: Option<String>,
    last_event_at: Option<String>,
    rate_per_second: f64,
    streams: usize,
    ended: bool,
}

#[derive(Serialize)]
pub struct Page {
    channels: Vec<Channel>,
    /// Value of `after` for the next page; `null` on the last.
    next: Option<String>,
    /// Replicas that did not answer in time: their streams are not counted.
    unanswered: Vec<Box<str>>,
}

#[derive(Serialize)]
pub struct One {
    #[serde(flatten)]
    channel: Channel,
    /// Replicas that did not answer in time: their streams are not counted.
    unanswered: Vec<Box<str>>,
}

impl Channel {
    fn new(info: ChannelInfo, streams: usize) -> Channel {
        Channel {
            name: info.name.to_string(),
            events: info.events,
            bytes: info.bytes,
            first_id: info.first.as_ref().map(Place::to_string),
            last_id: info.last.as_ref().map(Place::to_string),
            last_event_at: info.last_at.map(time::format_millis),
            rate_per_second: (info.rate * 100.0).round() / 100.0,
            streams,
            ended: info.ending == Ending::Ends,
        }
    }

    /// A channel that the log knows nothing of; it may have streams that wait for its first event.
    fn empty(name: &ChannelName, streams: usize) -> Channel {
        Channel {
            name: name.to_string(),
            events: 0,
            bytes: 0,
            first_id: None,
            last_id: None,
            last_event_at: None,
            rate_per_second: 0.0,
            streams,
            ended: false,
        }
    }
}

pub async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    let parameters = Parameters::parse(query.as_deref(), &["after"])?;
    let found = app
        .log
        .channels(parameters.get("after"), parameters.limit + 1);
    let mut found = found.await?;
    let more = found.len() > parameters.limit;
    found.truncate(parameters.limit);
    let names: Vec<ChannelName> = found.iter().map(|info| info.name.clone()).collect();
    let streams = app.control.count_streams(&names).await;
    let next = names.last().filter(|_| more).map(ToString::to_string);
    let channels = found
        .into_iter()
        .zip(streams.rows)
        .map(|(info, streams)| Channel::new(info, streams))
        .collect();
    Ok(Json(Page {
        channels,
        next,
        unanswered: streams.unanswered,
    }))
}

/// How long `wait=empty` waits at most; then the answer tells how many streams are left.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long after a stream closed its channel is looked at again, so that a storm of closes is one look.
const SETTLE: Duration = Duration::from_millis(50);
/// How often the other replicas are asked whether it is empty.
const LOOK: Duration = Duration::from_secs(1);

pub async fn one(
    State(app): State<Arc<App>>,
    ChannelPath(name): ChannelPath,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<One>, Problem> {
    let identity = identity::sender(&app, (&parts).into()).await?;
    // a publisher may know whether anybody listens to what it publishes
    if !identity.grant.may_publish(&name) {
        identity::may(&identity, Right::Observe)?;
    }
    let parameters = query::only(query.as_deref(), &["wait"])?;
    match parameters.first().map(|(_, value)| value.as_str()) {
        None => {}
        Some("empty") => {
            // past the time the answer tells how many are left
            let _ = tokio::time::timeout(MAX_WAIT, wait_until_empty(&app, &name)).await;
        }
        Some(_) => {
            return Err(Problem::new(
                Kind::InvalidQuery,
                "`wait` is empty: the answer comes when the last stream has left",
            ));
        }
    }
    let counted = app.control.count_streams(std::slice::from_ref(&name)).await;
    let streams = counted.rows.iter().sum();
    let channel = match app.log.channel(&name).await? {
        Some(info) => Channel::new(info, streams),
        None => Channel::empty(&name, streams),
    };
    Ok(Json(One {
        channel,
        unanswered: counted.unanswered,
    }))
}

/// Whether no replica has a stream of it; one that does not answer may have.
async fn is_empty(app: &App, name: &ChannelName) -> bool {
    let counted = app.control.count_streams(std::slice::from_ref(name)).await;
    counted.rows.iter().all(|streams| *streams == 0) && counted.unanswered.is_empty()
}

async fn wait_until_empty(app: &App, name: &ChannelName) {
    loop {
        let closed = app.hub.closed.notified();
        tokio::pin!(closed);
        // before the count, so that a close after it is heard
        closed.as_mut().enable();
        if is_empty(app, name).await {
            return;
        }
        match app.control.fleet() {
            None => closed.await,
            // a stream that closes elsewhere is not heard
            Some(_) => {
                let _ = tokio::time::timeout(LOOK, closed).await;
            }
        }
        tokio::time::sleep(SETTLE).await;
    }
}
