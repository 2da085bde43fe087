//! `sse-relay redis-move`: all is there afterwards, and clients go on exactly where they were.

use crate::{
    http,
    servers::{Cluster, Server, until},
    subscriber::Subscriber,
    support::Relay,
};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};
use tempfile::TempDir;

const CHANNELS: usize = 40;
const EVENTS: usize = 5;

struct Files(TempDir);

impl Files {
    fn write(&self, name: &str, redis: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, format!("redis:\n  {redis}\n")).unwrap();
        path
    }
}

fn files() -> Files {
    Files(tempfile::tempdir().unwrap())
}

fn of_server(server: &Server) -> String {
    format!("url: {}", server.url())
}

fn of_cluster(cluster: &Cluster) -> String {
    format!(
        "cluster: {{nodes: [\"{}\"]}}",
        cluster.nodes().join("\", \"")
    )
}

fn relay(file: &std::path::Path) -> Relay {
    Relay::start(&["--config", file.to_str().unwrap()])
}

fn move_log(from: &std::path::Path, to: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sse-relay"))
        .args(["redis-move", "--from"])
        .arg(from)
        .arg("--to")
        .arg(to)
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Publishes to all channels; the last id.
fn fill(relay: &Relay) -> String {
    let mut last = String::new();
    for event in 0..EVENTS {
        for channel in 0..CHANNELS {
            let data = format!("{channel} {event}");
            let answer = http::publish(relay.public, &format!("c.{channel}"), &data, &data);
            let answer = answer.unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
            last = answer.id().to_owned();
        }
    }
    last
}

fn read(relay: &Relay, query: &str, after: &str, events: usize) -> Subscriber {
    let mut subscriber = Subscriber::new(relay.public, query).resuming(after);
    subscriber.read_soon(|subscriber| subscriber.events.len() >= events);
    subscriber
}

fn sorted(subscriber: &Subscriber) -> Vec<String> {
    let mut data: Vec<_> = subscriber
        .events
        .iter()
        .map(|(_, data)| data.clone())
        .collect();
    data.sort();
    data
}

/// Moves a log with a client in the middle of it, and looks at everything.
fn moved(old: &std::path::Path, new: &std::path::Path) {
    let before = relay(old);
    let first = before.publish("c.0", "before");
    fill(&before);
    let all = sorted(&read(&before, "channel=c.*", &first, CHANNELS * EVENTS));
    let half = read(&before, "channel=c.*", &first, CHANNELS * 2);
    let (cursor, _) = half.events.last().unwrap();
    let seen = sorted(&half);
    let repeated = http::publish(before.public, "c.7", "7 4", "7 4").unwrap();
    assert_eq!(repeated.status, 200, "{repeated:?}");

    let output = move_log(old, new);
    assert!(output.status.success(), "{}", told(&output));
    let expected = format!(
        "moved {CHANNELS} channels, {} events, {} idempotency keys",
        CHANNELS * EVENTS + 1,
        CHANNELS * EVENTS
    );
    assert!(told(&output).starts_with(&expected), "{}", told(&output));

    let refused = http::publish(before.public, "c.0", "late", "late").unwrap();
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("redis-move")
    );
    drop(before);

    let after = relay(new);
    let rest = read(&after, "channel=c.*", cursor, all.len() - seen.len());
    let mut both = [seen, sorted(&rest)].concat();
    both.sort();
    assert_eq!(both, all, "each once, in two parts");
    let certain = rest.gaps.iter().any(|gap| gap["certain"] == true);
    assert!(!certain, "nothing is missing: {:?}", rest.gaps);
    let from_the_start = read(&after, "channel=c.*&from=earliest", "", all.len() + 1);
    assert_eq!(from_the_start.events.len(), all.len() + 1);
    let again = until("an answer of the new log", || {
        let answer = http::publish(after.public, "c.7", "7 4", "7 4").unwrap();
        (answer.status != 503).then_some(answer)
    });
    assert_eq!(again.status, 200, "the key is known there: {again:?}");
    after.publish("c.0", "after");
    read(
        &after,
        "channel=c.*",
        cursor,
        all.len() - half.events.len() + 1,
    );
}

#[test]
fn a_log_of_one_server_moves_to_another_with_its_cursors() {
    let (old, new, files) = (Server::start(), Server::start(), files());
    let from = files.write("from", &of_server(&old));
    let to = files.write("to", &of_server(&new));
    moved(&from, &to);
    assert!(!move_log(&from, &to).status.success(), "there is a log now");
}

#[test]
fn a_log_of_one_server_moves_to_a_cluster_with_its_cursors() {
    let (old, new, files) = (Server::start(), Cluster::start(), files());
    let from = files.write("from", &of_server(&old));
    let to = files.write("to", &of_cluster(&new));
    moved(&from, &to);
    let back = move_log(
        &to,
        &files.write("back", "{url: redis://127.0.0.1:1, prefix: back}"),
    );
    assert_eq!(back.status.code(), Some(1), "{}", told(&back));
}

#[test]
fn a_log_of_a_cluster_is_not_forced_into_one_server() {
    let (old, new, files) = (Cluster::start(), Server::start(), files());
    let from = files.write("from", &of_cluster(&old));
    let before = relay(&from);
    before.publish("a", "1");
    let output = move_log(&from, &files.write("to", &of_server(&new)));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("cannot become one of a single server"),
        "{}",
        told(&output)
    );
    before.publish("a", "2");
}

#[test]
fn a_move_that_cannot_end_leaves_the_old_log_as_it_was_and_can_be_made_again() {
    let (old, files) = (Server::start(), files());
    let new = Server::start_with(&[("maxmemory", "1")]);
    let from = files.write("from", &of_server(&old));
    let to = files.write("to", &of_server(&new));
    let before = relay(&from);
    before.publish("a", "1");
    let output = move_log(&from, &to);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("OOM"), "{}", told(&output));
    before.publish("a", "2");
    new.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let output = move_log(&from, &to);
    assert!(
        told(&output).starts_with("moved 1 channels, 2 events"),
        "{}",
        told(&output)
    );
    let after = relay(&to);
    assert_eq!(
        sorted(&read(&after, "channel=a&from=earliest", "", 2)),
        ["1", "2"]
    );
    let nothing = files.write("nothing", "{url: \"redis://127.0.0.1:1\"}");
    let output = move_log(&nothing, &to);
    assert!(
        told(&output).contains("cannot be reached"),
        "{}",
        told(&output)
    );
}
