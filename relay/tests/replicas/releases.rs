//! A rollout: replicas of this release and of the one before it on one log, while relays are replaced.

use crate::{
    balancer::Balancer,
    counting::{Load, assert_exact},
    faults::seed,
    fleet::Fleet,
    servers::Server,
    subscriber::Manner,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

const CHANNELS: &[&str] = &["a", "b", "x.1"];
const SUBSCRIPTIONS: &[(&[&str], Manner)] = &[
    (&["a"], Manner::Steady),
    (&["**"], Manner::Steady),
    (&["a", "b"], Manner::Restless),
    (&["**"], Manner::Restless),
];
const RELAYS: usize = 3;

/// The program of the release before this one: `SSE_RELAY_PREVIOUS`, or what the newest tag before this
/// commit builds. `None` when there was no release yet.
fn previous() -> Option<PathBuf> {
    if let Some(program) = env::var_os("SSE_RELAY_PREVIOUS") {
        return Some(program.into());
    }
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../scripts/previous-release.sh"
    );
    let built = Command::new("sh")
        .arg(script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("a shell");
    assert!(
        built.status.success(),
        "the release before this one cannot be built"
    );
    let path = String::from_utf8(built.stdout).unwrap();
    let path = path.trim_end();
    (!path.is_empty()).then(|| path.into())
}

#[test]
fn a_rollout_from_the_release_before_and_back_loses_doubles_and_swaps_nothing() {
    let Some(previous) = previous() else {
        println!(
            "a_rollout_from_the_release_before_and_back_loses_doubles_and_swaps_nothing did NOT run: \
             there is no tag vX.Y.Z before this commit, so no release before this one; \
             SSE_RELAY_PREVIOUS=PROGRAM names another"
        );
        return;
    };
    let this = PathBuf::from(env!("CARGO_BIN_EXE_sse-relay"));
    let mut random = StdRng::seed_from_u64(seed());
    let server = Server::start();
    let mut fleet = Fleet::on_redis(RELAYS, &server.url());
    fleet.programs = vec![previous.clone(); RELAYS];
    (0..RELAYS).for_each(|index| fleet.kill(index));
    let balancer = Balancer::start(&fleet.addresses());
    let load = Load::start(balancer.address, CHANNELS, 3, SUBSCRIPTIONS);
    // forward, and back as when a rollout is undone
    for program in [&this, &previous] {
        for index in 0..RELAYS {
            sleep(Duration::from_millis(random.random_range(200..900)));
            fleet.programs[index].clone_from(program);
            fleet.kill(index);
            if index == 1 {
                server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            }
        }
    }
    assert_exact(&load.settle(), &fleet);
}
