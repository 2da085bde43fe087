//! Each command that the log needs, run on keys of its own.

use super::{Finding, error};
use crate::redis::{Command, CommandError, Refusal, Script, Session};

/// Runs each command that the log needs. Refusals are told with their remedy.
pub(super) async fn trial(session: &Session, key: &str) -> Vec<Finding> {
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

pub(super) fn refused(why: &CommandError) -> Finding {
    error(why.reason(), format!("{why}; {}", remedy(why)))
}

/// What an operator does about a command that Redis refuses.
pub fn remedy(why: &CommandError) -> &'static str {
    let CommandError::Refused { why, .. } = why else {
        return "look at the log of Redis";
    };
    match why {
        Refusal::NoPermission => "give the user the rights that `sse-relay redis-acl relay` prints",
        Refusal::OutOfMemory => "raise maxmemory, or keep less (retention)",
        Refusal::WrongType => {
            "something else uses keys under `redis.prefix`: choose another prefix, or delete them"
        }
        Refusal::Misconfigured => "look at the log of Redis and the space on its disk",
        Refusal::NotAuthenticated => "check `redis.credentials`",
        Refusal::CrossSlot | Refusal::Other => "look at the log of Redis",
    }
}
