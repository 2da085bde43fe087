//! What of a Redis would lose events or refuse them, found before there are any.

use super::{
    Command, CommandError, Event, Redis, Refusal, Reply, Script, Session, Slot, info::field,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long anything may take that is waited for here.
const LIMIT: Duration = Duration::from_secs(5);
/// Of the memory limit, in per cent: more is told.
const FULL: u64 = 80;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Events may be lost when something fails.
    Warning,
    /// Nothing can be appended or heard.
    Error,
}

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
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}", self.message)
    }
}

/// Looks at every node that owns a part, and runs what the relay runs on keys of its own. Nothing
/// of it stays: the keys are deleted, and expire within a minute should that fail.
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
    let mut findings = Vec::new();
    let first = Slot::new(0).expect("there are many slots");
    if let Err(why) = redis.primary(first).wait(LIMIT).await {
        findings.push(error(why.reason(), why.to_string()));
        return findings;
    }
    for slot in redis.first_slots() {
        match redis.primary(slot).wait(LIMIT).await {
            Ok(session) => {
                findings.extend(server(&session).await);
                findings.extend(trial(&session, &check_tag(&settings.prefix, slot)).await);
            }
            Err(why) => findings.push(error(why.reason(), why.to_string())),
        }
    }
    findings.extend(hearing(&redis, &settings.prefix).await);
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        if !once.contains(&finding) {
            once.push(finding);
        }
    }
    once
}

/// The beginning of a key in that slot: a tag that hashes there.
fn check_tag(prefix: &str, slot: Slot) -> String {
    let tag = (0_u32..).find(|n| Slot::of(format!("check{n}").as_bytes()) == slot);
    let tag = tag.expect("every slot has tags");
    format!("{prefix}:{{check{tag}}}:check")
}

async fn server(session: &Session) -> Vec<Finding> {
    let sections = ["memory", "persistence", "replication"];
    let questions = sections.map(|section| Command::new("INFO").arg(section));
    let Ok(replies) = session.pipeline(&questions).await else {
        return Vec::new();
    };
    let text = |reply: Result<Reply, CommandError>| {
        reply.ok().and_then(|reply| reply.text().map(str::to_owned))
    };
    let info: Vec<String> = replies.into_iter().filter_map(text).collect();
    judge(&info.concat())
}

/// What `INFO` tells of the server. Pure.
fn judge(info: &str) -> Vec<Finding> {
    let number = |name: &str| field(info, name).and_then(|value| value.parse::<u64>().ok());
    let mut findings = Vec::new();
    let (limit, used) = (
        number("maxmemory").unwrap_or(0),
        number("used_memory").unwrap_or(0),
    );
    let policy = field(info, "maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        findings.push(warning("eviction", format!(
            "maxmemory-policy is {policy}: when memory is short, Redis throws parts of the log away \
             unasked. Set it to noeviction"
        )));
    }
    if limit == 0 {
        findings.push(warning("no-memory-limit",
            "maxmemory is not set: Redis grows until the machine kills it. Set it to about 70 % of \
             what the machine or container has".into()));
    } else if used.saturating_mul(100) / limit >= FULL {
        findings.push(warning("memory-short", format!(
            "{} % of maxmemory is used: past it nothing can be appended. Raise maxmemory, or keep \
             less (retention)", used.saturating_mul(100) / limit
        )));
    }
    if field(info, "aof_enabled") == Some("0") {
        findings.push(warning(
            "not-persistent",
            "appendonly is off: a restart of Redis goes back to its last snapshot or to nothing; \
             subscribers are told of the gap. Set appendonly yes"
                .into(),
        ));
    }
    for (name, what) in [
        ("aof_last_write_status", "appendonly file"),
        ("rdb_last_bgsave_status", "snapshot"),
    ] {
        if field(info, name).is_some_and(|status| status != "ok") {
            findings.push(warning(
                "disk",
                format!(
                    "Redis could not write its {what}: look at its log and the space on its disk"
                ),
            ));
        }
    }
    let replicas = number("connected_slaves").unwrap_or(0);
    if replicas > 0 && field(info, "min_slaves_good_slaves").is_none() {
        findings.push(warning("no-minimum-of-replicas",
            "min-replicas-to-write is not set: a primary that is cut off from its replicas goes on \
             to accept events that are thrown away when it comes back. Set min-replicas-to-write 1 \
             and min-replicas-max-lag 3".into()));
    }
    findings
}

