//! Looks at Redis again and again, and tells what would lose events or keeps the log from working.

use super::{keys::Keys, options::partitioning, store::StoreError};
use crate::{
    clock::unix_millis,
    event_log::health::Checked,
    partition::Partitioning,
    redis::{
        Command, CommandError, Redis, Refusal, Reply, Slot,
        preflight::{self, Finding, error},
    },
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::sleep};

/// How often Redis is looked at, and how often while it cannot be used.
const EVERY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(5);
/// Between two looks, whatever happens.
const PAUSE: Duration = Duration::from_secs(1);
/// Channels of a partition whose streams are looked at: those that were published to last.
const STREAMS: usize = 100;

/// What was found, and the wish for another look.
#[derive(Default)]
pub struct Checkup {
    latest: Mutex<Option<Arc<Checked>>>,
    wanted: Notify,
}

impl Checkup {
    pub fn latest(&self) -> Option<Arc<Checked>> {
        self.latest.lock().clone()
    }

    /// Something was refused: the next look is due.
    pub fn look_soon(&self) {
        self.wanted.notify_one();
    }

    /// Looks until the process ends.
    pub async fn keep(self: Arc<Self>, redis: Redis, prefix: String, partitioning: Partitioning) {
        let mut hearing = Hearing::Asked;
        loop {
            let findings = inspect(&redis, &prefix, partitioning, hearing).await;
            // from then on canaries tell
            hearing = match findings.iter().any(Finding::is_error) {
                true => Hearing::Asked,
                false => Hearing::Known,
            };
            let pause = match hearing {
                Hearing::Asked => AGAIN,
                Hearing::Known => EVERY,
            };
            self.tell(findings);
            sleep(PAUSE).await;
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Each finding is logged when it appears, and when it is gone.
    fn tell(&self, findings: Vec<Finding>) {
        let before = self.latest();
        let before = before.as_ref().map_or(&[][..], |checked| &checked.findings);
        let known = |among: &[Finding], reason| among.iter().any(|found| found.reason == reason);
        for found in findings.iter().filter(|found| !known(before, found.reason)) {
            let (reason, message) = (found.reason, &found.message);
            match found.is_error() {
                true => tracing::error!(event = "redis.finding", reason, "{message}"),
                false => tracing::warn!(event = "redis.finding", reason, "{message}"),
            }
        }
        for found in before
            .iter()
            .filter(|found| !known(&findings, found.reason))
        {
            tracing::info!(
                event = "redis.mended",
                reason = found.reason,
                "found no more"
            );
        }
        *self.latest.lock() = Some(Arc::new(Checked {
            at: unix_millis(),
            findings,
        }));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Whether messages arrive is to be found out.
    Asked,
    Known,
}

/// Connects with these settings and looks at everything, once.
pub async fn once(settings: &relay_config::Redis) -> Vec<Finding> {
    let wrong = |problems: Vec<relay_config::Problem>| {
        let told = problems.iter().map(ToString::to_string);
        told.map(|message| error("settings", message)).collect()
    };
    let target = match settings.target() {
        Ok(target) => target,
        Err(problems) => return wrong(problems),
    };
    match Redis::start(settings) {
        Ok(redis) => {
            let partitioning = partitioning(&target.mode);
            inspect(&redis, &settings.prefix, partitioning, Hearing::Asked).await
        }
        Err(problems) => wrong(problems),
    }
}

async fn inspect(
    redis: &Redis,
    prefix: &str,
    partitioning: Partitioning,
    hearing: Hearing,
) -> Vec<Finding> {
    let mut findings = preflight::look(redis, prefix).await;
    if hearing == Hearing::Asked {
        findings.extend(preflight::hear(redis, prefix).await);
    }
    for partition in partitioning.all().iter() {
        let keys = Keys::new(prefix, partition);
        findings.extend(look_at_keys(redis, &keys, partitioning).await);
    }
    findings
}

/// Whether keys that are there are of the kinds that the log has, and of this layout. A Redis that does
/// not answer was told before.
async fn look_at_keys(redis: &Redis, keys: &Keys, ours: Partitioning) -> Vec<Finding> {
    let primary = redis.primary(Slot::of(keys.head().as_bytes()));
    let sizes = [
        ("HLEN", keys.head()),
        ("ZCARD", keys.index()),
        ("HLEN", keys.channels()),
        ("ZCARD", keys.names()),
        ("HLEN", keys.epochs()),
        ("ZCARD", keys.used_keys()),
        ("HLEN", keys.outcomes()),
    ];
    let newest = Command::new("ZRANGE").arg(keys.index());
    let mut commands: Vec<Command> = sizes.iter().map(size_of).collect();
    commands.push(newest.arg(format!("-{STREAMS}")).arg("-1"));
    commands.push(Command::new("HMGET").arg(keys.head()).args(["v", "n"]));
    let Ok(mut replies) = primary.pipeline(&commands).await else {
        return Vec::new();
    };
    let head = replies.pop().and_then(Result::ok);
    let names = replies.pop().and_then(Result::ok);
    let mut findings: Vec<Finding> = sizes
        .iter()
        .zip(replies)
        .filter_map(|((_, key), reply)| of_another_kind(key, reply))
        .collect();
    findings.extend(head.and_then(|head| of_another_log(&head, ours)));
    let names = names.as_ref().and_then(Reply::list).unwrap_or_default();
    let streams: Vec<(&str, String)> = names
        .iter()
        .filter_map(Reply::text)
        .map(|name| ("XLEN", keys.stream(name)))
        .collect();
    let commands: Vec<Command> = streams.iter().map(size_of).collect();
    let replies = primary.pipeline(&commands).await.unwrap_or_default();
    let wrong = streams.iter().zip(replies);
    findings.extend(wrong.filter_map(|((_, key), reply)| of_another_kind(key, reply)));
    findings
}

fn size_of((command, key): &(&str, String)) -> Command {
    Command::new(command).arg(key)
}

fn of_another_kind(key: &str, reply: Result<Reply, CommandError>) -> Option<Finding> {
    match reply {
        Err(CommandError::Refused {
            why: Refusal::WrongType,
            ..
        }) => Some(error(
            "wrong-type",
            format!(
                "{key} is not what the log keeps there: something else uses keys under \
                 `redis.prefix`. Choose another prefix, or delete this key, and what it held of the \
                 log is announced as missing"
            ),
        )),
        // the trial has found what else is refused
        _ => None,
    }
}

fn of_another_log(head: &Reply, ours: Partitioning) -> Option<Finding> {
    let [layout, partitions] = head.list()? else {
        return None;
    };
    let layout = layout.text()?;
    let theirs = partitions.integer()?.unsigned_abs();
    let wrong = StoreError::of_another_log(layout, theirs, ours)?;
    Some(error("other-log", wrong.to_string()))
}
