//! A stream as `GET /v1/connections` shows it.

use crate::{clock::rfc3339, hub::inbox::StreamReport};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

/// Bytes of rows in one answer: what is past it comes with the next page.
pub const MAX_BYTES: usize = 1 << 20;

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

/// A row, written: replicas of another release may write more.
#[derive(Debug, Serialize, Deserialize)]
pub struct StreamRow {
    pub id: String,
    pub row: Box<RawValue>,
}

/// Some of a replica's streams, in the order in which they opened.
#[derive(Debug, Serialize, Deserialize)]
pub struct Streams {
    pub rows: Vec<StreamRow>,
    /// Whether more follow.
    pub more: bool,
}

/// The first `limit` of streams that are in order, or fewer if they are large; one at least.
pub fn streams_of(reports: Vec<StreamReport>, limit: usize, now: SystemTime) -> Streams {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let count = reports.len();
    for report in reports.into_iter().take(limit) {
        let row = describe(report, now);
        bytes += row.row.get().len();
        if bytes > MAX_BYTES && !rows.is_empty() {
            break;
        }
        rows.push(row);
    }
    Streams {
        more: rows.len() < count,
        rows,
    }
}

fn describe(stream: StreamReport, now: SystemTime) -> StreamRow {
    let info = &stream.info;
    let texts =
        |values: &BTreeSet<Box<str>>| values.iter().map(|value| value.to_string()).collect();
    let age = now.duration_since(info.opened);
    let connection = Connection {
        id: info.id(),
        client: info.client.as_deref().map(str::to_owned),
        subject: info.who.subject.as_ref().map(ToString::to_string),
        credential: info.who.credential(),
        token: info.who.token().map(str::to_owned),
        remote_addr: info.remote.map(|addr| addr.to_string()),
        opened_at: rfc3339(info.opened),
        age_seconds: age.map_or(0, |age| age.as_secs()),
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
    };
    StreamRow {
        row: to_raw_value(&connection).expect("a struct of texts and numbers"),
        id: connection.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Evidence,
        channel::Selector,
        hub::open::{StreamInfo, Transport},
        who::Who,
    };
    use std::sync::Arc;

    fn report(number: u64, channel: &str) -> StreamReport {
        StreamReport {
            info: Arc::new(StreamInfo {
                number,
                replica: "r".into(),
                client: None,
                who: Who {
                    subject: None,
                    evidence: Evidence::Open,
                },
                remote: None,
                user_agent: None,
                transport: Transport::Http11,
                opened: SystemTime::UNIX_EPOCH,
                channels: std::iter::repeat_n(Selector::parse(channel).unwrap(), 3000).collect(),
                filter: Arc::default(),
                voice: None,
            }),
            cursor: None,
            queue_bytes: 0,
            delivered: 0,
            filtered: 0,
            dropped: 0,
        }
    }

    #[test]
    fn an_answer_has_so_many_rows_or_bytes_and_says_that_more_follow() {
        let now = SystemTime::now();
        let few = || (1..=3).map(|number| report(number, "c")).collect();
        let some = streams_of(few(), 2, now);
        assert!(some.more && some.rows.len() == 2 && some.rows[1].id == "r-2");
        assert!(!streams_of(few(), 3, now).more);
        let name = "n".repeat(190);
        let large = (1..=9).map(|number| report(number, &name)).collect();
        let some = streams_of(large, 9, now);
        let bytes: usize = some.rows.iter().map(|row| row.row.get().len()).sum();
        assert!(
            some.more && bytes <= MAX_BYTES && some.rows.len() == 1,
            "{bytes}"
        );
        let one = streams_of(vec![report(1, &name), report(2, "c")], 9, now);
        assert_eq!(one.rows.len(), 2);
    }
}
