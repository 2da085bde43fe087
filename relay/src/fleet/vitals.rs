//! What a replica says of itself in each beat. Pure.

use crate::source::health::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fields of another release are left alone, and those that it does not have are their defaults.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Vitals {
    pub version: String,
    pub state: String,
    pub uptime_seconds: u64,
    pub streams: u64,
    pub published: u64,
    pub delivered: u64,
    pub filtered: u64,
    pub dropped: u64,
    pub queue_bytes: u64,
    pub queue_limit_bytes: u64,
    /// Streams of each route, by its first path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, u64>,
    /// Sources, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, Report>,
}

impl Vitals {
    /// What cannot be read is as good as nothing.
    pub fn parse(text: &str) -> Vitals {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a struct of texts and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_of_another_release_is_understood_as_far_as_it_can_be() {
        let vitals = Vitals::parse(r#"{"streams":3,"mood":"good"}"#);
        assert_eq!((vitals.streams, vitals.version.as_str()), (3, ""));
        assert_eq!(Vitals::parse(&vitals.to_text()), vitals);
        assert_eq!(Vitals::parse("nonsense"), Vitals::default());
    }
}
