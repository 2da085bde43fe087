//! What is wrong with what a subscription got, so that one failure in many runs tells its cause.

use crate::subscriber::Subscriber;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

/// Publisher and number within a channel, as events carry them.
pub type Sent = (&'static str, usize, usize);

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
    for (channel, publisher, number) in wanted {
        if !seen.contains_key(format!("{channel} {publisher} {number}").as_str()) {
            let of = lacking.entry((channel, *publisher)).or_default();
            of.push(*number);
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

/// Channel and publisher, and the number.
pub fn parse(data: &str) -> ((&str, &str), usize) {
    let words: Vec<&str> = data.split(' ').collect();
    let [channel, publisher, number] = words[..] else {
        panic!("{data}");
    };
    ((channel, publisher), number.parse().expect("a number"))
}
