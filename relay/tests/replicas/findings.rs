//! What is wrong with what a subscription got, so that one failure in many runs tells its cause.

use crate::subscriber::Subscriber;
use sse_relay::cursor::{Place, Places};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

/// An event that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub channel: &'static str,
    /// Publisher and number, the order in which a subscription must get them within a channel.
    pub publisher: usize,
    pub number: usize,
    pub at: Place,
}

impl Sent {
    /// What the event carries.
    pub fn data(&self) -> String {
        format!("{} {} {}", self.channel, self.publisher, self.number)
    }
}

/// Events that are shown of each kind.
const SHOWN: usize = 40;

/// Missing, doubled and reordered events with their places, and all else that happened to it.
pub fn describe(channels: &[&str], subscriber: &Subscriber, wanted: &[Sent]) -> String {
    let mut text = format!("\n=== {} ===\n", channels.join(","));
    missing(&mut text, subscriber, wanted);
    doubled(&mut text, subscriber);
    reordered(&mut text, subscriber);
    let _ = writeln!(text, "its story, by events that it had:");
    for (at, what) in &subscriber.notes {
        let _ = writeln!(text, "  {at:>6} {what}");
    }
    text
}

/// By channel and publisher, as ranges.
fn missing(text: &mut String, subscriber: &Subscriber, wanted: &[Sent]) {
    let seen: HashMap<&str, usize> = subscriber
        .events
        .iter()
        .enumerate()
        .map(|(at, (_, data))| (data.as_str(), at))
        .collect();
    let mut lacking: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
    for sent in wanted {
        if !seen.contains_key(sent.data().as_str()) {
            let of = lacking.entry((sent.channel, sent.publisher)).or_default();
            of.push(sent.number);
        }
    }
    for ((channel, publisher), numbers) in lacking {
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        let before = (0..first).rev().find_map(|number| {
            let at = *seen.get(format!("{channel} {publisher} {number}").as_str())?;
            Some(format!("{number} came as number {at}"))
        });
        let _ = writeln!(
            text,
            "missing: {} of channel {channel}, publisher {publisher}: {first} to {last}; before them: {before:?}",
            numbers.len()
        );
    }
}

fn doubled(text: &mut String, subscriber: &Subscriber) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut shown = 0;
    for (at, (id, data)) in subscriber.events.iter().enumerate() {
        if let Some(before) = first.get(data.as_str()) {
            if shown < SHOWN {
                let was = &subscriber.events[*before].0;
                let _ = writeln!(
                    text,
                    "doubled: {data}, number {before} with {was} and number {at} with {id}"
                );
            }
            shown += 1;
        } else {
            first.insert(data, at);
        }
    }
}

fn reordered(text: &mut String, subscriber: &Subscriber) {
    let mut latest: HashMap<(&str, &str), (usize, usize)> = HashMap::new();
    let mut shown = 0;
    for (at, (id, data)) in subscriber.events.iter().enumerate() {
        let (whose, number) = parse(data);
        let latest = latest.entry(whose).or_insert((number, at));
        if number < latest.0 && shown < SHOWN {
            let _ = writeln!(
                text,
                "reordered: {data}, number {at} with {id}, after {} as number {}",
                latest.0, latest.1
            );
            shown += 1;
        } else if number >= latest.0 {
            *latest = (number, at);
        }
    }
}

/// What gaps say is missing for certain, each range once: who leaves and comes back is told of the same one
/// again and again.
pub struct Told(Vec<(Places, Places)>);

impl Told {
    pub fn by(gaps: &[serde_json::Value]) -> Told {
        let certain = gaps.iter().filter(|gap| gap["certain"] == true);
        let range = |gap: &serde_json::Value| {
            let places = |name: &str| gap[name].as_str().and_then(Places::parse);
            (
                places("after").unwrap_or_default(),
                places("until").unwrap_or_default(),
            )
        };
        let mut told = Vec::new();
        for range in certain.map(range) {
            if !told.contains(&range) {
                told.push(range);
            }
        }
        Told(told)
    }

    /// Whether one names the range that a place lies in. Between places of two epochs all epochs between
    /// them are meant.
    pub fn names(&self, at: Place) -> bool {
        self.0.iter().any(|(after, until)| {
            let of_its_epoch = |bound: Option<Place>| bound.filter(|bound| bound.epoch == at.epoch);
            let (first, last) = (
                after.in_partition(at.partition),
                until.in_partition(at.partition),
            );
            let (mut after, mut until) = (of_its_epoch(first), of_its_epoch(last));
            if let (None, None, Some(first), Some(last)) = (after, until, first, last)
                && first.epoch != last.epoch
            {
                (after, until) = (Some(first), Some(last));
            }
            (after.is_some() || until.is_some())
                && after.is_none_or(|after| after.id < at.id)
                && until.is_none_or(|until| at.id <= until.id)
        })
    }
}

pub fn is_told(gaps: &[serde_json::Value], at: Place) -> bool {
    Told::by(gaps).names(at)
}

/// Channel and publisher, and the number.
pub fn parse(data: &str) -> ((&str, &str), usize) {
    let words: Vec<&str> = data.split(' ').collect();
    let [channel, publisher, number] = words[..] else {
        panic!("{data}");
    };
    ((channel, publisher), number.parse().expect("a number"))
}