/// Runs each command that the log needs. Refusals are told with their remedy.
async fn trial(session: &Session, key: &str) -> Vec<Finding> {
    let named = |name: &str| format!("{key}:{name}");
    let (hash, zset, stream) = (named("h"), named("z"), named("s"));
    let commands = [
        Command::new("DEL").args([&hash, &zset, &stream]),
        Command::new("HSET").args([&hash, "f", "1"]),
        Command::new("HGET").args([&hash, "f"]),
        Command::new("HMGET").args([&hash, "f"]),
        Command::new("HGETALL").arg(&hash),
        Command::new("HLEN").arg(&hash),
        Command::new("HDEL").args([&hash, "g"]),
        Command::new("EXISTS").arg(&hash),
        Command::new("PEXPIRE").args([&hash, "60000"]),
        Command::new("ZADD").args([&zset, "1", "m"]),
        Command::new("PEXPIRE").args([&zset, "60000"]),
        Command::new("ZSCORE").args([&zset, "m"]),
        Command::new("ZMSCORE").args([&zset, "m"]),
        Command::new("ZCARD").arg(&zset),
        Command::new("ZRANGE").args([&zset, "0", "-1"]),
        Command::new("ZRANGEBYSCORE").args([&zset, "-inf", "+inf"]),
        Command::new("ZRANGEBYLEX").args([&zset, "-", "+"]),
        Command::new("ZREM").args([&zset, "n"]),
        Command::new("XADD").args([&stream, "*", "f", "v"]),
        Command::new("PEXPIRE").args([&stream, "60000"]),
        Command::new("XRANGE").args([&stream, "-", "+", "COUNT", "1"]),
        Command::new("XLEN").arg(&stream),
        Command::new("XTRIM").args([&stream, "MAXLEN", "1"]),
        Command::new("TIME"),
        Command::new("SPUBLISH").args([key, ""]),
        Command::new("PING"),
    ];
    let mut refusals = Vec::new();
    match session.pipeline(&commands).await {
        Ok(replies) => refusals.extend(replies.into_iter().filter_map(Result::err)),
        Err(why) => refusals.push(why),
    }
    let script = Script::new("#!lua\nreturn redis.call('HSET', KEYS[1], 'f', ARGV[1])");
    let ran = session.script(&script, &[hash.as_bytes()], &[b"2"]).await;
    refusals.extend(ran.err());
    // What stays expires.
    let _ = session
        .command(&Command::new("DEL").args([&hash, &zset, &stream]))
        .await;
    refusals.iter().map(refused).collect()
}

fn refused(why: &CommandError) -> Finding {
    let remedy = match why {
        CommandError::Refused {
            why: Refusal::NoPermission,
            ..
        } => "give the user the rights that `sse-relay redis-acl relay` prints",
        CommandError::Refused {
            why: Refusal::OutOfMemory,
            ..
        } => "raise maxmemory, or keep less (retention)",
        CommandError::Refused {
            why: Refusal::WrongType,
            ..
        } => "something else uses keys under `redis.prefix`: choose another prefix, or delete them",
        CommandError::Refused {
            why: Refusal::Misconfigured,
            ..
        } => "look at the log of Redis and the space on its disk",
        _ => "look at the log of Redis",
    };
    error(why.reason(), format!("{why}; {remedy}"))
}

/// Publishes on a shard channel and hears it.
async fn hearing(redis: &Redis, prefix: &str) -> Option<Finding> {
    let channel: Arc<str> = format!("{prefix}:{{check}}:check").into();
    let (subscriptions, mut events) = redis.subscriptions();
    subscriptions.want([channel.clone()]);
    let primary = redis.primary(Slot::of(channel.as_bytes()));
    let heard = async {
        loop {
            match events.recv().await? {
                Event::Confirmed(_) => {
                    let publish = Command::new("SPUBLISH").args([&*channel, "check"]);
                    // A refusal was told by the trial.
                    let _ = primary.pipeline(&[publish]).await;
                }
                Event::Message(_) => return None,
                Event::Refused { why, .. } => return Some(refused(&why)),
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

fn warning(reason: &'static str, message: String) -> Finding {
    Finding {
        severity: Severity::Warning,
        reason,
        message,
    }
}

fn error(reason: &'static str, message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        reason,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(info: &str) -> Vec<&'static str> {
        judge(info).iter().map(|finding| finding.reason).collect()
    }

    #[test]
    fn a_server_as_it_should_be_gives_no_reason_to_warn() {
        let info = "maxmemory:1000\r\nused_memory:100\r\nmaxmemory_policy:noeviction\r\n\
                    aof_enabled:1\r\naof_last_write_status:ok\r\nconnected_slaves:1\r\n\
                    min_slaves_good_slaves:1\r\n";
        assert_eq!(reasons(info), [""; 0]);
    }

    #[test]
    fn everything_that_loses_events_is_told() {
        let info = "maxmemory:1000\r\nused_memory:900\r\nmaxmemory_policy:allkeys-lru\r\n\
                    aof_enabled:0\r\nrdb_last_bgsave_status:err\r\nconnected_slaves:2\r\n";
        let expected = [
            "eviction",
            "memory-short",
            "not-persistent",
            "disk",
            "no-minimum-of-replicas",
        ];
        assert_eq!(reasons(info), expected);
        assert_eq!(reasons("maxmemory:0\r\n"), ["no-memory-limit"]);
    }
}
