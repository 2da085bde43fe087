//! The archive: real relays, a real PostgreSQL, and what is read back.

mod support;

#[path = "support/postgres.rs"]
mod postgres;
#[path = "sources/pulled.rs"]
#[allow(
    clippy::unwrap_used,
    reason = "a value that is there, or the test fails"
)]
mod pulled;
#[path = "support/redis.rs"]
mod redis;

#[path = "archive/purging.rs"]
mod purging;
#[path = "archive/registering.rs"]
mod registering;
#[path = "archive/replaying.rs"]
mod replaying;
#[path = "archive/replicas.rs"]
mod replicas;
#[path = "archive/resuming.rs"]
mod resuming;
#[path = "archive/writing.rs"]
mod writing;

use postgres::Server;
use pulled::{seen_until, until};
use support::{Connection, Relay};

/// A relay whose archive is there, with more environment variables.
fn relay(server: &Server, env: &[(&str, &str)]) -> Relay {
    let url = server.url();
    let env = [&[("SSE_RELAY_ARCHIVE__POSTGRES__URL", url.as_str())], env].concat();
    Relay::start_with(&env, &[])
}

/// A figure of `/metrics`.
fn figure(relay: &Relay, name: &str) -> f64 {
    let text = relay.scrape();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.parse().expect("a number")
}

/// Publishes events `from..to` to a channel, one batch; the text of each is its number.
fn publish(relay: &Relay, channel: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    let lines: String = numbers
        .map(|n| format!("{{\"data\":\"{n}\",\"attributes\":{{\"n\":\"{n}\"}}}}\n"))
        .collect();
    let target = format!("/v1/channels/{channel}/events");
    let answer = relay.request(
        "POST",
        &target,
        &["Content-Type: application/x-ndjson"],
        lines.as_bytes(),
    );
    assert!(
        answer.status == 200 || answer.status == 201 || answer.status == 207,
        "{answer:?}"
    );
    let answer = answer.json();
    let results = answer["results"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"));
    let id = |result: &serde_json::Value| result["id"].as_str().expect("an id").to_owned();
    results.iter().map(id).collect()
}

/// The same, each batch archived before the next one, so that a log that keeps less loses none of it.
fn publish_slowly(
    relay: &Relay,
    server: &Server,
    channel: &str,
    numbers: std::ops::Range<usize>,
    step: usize,
) -> Vec<String> {
    let mut ids = Vec::new();
    let before = count(server, channel).unwrap_or(0);
    for from in numbers.clone().step_by(step) {
        ids.extend(publish(
            relay,
            channel,
            from..(from + step).min(numbers.end),
        ));
        archived(server, channel, before + from + step - numbers.start);
    }
    ids
}

/// Waits until at least so many events of a channel are archived.
fn archived(server: &Server, channel: &str, at_least: usize) {
    until("an archived event", || {
        count(server, channel)
            .is_some_and(|found| found >= at_least)
            .then_some(())
    });
}

/// How many events of a channel are archived, if that can be told.
fn count(server: &Server, channel: &str) -> Option<usize> {
    let channel = channel.replace('\'', "''");
    let statement = format!("SELECT count(*) FROM sse_relay.events WHERE channel = '{channel}'");
    let rows = server.try_execute(postgres::DATABASE, &statement).ok()?;
    rows.first()?.parse().ok()
}

/// The texts of a channel in the archive, in the order of ids.
fn texts(server: &Server, channel: &str) -> Vec<String> {
    server.execute(&format!(
        "SELECT convert_from(data, 'UTF8') FROM sse_relay.events WHERE channel = '{channel}' ORDER BY id"
    ))
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// All pages of history after an id or from a time: texts, and the first gap.
fn history(relay: &Relay, channel: &str, from: &str) -> (Vec<String>, Option<String>) {
    let (mut texts, mut gap) = (Vec::new(), None);
    let mut query = from.to_owned();
    loop {
        let target = format!("/v1/channels/{channel}/events?limit=90&{query}");
        let answer = relay.get(&target);
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        let events = page["events"].as_array().expect("events");
        texts.extend(
            events
                .iter()
                .map(|event| event["data"].as_str().expect("data").to_owned()),
        );
        let told = page["gap"]["reason"].as_str().map(str::to_owned);
        gap = gap.or(told);
        match page["next"].as_str() {
            Some(next) => query = format!("after={next}"),
            None => return (texts, gap),
        }
    }
}
