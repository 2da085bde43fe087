//! `GET /v1/channels/{channel}/events`: a channel's history, in order.

use super::{
    App,
    channel_path::ChannelPath,
    identity,
    paging::Parameters,
    problem::{Kind, Problem},
    subscribe::open_to_subscribers,
};
use crate::{
    channel::{ChannelName, Selector},
    cursor::{Cursor, EventId, Place, Places},
    event_log::{
        Completeness, Earlier, Entry, Gaps, Origin, Page, Read, ReadError, Standing, cursor_of,
        gap::Certainty,
    },
    filter::Filter,
    frame::GapReason,
};
use axum::{
    Json,
    extract::{RawQuery, State},
};
use http::request::Parts;
use serde::Serialize;
use smallvec::smallvec;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

#[derive(Serialize)]
struct HistoryEvent {
    id: Place,
    event: String,
    /// The data as the stream carries them.
    data: String,
    attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    end: bool,
}

/// What is missing after `after`.
#[derive(Serialize)]
struct HistoryGap {
    reason: GapReason,
    certain: bool,
    after: Places,
    until: Places,
}

#[derive(Serialize)]
pub struct History {
    events: Vec<HistoryEvent>,
    /// Value of `after` for what follows; `null` when there is no more yet.
    next: Option<Place>,
    gap: Option<HistoryGap>,
}

/// Bytes of events that one answer has at most, but for its last event.
const MAX_BYTES: usize = 4 << 20;

pub async fn history(
    State(app): State<Arc<App>>,
    ChannelPath(name): ChannelPath,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<History>, Problem> {
    let identity = identity::sender(&app, (&parts).into()).await?;
    let selector = Selector::Channel(name.clone());
    identity::may_subscribe(&identity, [&selector])?;
    let filter = identity::readable(&identity, &Filter::default())?;
    open_to_subscribers(&app.config(), &name)?;
    let parameters = Parameters::parse(query.as_deref(), &["after", "before", "from"])?;
    let ids = Ids::new(&app, &name)?;
    let (after, before) = (
        ids.bound(&app, &parameters, "after")?,
        ids.bound(&app, &parameters, "before")?,
    );
    let after = match (after, beginning(&parameters)?) {
        (Some(_), Some(_)) => {
            let detail = "`after` and `from` both say where to begin; give one of them";
            return Err(Problem::new(Kind::InvalidQuery, detail));
        }
        (after, from) => after.or(from.map(|from| from.min(ids.head.id))),
    };
    let upto = before.map_or(ids.head.id, |before| {
        EventId::new(before.get().saturating_sub(1)).unwrap_or_default()
    });
    let read = Read {
        selectors: Arc::new([selector]),
        from: smallvec![Standing {
            after: ids.at(after.unwrap_or_default()),
            gaps: match after {
                Some(_) => Gaps::Report,
                None => Gaps::SinceFirst,
            },
        }],
        upto: Places::one(ids.at(upto.min(ids.head.id))),
        max_bytes: MAX_BYTES,
        max_events: parameters.limit,
    };
    let backwards = before.is_some() && after.is_none() && parameters.get("from").is_none();
    let page = if backwards {
        last_page(&app, &ids, read, &filter).await?
    } else {
        app.log.read(read).await?
    };
    let more = page.completeness == Completeness::More;
    Ok(Json(History {
        next: page
            .entries
            .last()
            .filter(|_| more)
            .map(|entry| ids.at(entry.id)),
        gap: page.gap.map(|gap| HistoryGap {
            reason: gap.reason,
            certain: gap.certainty == Certainty::Certain,
            after: gap.after,
            until: gap.until,
        }),
        events: page
            .entries
            .iter()
            .filter(|entry| filter.accepts(&entry.event.attributes))
            .map(|entry| describe(entry, ids.at(entry.id)))
            .collect(),
    }))
}

/// What gives the ids of a channel's events their meaning.
struct Ids {
    /// The newest place of the channel's partition.
    head: Place,
}

impl Ids {
    fn new(app: &App, channel: &ChannelName) -> Result<Ids, Problem> {
        let partition = app.log.partitioning().of(channel);
        let head = app.log.heads().in_partition(partition);
        let head = head.ok_or_else(|| {
            let detail = "the log has not answered yet; try again in a moment";
            Problem::new(Kind::Unavailable, detail)
        })?;
        Ok(Ids { head })
    }

    fn at(&self, id: EventId) -> Place {
        Place { id, ..self.head }
    }

    fn bound(
        &self,
        app: &App,
        parameters: &Parameters,
        name: &str,
    ) -> Result<Option<EventId>, Problem> {
        let Some(text) = parameters.get(name) else {
            return Ok(None);
        };
        let Some(places) = Places::parse(text) else {
            return Err(Problem::new(
                Kind::InvalidQuery,
                format!("`{name}` is an event's id, as a stream or a publish gave it"),
            ));
        };
        let joined = Places::one(self.head);
        let start = app
            .log
            .resume(&Cursor::After(places), &joined, Origin::Here);
        Ok(Some(
            cursor_of(&start.from)
                .id(self.head.partition)
                .min(self.head.id),
        ))
    }
}

/// The id before the first event of `from`, a time.
fn beginning(parameters: &Parameters) -> Result<Option<EventId>, Problem> {
    let Some(text) = parameters.get("from") else {
        return Ok(None);
    };
    if text == "earliest" {
        return Ok(None);
    }
    let time = super::time::parse(text).ok_or_else(|| {
        let detail = "`from` is earliest or a time such as 2026-11-21T08:00:00Z (RFC 3339)";
        Problem::new(Kind::InvalidQuery, detail)
    })?;
    let millis = u64::try_from(time.as_millisecond()).unwrap_or_default();
    Ok(Some(EventId::before(millis)))
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        Problem::new(Kind::Unavailable, error.to_string())
    }
}

