//! Publishes of one caller: those of one channel are appended in their order, whatever fails.

use super::{AppendError, Appended, EventLog, Publication};
use crate::channel::ChannelName;
use futures_util::future::join_all;
use std::collections::HashMap;

/// What became of one of them.
pub type Outcome = Result<Appended, AppendError>;

/// Channels in which nothing may be appended any more before something else is, and why.
#[derive(Default)]
pub struct Held(HashMap<ChannelName, String>);

impl Held {
    /// Why a publish to this channel must not be tried.
    pub fn refusal(&self, channel: &ChannelName) -> Option<AppendError> {
        let why = self.0.get(channel)?;
        Some(AppendError::Unavailable(why.clone()))
    }

    /// Holds the channel if this outcome may be another one when it is tried again.
    pub fn note(&mut self, channel: &ChannelName, outcome: &Outcome) {
        if let Err(AppendError::Unavailable(why) | AppendError::OutcomeUnknown(why)) = outcome {
            self.0.insert(channel.clone(), why.clone());
        }
    }
}

/// Each channel's publishes one after the other, several channels at the same time.
pub async fn one_by_one<L: EventLog + ?Sized>(
    log: &L,
    publications: Vec<Publication>,
) -> Vec<Outcome> {
    // in the order in which channels come first, so that nothing is left to chance
    let mut lanes: Vec<(ChannelName, Vec<(usize, Publication)>)> = Vec::new();
    let mut places: HashMap<ChannelName, usize> = HashMap::new();
    for (index, publication) in publications.into_iter().enumerate() {
        let place = *places
            .entry(publication.channel.clone())
            .or_insert(lanes.len());
        if place == lanes.len() {
            lanes.push((publication.channel.clone(), Vec::new()));
        }
        lanes[place].1.push((index, publication));
    }
    let lanes = lanes.into_iter().map(|(channel, lane)| async move {
        let (mut held, mut outcomes) = (Held::default(), Vec::with_capacity(lane.len()));
        for (index, publication) in lane {
            let outcome = match held.refusal(&channel) {
                Some(refusal) => Err(refusal),
                None => log.append(publication).await,
            };
            held.note(&channel, &outcome);
            outcomes.push((index, outcome));
        }
        outcomes
    });
    sorted(join_all(lanes).await.into_iter().flatten())
}

/// In the order of the publishes.
pub fn sorted(outcomes: impl Iterator<Item = (usize, Outcome)>) -> Vec<Outcome> {
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_appended_later_holds_up_its_channel_and_no_other() {
        let [a, b] = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let mut held = Held::default();
        held.note(&a, &Ok(Appended::New(Vec::new())));
        held.note(&a, &Err(AppendError::KeyReused));
        held.note(&a, &Err(AppendError::Ended(a.clone())));
        let written = AppendError::NotReplicated {
            places: Vec::new(),
            why: "one".into(),
        };
        held.note(&a, &Err(written));
        assert_eq!(held.refusal(&a), None);
        for away in [
            AppendError::Unavailable("away".into()),
            AppendError::OutcomeUnknown("away".into()),
        ] {
            let mut held = Held::default();
            held.note(&a, &Err(away));
            let refusal = AppendError::Unavailable("away".into());
            assert_eq!(held.refusal(&a), Some(refusal));
            assert_eq!(held.refusal(&b), None);
        }
    }
}
