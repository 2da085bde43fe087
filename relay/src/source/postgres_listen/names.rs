//! Which names of PostgreSQL are listened to, and for which channels of the relay. Pure.

use relay_config::ListenNames;
use std::collections::{BTreeMap, BTreeSet};

/// Channels of the relay that get what comes under one name, at most. Folded names have many spellings,
/// and a stream may ask for any: without a bound one notification would become thousands of events.
const MAX_SPELLINGS: usize = 16;

/// By the name in PostgreSQL: the channels of the relay that get what comes there.
pub(super) type Names = BTreeMap<String, BTreeSet<String>>;

/// Why a channel that a stream wants cannot be listened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unheard {
    #[error("names of PostgreSQL have at most 63 bytes")]
    TooLong,
    #[error("{MAX_SPELLINGS} other spellings of the name are listened to already")]
    TooManySpellings,
    #[error("the database's encoding has no such letters")]
    NoSuchLetters,
}

/// What there is to listen to now, and the channels that cannot be. Those that are named in the
/// configuration get what comes under the name that PostgreSQL has; those that are wanted, under the
/// name that streams have for it. Who was there `before` keeps its place.
pub(super) fn listened(
    names: ListenNames,
    fixed: &[String],
    wanted: &BTreeSet<String>,
    before: &Names,
) -> (Names, Vec<(String, Unheard)>) {
    let mut all = Names::new();
    let mut unheard = Vec::new();
    for name in fixed {
        let name = names.of(name);
        all.entry(name.clone()).or_default().insert(name);
    }
    let was_there = |name: &str, channel: &str| {
        before
            .get(name)
            .is_some_and(|channels| channels.contains(channel))
    };
    let mut newcomers = Vec::new();
    for channel in wanted {
        match names.wanted(channel) {
            None => unheard.push((channel.clone(), Unheard::TooLong)),
            Some(name) if was_there(&name, channel) => {
                all.entry(name).or_default().insert(channel.clone());
            }
            Some(name) => newcomers.push((name, channel)),
        }
    }
    for (name, channel) in newcomers {
        let channels = all.entry(name).or_default();
        if channels.len() < MAX_SPELLINGS || channels.contains(channel) {
            channels.insert(channel.clone());
        } else {
            unheard.push((channel.clone(), Unheard::TooManySpellings));
        }
    }
    (all, unheard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(channels: &[&str]) -> BTreeSet<String> {
        channels.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn channels_that_fold_to_one_name_all_get_what_comes_there() {
        let wanted = set(&["NOTIFICATIONS", "Notifications", "news"]);
        let (all, unheard) = listened(
            ListenNames::Folded,
            &["News".into()],
            &wanted,
            &Names::new(),
        );
        assert_eq!(all["news"], set(&["news"]));
        assert_eq!(
            all["notifications"],
            set(&["NOTIFICATIONS", "Notifications"])
        );
        assert_eq!((all.len(), unheard), (2, vec![]));
    }

    #[test]
    fn exact_names_are_those_of_the_channels_as_far_as_postgresql_has_such() {
        let long = "n".repeat(64);
        let wanted = set(&["News", "news", &long]);
        let (all, unheard) = listened(ListenNames::Exact, &[], &wanted, &Names::new());
        assert_eq!(all.into_keys().collect::<Vec<_>>(), ["News", "news"]);
        assert_eq!(unheard, [(long, Unheard::TooLong)]);
    }

    #[test]
    fn past_the_bound_a_new_spelling_is_refused_and_those_that_are_there_stay() {
        let spelling = |number: usize| {
            let letters = (0..8).map(|bit| match number >> bit & 1 {
                0 => 'a',
                _ => 'A',
            });
            letters.collect::<String>()
        };
        let first: BTreeSet<String> = (0..MAX_SPELLINGS).map(spelling).collect();
        let (before, unheard) = listened(ListenNames::Folded, &[], &first, &Names::new());
        assert_eq!(unheard, []);
        let more: BTreeSet<String> = (0..256).map(spelling).collect();
        let (all, unheard) = listened(ListenNames::Folded, &[], &more, &before);
        assert_eq!(all["aaaaaaaa"], first);
        assert_eq!(unheard.len(), 256 - MAX_SPELLINGS);
        assert!(
            unheard
                .iter()
                .all(|(_, why)| *why == Unheard::TooManySpellings)
        );
    }
}
