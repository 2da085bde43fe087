//! The rights of Redis users: what the relay needs, and what others that use its log need.

/// What a Redis user is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisRole {
    /// The relay: everything that it does.
    Relay,
    /// A program that appends to the log, and reads nothing of it but to tell whether it has.
    Publisher,
    /// A program that reads the log and hears what is appended.
    ReadOnly,
}

/// Any connection: whether the server is the primary, and where the others are.
const CONNECTION: &[&str] = &[
    "client|setname",
    "cluster|info",
    "cluster|slots",
    "info",
    "ping",
];
/// Opening a partition and appending to it: scripts, and what stands in them.
const APPEND: &[&str] = &[
    "evalsha",
    "exists",
    "hdel",
    "hget",
    "hmget",
    "hset",
    "pexpire",
    "script|load",
    "spublish",
    "time",
    "xadd",
    "xrange",
    "xtrim",
    "zadd",
    "zcard",
    "zrange",
    "zrem",
];
/// Reading the log and hearing its news.
const READ: &[&str] = &[
    "hget",
    "hgetall",
    "hmget",
    "ssubscribe",
    "sunsubscribe",
    "xlen",
    "xrange",
    "zcard",
    "zmscore",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zscore",
];
/// What only the relay does: forgetting, ending epochs, waiting for replicas.
const KEEP: &[&str] = &["del", "hlen", "hscan", "wait"];

impl RedisRole {
    /// Every command that the role may run, in lower case and in order; a subcommand as
    /// `script|load`. Logging in needs no right.
    #[must_use]
    pub fn commands(self) -> Vec<&'static str> {
        let lists: &[&[&str]] = match self {
            Self::Relay => &[CONNECTION, APPEND, READ, KEEP],
            Self::Publisher => &[CONNECTION, APPEND],
            Self::ReadOnly => &[CONNECTION, READ],
        };
        let mut commands: Vec<_> = lists.concat();
        commands.sort_unstable();
        commands.dedup();
        commands
    }

    /// The rules of such a user, as `ACL SETUSER` and files of users take them, without name and
    /// password: keys and channels that begin with the prefix of the relay, and nothing else. Who only
    /// publishes or only reads has those of the log, whose hash tags have three characters, and not
    /// those by which replicas command each other and keep tickets.
    #[must_use]
    pub fn rules(self, prefix: &str) -> String {
        let (keys, names) = match self {
            Self::Relay => ("~", "*"),
            Self::Publisher => ("~", "{???}:*"),
            Self::ReadOnly => ("%R~", "{???}:*"),
        };
        let mut rules =
            format!("resetkeys resetchannels {keys}{prefix}:{names} &{prefix}:{names} -@all");
        for command in self.commands() {
            rules.push_str(" +");
            rules.push_str(command);
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_what_it_is_for_and_no_more() {
        let may = |role: RedisRole, command: &str| role.commands().contains(&command);
        assert!(may(RedisRole::Publisher, "xadd") && !may(RedisRole::ReadOnly, "xadd"));
        assert!(may(RedisRole::ReadOnly, "ssubscribe") && !may(RedisRole::Publisher, "ssubscribe"));
        assert!(may(RedisRole::Relay, "del") && !may(RedisRole::Publisher, "del"));
        for command in RedisRole::Publisher.commands() {
            assert!(may(RedisRole::Relay, command), "{command}");
        }
    }

    #[test]
    fn rules_are_bound_to_the_prefix() {
        let rules = RedisRole::ReadOnly.rules("live");
        assert!(rules.starts_with(
            "resetkeys resetchannels %R~live:{???}:* &live:{???}:* -@all +client|setname"
        ));
        let rules = RedisRole::Relay.rules("live");
        assert!(rules.starts_with("resetkeys resetchannels ~live:* &live:* -@all +"));
    }
}
