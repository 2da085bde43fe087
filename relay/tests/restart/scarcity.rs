//! A full disk.

use crate::{http, process::Relay, subscriber::Subscriber};
use std::{path::Path, process::Command};

/// Publishes until the relay refuses, makes room, and checks what is there.
fn fills_up_and_recovers(mut relay: Relay, make_room: impl FnOnce(&mut Relay)) {
    relay.start();
    let text = "x".repeat(10_000);
    let mut accepted = Vec::new();
    let refused = loop {
        let key = accepted.len().to_string();
        let data = format!("{key}-{text}");
        let answer = http::publish(relay.public, "a", &data, &key).unwrap();
        if answer.status != 201 {
            break (answer, data, key);
        }
        accepted.push(data);
        assert!(accepted.len() < 1000, "it never fills up");
    };
    let (answer, data, key) = refused;
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "unavailable"),
        "{answer:?}"
    );
    assert!(accepted.len() > 5);
    let again = http::publish(relay.public, "a", &data, &key).unwrap();
    assert_eq!((again.status, again.problem()), (503, "unavailable"));
    let seen = |relay: &Relay, at_least: usize| {
        let mut all = Subscriber::new(relay.public, "channel=a&from=earliest");
        all.read_soon(|seen| seen.events.len() >= at_least);
        let data = all.events.into_iter().map(|event| event.1);
        data.collect::<Vec<_>>()
    };
    assert_eq!(
        seen(&relay, accepted.len()),
        accepted,
        "nothing is half done"
    );
    make_room(&mut relay);
    let late = http::publish(relay.public, "a", &data, &key).unwrap();
    assert_eq!(
        late.status, 201,
        "it is new, since it was refused: {late:?}"
    );
    accepted.push(data);
    relay.kill();
    relay.start();
    assert!(
        relay.output().contains("tail=unclean"),
        "{}",
        relay.output()
    );
    assert_eq!(seen(&relay, accepted.len()), accepted);
}

#[test]
fn a_file_at_its_limit_refuses_publishes_and_goes_on_when_it_may_grow() {
    let relay = Relay::new(&[]).with_file_limit(400);
    fills_up_and_recovers(relay, Relay::lift_file_limit);
}

/// A file system in memory; gone with it.
struct Small<'a>(&'a Path);

impl Small<'_> {
    fn mount(options: &str, at: &Path) -> bool {
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at);
        command.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_file_system_refuses_publishes_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    if !Small::mount("size=1m", folder.path()) {
        // only root may mount; what a limit does is tested above by everybody
        println!("no file system could be mounted: skipped");
        return;
    }
    let small = Small(folder.path());
    let settings = [("SSE_RELAY_DATA__COMPACT_AT", "256Ki")];
    let relay = Relay::new(&settings).in_directory(folder.path().join("data"));
    fills_up_and_recovers(relay, |_| {
        assert!(Small::mount("remount,size=8m", folder.path()));
    });
    drop(small);
}
