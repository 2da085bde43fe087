//! A receiver that gave itself a name, as `GET /v1/clients` shows it.

use crate::hub::{clients::Got, inbox::StreamReport};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, btree_map::Entry};

/// All streams of a name together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientRow {
    pub name: String,
    pub connections: u64,
    pub delivered: u64,
    pub filtered: u64,
    pub dropped: u64,
}

impl ClientRow {
    fn add(&mut self, other: &ClientRow) {
        self.connections += other.connections;
        self.delivered += other.delivered;
        self.filtered += other.filtered;
        self.dropped += other.dropped;
    }
}

/// The first `limit` names after one among these streams and what others got that have ended.
pub fn clients_of(
    reports: Vec<StreamReport>,
    ended: HashMap<Box<str>, Got>,
    after: Option<&str>,
    limit: usize,
) -> Vec<ClientRow> {
    let ended = ended.into_iter().map(|(name, got)| ClientRow {
        name: name.into(),
        connections: 0,
        delivered: got.delivered,
        filtered: got.filtered,
        dropped: got.dropped,
    });
    let rows = reports.into_iter().filter_map(|stream| {
        Some(ClientRow {
            name: stream.info.client.as_deref()?.to_owned(),
            connections: 1,
            delivered: stream.delivered,
            filtered: stream.filtered,
            dropped: stream.dropped,
        })
    });
    let later = rows
        .chain(ended)
        .filter(|row| after.is_none_or(|after| row.name.as_str() > after));
    merge_clients(later, limit)
}

/// The first `limit` names of rows. Of several lists whose first `limit` names these are, the sums are
/// whole: a name among the first of all is among the first of each list that has it.
pub fn merge_clients(rows: impl IntoIterator<Item = ClientRow>, limit: usize) -> Vec<ClientRow> {
    let mut clients: BTreeMap<String, ClientRow> = BTreeMap::new();
    for row in rows {
        match clients.entry(row.name.clone()) {
            Entry::Occupied(mut known) => known.get_mut().add(&row),
            Entry::Vacant(place) => drop(place.insert(row)),
        }
    }
    clients.into_values().take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(name: u8) -> ClientRow {
        ClientRow {
            name: format!("{name:03}"),
            connections: 1,
            delivered: u64::from(name),
            filtered: 0,
            dropped: 0,
        }
    }

    proptest! {
        #[test]
        fn what_replicas_answer_makes_the_page_that_one_replica_would_have(
            replicas in prop::collection::vec(prop::collection::vec(0_u8..30, 0..40), 1..5),
            limit in 1_usize..20,
        ) {
            let all = replicas.iter().flatten().map(|name| row(*name));
            let whole = merge_clients(all, limit);
            let answers = replicas.iter().flat_map(|names| {
                merge_clients(names.iter().map(|name| row(*name)), limit)
            });
            prop_assert_eq!(merge_clients(answers, limit), whole);
        }
    }
}
