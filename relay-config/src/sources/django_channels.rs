//! Groups of Django Channels as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourceRedis;
use crate::timespan::Timespan;
use crate::validate::Problem;

/// The most hosts, groups and keys.
const MAX_ITEMS: usize = 64;
/// The longest name that Channels takes.
const MAX_NAME: usize = 99;
const MIN_EXPIRY: Timespan = Timespan::from_secs(1);
const MAX_EXPIRY: Timespan = Timespan::from_secs(7 * 86_400);

/// Groups of Django Channels over a layer of `channels_redis`: what a Django project sends with
/// `group_send`. What the layer's own settings say must be said here too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DjangoChannelsSource {
    /// Which layer it is.
    #[serde(default)]
    pub layer: ChannelsLayer,
    /// The layer's hosts, all of them and in its order: which one a group is at follows from that.
    pub hosts: Vec<SourceRedis>,
    /// The groups whose messages are pulled.
    pub groups: Vec<String>,
    /// What keys begin with.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// What the relay's mailbox in the core layer is called; its channels are `MAILBOX!GROUP`. Relays that do not share a log
    /// need mailboxes of their own.
    #[serde(default = "mailbox")]
    pub mailbox: String,
    /// How long the layer keeps a message that nobody takes.
    #[serde(default = "expiry")]
    pub expiry: Timespan,
    /// After how long the layer drops a member of a group that did not join again.
    #[serde(default = "group_expiry")]
    pub group_expiry: Timespan,
    /// How many messages the layer keeps for the relay; what is sent past that is lost. The relay cannot
    /// change it, but says when it is reached.
    #[serde(default = "capacity")]
    pub capacity: u32,
    /// `symmetric_encryption_keys`. If there are any, messages that are not encrypted are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encryption_keys: Vec<EncryptionKey>,
}

/// A layer of `channels_redis`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChannelsLayer {
    /// `channels_redis.core.RedisChannelLayer`, in which messages wait in mailboxes.
    #[default]
    Core,
    /// `channels_redis.pubsub.RedisPubSubChannelLayer`, which loses what is sent while nobody listens.
    /// `mailbox`, `expiry`, `groupExpiry` and `capacity` mean nothing there.
    PubSub,
}

/// Where a key is: exactly one of `file` and `variable`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EncryptionKey {
    /// A file that holds it; a line end after it is left away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Name of an environment variable that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

fn prefix() -> String {
    "asgi".to_owned()
}

fn mailbox() -> String {
    "sse-relay".to_owned()
}

fn expiry() -> Timespan {
    Timespan::from_secs(60)
}

fn group_expiry() -> Timespan {
    Timespan::from_secs(86_400)
}

fn capacity() -> u32 {
    100
}

impl DjangoChannelsSource {
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, host) in self.hosts.iter().enumerate() {
            problems.extend(host.problems(&format!("{path}.hosts[{index}]")));
        }
        let mut wrong = |field: String, message: &str| {
            problems.push(Problem {
                path: format!("{path}.{field}"),
                message: message.to_owned(),
            });
        };
        if !(1..=MAX_ITEMS).contains(&self.hosts.len()) {
            wrong(
                "hosts".to_owned(),
                "name 1 to 64 servers, as the layer does",
            );
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if host.cluster.is_some() {
                let field = format!("hosts[{index}].cluster");
                wrong(
                    field,
                    "channels_redis knows no Redis Cluster; set `url` or `sentinel`",
                );
            }
        }
        if !(1..=MAX_ITEMS).contains(&self.groups.len()) {
            wrong("groups".to_owned(), "name 1 to 64 groups");
        }
        for (index, group) in self.groups.iter().enumerate() {
            let field = format!("groups[{index}]");
            if !is_name(group, MAX_NAME) {
                wrong(
                    field,
                    "is no name of a group; write 1 to 99 characters of A-Z a-z 0-9 _ . -",
                );
            } else if self.groups[..index].contains(group) {
                wrong(field, "is there twice; name each group once");
            }
        }
        let longest = self
            .groups
            .iter()
            .map(String::len)
            .max()
            .unwrap_or_default();
        if !is_name(&self.mailbox, MAX_NAME.saturating_sub(1 + longest)) {
            let text =
                "write characters of A-Z a-z 0-9 _ . -, with `!` and the longest group at most 99";
            wrong("mailbox".to_owned(), text);
        }
        if self.prefix.len() > 512 {
            wrong("prefix".to_owned(), "write at most 512 bytes");
        }
        for (field, value) in [("expiry", self.expiry), ("groupExpiry", self.group_expiry)] {
            if !(MIN_EXPIRY..=MAX_EXPIRY).contains(&value) {
                wrong(
                    field.to_owned(),
                    "write a time from 1s to 7d, as the layer has it",
                );
            }
        }
        if self.capacity == 0 {
            wrong(
                "capacity".to_owned(),
                "write 1 or more, as the layer has it",
            );
        }
        for (index, key) in self.encryption_keys.iter().enumerate() {
            if key.file.is_some() == key.variable.is_some() {
                let field = format!("encryptionKeys[{index}]");
                wrong(field, "name exactly one of `file` and `variable`");
            }
        }
        if self.encryption_keys.len() > MAX_ITEMS {
            wrong("encryptionKeys".to_owned(), "name at most 64 keys");
        }
        problems
    }
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