/// The last events up to a bound: what the log has is read to the end, and the end is kept; what comes
/// before it is asked of a longer memory, from its end.
async fn last_page(app: &App, ids: &Ids, mut read: Read, filter: &Filter) -> Result<Page, Problem> {
    let limit = read.max_events;
    let seen = |entry: &Arc<Entry>| filter.accepts(&entry.event.attributes);
    let mut kept: VecDeque<Arc<Entry>> = VecDeque::new();
    let mut before = None;
    let mut page = loop {
        for from in &mut read.from {
            from.gaps = Gaps::Ignore; // what the log alone has
        }
        let mut page = app.log.read(read.clone()).await?;
        before = before.or(page.entries.first().map(|entry| entry.id));
        kept.extend(page.entries.drain(..).filter(seen));
        kept.drain(..kept.len().saturating_sub(limit));
        if page.completeness == Completeness::Complete {
            break page;
        }
        read.from = page.next;
    };
    page.gap = None;
    let upto = read.upto.id(ids.head.partition);
    let after = || EventId::new(upto.get() + 1).unwrap_or(upto);
    let mut earlier = Earlier {
        selectors: read.selectors.clone(),
        before: ids.at(before.unwrap_or_else(after)),
        max_bytes: read.max_bytes,
        max_events: limit,
    };
    while kept.len() < limit {
        let past = app.log.earlier(earlier.clone()).await?;
        for entry in past.entries.iter().rev().filter(|entry| seen(entry)) {
            if kept.len() < limit {
                kept.push_front(entry.clone());
            }
        }
        page.gap = page.gap.or(past.gap);
        match (past.entries.first(), past.completeness) {
            (Some(first), Completeness::More) => earlier.before.id = first.id,
            _ => break,
        }
    }
    page.entries = kept.into();
    Ok(page)
}

fn describe(entry: &Entry, id: Place) -> HistoryEvent {
    let event = &entry.event;
    HistoryEvent {
        id,
        event: event.kind.as_str().to_owned(),
        data: event
            .data
            .as_ref()
            .map_or_else(String::new, |data| data.as_str().to_owned()),
        attributes: event
            .attributes
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        retry: event.retry,
        time: event.time.map(|time| time.to_string()),
        end: event.ending == crate::event::Ending::Ends,
    }
}
