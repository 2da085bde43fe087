//! Publishes of one caller that go to Redis in few calls, as those do that wait for each other by chance
//! (`appender`): a call costs Redis more than a publish in it.

use super::{
    entry::{Part, encode_event},
    store::{Batch, Portion},
};
use crate::{
    event::{Ending, Event},
    event_log::{
        Publication,
        in_order::{Held, Outcome},
    },
};
use std::iter::Peekable;

/// Events and bytes that one call carries at most, unless a single publish has more.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 256 * 1024;

/// A publish, and which of the caller's it is.
pub type Numbered<'p> = (usize, &'p Publication);

/// What a call has already.
#[derive(Default)]
struct Load {
    events: usize,
    bytes: usize,
    /// A channel ends in it, so that nothing may follow there.
    ends: bool,
}

impl Load {
    fn takes(&self, publication: &Publication) -> bool {
        let fits = self.events + publication.events.len() <= MAX_EVENTS
            && self.bytes + bytes(publication) <= MAX_BYTES;
        self.events == 0 || fits && !self.ends
    }

    fn add(&mut self, publication: &Publication) {
        self.events += publication.events.len();
        self.bytes += bytes(publication);
        self.ends |= ends(publication);
    }
}

fn bytes(publication: &Publication) -> usize {
    publication.events.iter().map(Event::size).sum()
}

fn ends(publication: &Publication) -> bool {
    let last = publication.events.last();
    last.is_some_and(|event| event.ending == Ending::Ends)
}

/// What the next call carries; those of channels that are held get their outcome at once.
pub fn next_call<'p>(
    waiting: &mut Peekable<impl Iterator<Item = Numbered<'p>>>,
    held: &Held,
    outcomes: &mut Vec<(usize, Outcome)>,
) -> Vec<Numbered<'p>> {
    let (mut call, mut load) = (Vec::new(), Load::default());
    while let Some((index, publication)) = waiting.next_if(|(_, next)| load.takes(next)) {
        match held.refusal(&publication.channel) {
            Some(refusal) => outcomes.push((index, Err(refusal))),
            None => {
                load.add(publication);
                call.push((index, publication));
            }
        }
    }
    call
}

/// A batch for each channel, each publish a portion of it; and the publishes in the order of the portions.
pub fn batches<'p>(call: &[Numbered<'p>]) -> (Vec<Batch>, Vec<Numbered<'p>>) {
    let mut lanes: Vec<(Batch, Vec<Numbered<'p>>)> = Vec::new();
    for (index, publication) in call {
        let known = lanes
            .iter()
            .position(|(batch, _)| batch.channel == publication.channel);
        let lane = known.unwrap_or_else(|| {
            let batch = Batch {
                channel: publication.channel.clone(),
                portions: Vec::new(),
                ends: false,
            };
            lanes.push((batch, Vec::new()));
            lanes.len() - 1
        });
        let (batch, numbered) = &mut lanes[lane];
        batch.portions.push(portion(publication));
        batch.ends |= ends(publication);
        numbered.push((*index, publication));
    }
    let (batches, numbered): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
    (batches, numbered.into_iter().flatten().collect())
}

fn portion(publication: &Publication) -> Portion {
    let parts = std::iter::once(Part::Begins).chain(std::iter::repeat(Part::Continues));
    let events = publication.events.iter().zip(parts);
    Portion {
        events: events
            .map(|(event, part)| encode_event(event, part))
            .collect(),
        idempotency: publication.idempotency.clone(),
        fence: publication.fence.clone(),
        token: rand::random(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel::ChannelName, event_log::AppendError};

    fn publication(channel: &str, text: &str) -> Publication {
        Publication {
            channel: ChannelName::parse(channel).unwrap(),
            events: vec![Event::text(text)],
            idempotency: None,
            fence: None,
        }
    }

    /// The numbers of the publishes in each call, if all of them succeed.
    fn calls(publications: &[Publication]) -> Vec<Vec<usize>> {
        let mut waiting = publications.iter().enumerate().peekable();
        let mut calls = Vec::new();
        while waiting.peek().is_some() {
            let call = next_call(&mut waiting, &Held::default(), &mut Vec::new());
            calls.push(call.into_iter().map(|(index, _)| index).collect());
        }
        calls
    }

    #[test]
    fn calls_carry_what_fits_in_order_and_nothing_after_an_end() {
        let small: Vec<Publication> = (0..100).map(|_| publication("c", "x")).collect();
        let expected: Vec<Vec<usize>> = vec![(0..64).collect(), (64..100).collect()];
        assert_eq!(calls(&small), expected);
        let large = "x".repeat(300_000);
        let mixed = ["x", &large, "x", "x"].map(|text| publication("c", text));
        assert_eq!(calls(&mixed), [vec![0], vec![1], vec![2, 3]]);
        let mut ending = ["x", "x", "x"].map(|text| publication("c", text));
        ending[1].events[0].ending = Ending::Ends;
        assert_eq!(calls(&ending), [vec![0, 1], vec![2]]);
        assert_eq!(calls(&[]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn what_follows_a_failure_in_its_channel_is_not_sent() {
        let publications = ["a", "b", "a"].map(|channel| publication(channel, "x"));
        let mut held = Held::default();
        let away = AppendError::OutcomeUnknown("away".into());
        held.note(&publications[0].channel, &Err(away));
        let (mut waiting, mut outcomes) = (publications.iter().enumerate().peekable(), Vec::new());
        let call = next_call(&mut waiting, &held, &mut outcomes);
        assert_eq!(
            call.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
            [1]
        );
        let refusal = || Err(AppendError::Unavailable("away".into()));
        assert_eq!(outcomes, [(0, refusal()), (2, refusal())]);
    }

    #[test]
    fn publishes_of_one_channel_are_portions_of_one_batch() {
        let publications = ["a", "b", "a"].map(|channel| publication(channel, "x"));
        let call: Vec<Numbered<'_>> = publications.iter().enumerate().collect();
        let (batches, numbered) = batches(&call);
        let portions: Vec<(&str, usize)> = batches
            .iter()
            .map(|batch| (batch.channel.as_str(), batch.portions.len()))
            .collect();
        assert_eq!(portions, [("a", 2), ("b", 1)]);
        let order: Vec<usize> = numbered.into_iter().map(|(index, _)| index).collect();
        assert_eq!(order, [0, 2, 1]);
    }
}
