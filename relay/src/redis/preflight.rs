//! What of a Redis would lose events or refuse them, found before there are any.

mod server;
mod trial;

pub use trial::remedy;

use super::{Command, CommandError, Event, NotSent, Redis, Reply, Session, Slot};
use crate::label::labels;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long anything may take that is waited for here.
const LIMIT: Duration = Duration::from_secs(5);

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Severity {
    /// Events may be lost when something fails.
    Warning,
    /// Nothing can be appended or heard.
    Error,
}

labels!(Severity {
    Warning => "warning",
    Error => "error",
});

/// Something to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub severity: Severity,
    /// From a closed set, for labels.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.as_str(), self.message)
    }
}

/// Connects, looks at every node that owns a part, runs what the relay runs on keys of its own, and
/// hears itself. Nothing of it stays: the keys are deleted, and expire within a minute should that
/// fail.
pub async fn inspect(settings: &relay_config::Redis) -> Vec<Finding> {
    let redis = match Redis::start(settings) {
        Ok(redis) => redis,
        Err(problems) => {
            let told = problems
                .iter()
                .map(|problem| error("settings", problem.to_string()));
            return told.collect();
        }
    };
    let mut findings = look(&redis, &settings.prefix).await;
    findings.extend(hear(&redis, &settings.prefix).await);
    findings
}

/// Looks at every node that owns a part, and runs what the relay runs on keys of its own. Each finding
/// is told once.
pub async fn look(redis: &Redis, prefix: &str) -> Vec<Finding> {
    let first = Slot::new(0).expect("there are many slots");
    if let Err(why) = redis.primary(first).wait(LIMIT).await {
        return vec![unreached(&why)];
    }
    let mut findings = Vec::new();
    for slot in redis.first_slots() {
        match redis.primary(slot).wait(LIMIT).await {
            Ok(session) => {
                findings.extend(ask(&session).await);
                findings.extend(trial::trial(&session, &check_tag(prefix, slot)).await);
            }
            Err(why) => findings.push(unreached(&why)),
        }
    }
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    once
}

fn unreached(why: &CommandError) -> Finding {
    match why {
        CommandError::NotSent(NotSent::NoConnection(why)) => error(why.reason(), why.to_string()),
        why => error(why.reason(), why.to_string()),
    }
}

/// The beginning of a key in that slot: a tag that hashes there.
fn check_tag(prefix: &str, slot: Slot) -> String {
    let tag = (0_u32..).find(|n| Slot::of(format!("check{n}").as_bytes()) == slot);
    let tag = tag.expect("every slot has tags");
    format!("{prefix}:{{check{tag}}}:check")
}

async fn ask(session: &Session) -> Vec<Finding> {
    let sections = ["memory", "persistence", "replication"];
    let questions = sections.map(|section| Command::new("INFO").arg(section));
    let Ok(replies) = session.pipeline(&questions).await else {
        return Vec::new(); // the trial tells why
    };
    let text = |reply: Result<Reply, CommandError>| {
        reply.ok().and_then(|reply| reply.text().map(str::to_owned))
    };
    let info: Vec<String> = replies.into_iter().filter_map(text).collect();
    server::judge(&info.concat())
}

/// Publishes on a shard channel and hears it; says nothing of a Redis that cannot be reached, which
/// [`look`] tells.
pub async fn hear(redis: &Redis, prefix: &str) -> Option<Finding> {
    let channel: Arc<str> = format!("{prefix}:{{check}}:check").into();
    let primary = redis.primary(Slot::of(channel.as_bytes()));
    primary.session().ok()?;
    let (subscriptions, mut events) = redis.subscriptions();
    subscriptions.want([channel.clone()]);
    let heard = async {
        loop {
            match events.recv().await? {
                Event::Confirmed(_) => {
                    let publish = Command::new("SPUBLISH").args([&*channel, "check"]);
                    // A refusal was told by the trial.
                    let _ = primary.pipeline(&[publish]).await;
                }
                Event::Message(_) => return None,
                Event::Refused { why, .. } => return Some(trial::refused(&why)),
                Event::Interrupted { .. } => {}
            }
        }
    };
    match timeout(LIMIT, heard).await {
        Ok(finding) => finding,
        Err(_) => Some(error(
            "not-heard",
            "what is published on a shard channel does not come back: does something between the \
             relay and Redis speak for it?"
                .into(),
        )),
    }
}

impl Finding {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

pub(super) fn warning(reason: &'static str, message: String) -> Finding {
    Finding {
        severity: Severity::Warning,
        reason,
        message,
    }
}

/// Something that keeps the log from working.
pub fn error(reason: &'static str, message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        reason,
        message,
    }
}
