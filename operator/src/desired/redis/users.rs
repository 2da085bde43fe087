//! The users of the relay's own Redis, with as few rights as they need.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use relay_config::RedisRole;

use crate::rotation::Stage;
use crate::tokens::{RedisUsers, Token};
use crate::validate::Valid;

/// Key of the Secret: the file of users that Redis reads and its agent applies.
pub const ACL: &str = "users.acl";
/// Key of the Secret: the password that the relay uses.
pub const PASSWORD: &str = "password";
/// Key of the Secret: the password that the relay uses next.
pub const NEXT: &str = "next";
/// Key of the Secret: the password that the relay used before.
pub const PREVIOUS: &str = "previous";
/// Key of the Secret: the password of the agent.
pub const AGENT: &str = "agent";
/// Annotation of the Secret: since when a replacement of the password is where it is.
pub const SINCE: &str = "sserelay.dev/password-since";
/// Annotation of the Secret: what asked for the last replacement.
pub const ASKED: &str = "sserelay.dev/password-asked";

/// What the agent may do: change users, and see that Redis is there.
const AGENT_RULES: &str =
    "resetkeys resetchannels -@all +acl|setuser +acl|deluser +acl|users +ping";

pub fn build(valid: &Valid, users: &RedisUsers) -> Secret {
    let passwords = &users.passwords;
    let mut data = BTreeMap::from([
        (ACL.to_owned(), ByteString(acl(valid, users).into_bytes())),
        entry(PASSWORD, &passwords.current),
        entry(AGENT, &users.agent),
    ]);
    let mut annotations = BTreeMap::new();
    let since = match &passwords.stage {
        Stage::Settled => None,
        Stage::Announced { next, since } => {
            data.extend([entry(NEXT, next)]);
            Some(since)
        }
        Stage::Switched { previous, since } => {
            data.extend([entry(PREVIOUS, previous)]);
            Some(since)
        }
    };
    annotations.extend(since.map(|since| (SINCE.to_owned(), since.to_string())));
    let asked = passwords.asked.clone();
    annotations.extend(asked.map(|asked| (ASKED.to_owned(), asked)));
    let mut metadata = valid.names.redis_meta(&valid.names.users());
    metadata.annotations = Some(annotations);
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

fn entry(key: &str, token: &Token) -> (String, ByteString) {
    let value = token.reveal().as_bytes().to_vec();
    (key.to_owned(), ByteString(value))
}

/// The file: one line for each user, passwords as hashes.
///
/// Nobody can be the default user, who is off. All the same it is allowed everything, since Redis reads its
/// append-only file in that user's name: Redis up to 8.2 and Valkey up to 8.1 drop each transaction in it that
/// the user may not do, which is every script that wrote more than once, and begin with an empty log.
fn acl(valid: &Valid, users: &RedisUsers) -> String {
    let hashes: Vec<String> = users
        .passwords
        .taken()
        .into_iter()
        .map(|token| format!("#{}", token.hash()))
        .collect();
    let prefix = valid.config.redis.as_ref().map(|redis| &redis.prefix);
    let rules = RedisRole::Relay.rules(prefix.map_or("", String::as_str));
    format!(
        "user default off resetpass allkeys allchannels +@all\nuser relay on resetpass {} {rules}\nuser agent on resetpass #{} {AGENT_RULES}\n",
        hashes.join(" "),
        users.agent.hash(),
    )
}
