//! The archive of the resource, as the relay reads it.

use std::collections::BTreeMap;

use relay_config as config;
use sha2::{Digest, Sha256};

use super::server::{files, username};
use super::{Unread, set};
use crate::crd::{Archive, Postgres};
use crate::names::Names;
use crate::references::archive::FOLDER;
use crate::references::server::password;
use crate::references::{Key, path_in_pod};
use crate::tokens::hex;

pub(super) fn archive(
    from: &Archive,
    names: &Names,
    texts: &BTreeMap<Key, String>,
    unread: &mut Unread,
) -> config::Archive {
    let mut to = config::Archive {
        postgres: postgres(&from.postgres, texts, unread),
        schema: schema(from, names),
        clients: from.clients,
        ..config::Archive::default()
    };
    if !from.channels.is_empty() {
        to.channels.clone_from(&from.channels);
    }
    for (path, from, field) in [
        ("archive.retention", &from.retention, &mut to.retention),
        ("archive.tableSpan", &from.table_span, &mut to.table_span),
        ("archive.interval", &from.interval, &mut to.interval),
    ] {
        if let Some(time) = from {
            *field = unread.span(path, time);
        }
    }
    let count = |number: Option<i32>| number.and_then(|n| usize::try_from(n).ok());
    set(&mut to.batch_events, count(from.batch_events));
    set(&mut to.readers, count(from.readers));
    to
}

/// The schema with its tables: as the resource says, else of its namespace and name, which no other
/// relay of the cluster has.
fn schema(from: &Archive, names: &Names) -> String {
    if let Some(schema) = &from.schema {
        return schema.clone();
    }
    let Names { namespace, relay } = names;
    let spelt = format!("sse_{namespace}__{relay}").replace('-', "_");
    let one_way = [namespace, relay].iter().all(|name| !name.contains("--"));
    if one_way && spelt.len() <= config::MAX_POSTGRES_NAME {
        return spelt;
    }
    // as the hash is of both, this is no other relay's
    let hash = hex(&Sha256::digest(format!("{namespace}/{relay}")));
    format!("sse_{}", &hash[..24])
}

fn postgres(
    from: &Postgres,
    texts: &BTreeMap<Key, String>,
    unread: &mut Unread,
) -> config::Postgres {
    let mut to = config::Postgres {
        url: format!("postgres://{}/{}", from.host, from.database),
        credentials: from
            .credentials
            .as_ref()
            .map(|named| config::PostgresCredentials {
                username: username(named, texts).unwrap_or_default(),
                password_file: Some(path_in_pod(&password(FOLDER))),
                password_variable: None,
            }),
        tls: from.tls.as_ref().map(|tls| {
            let files = files(tls, FOLDER);
            config::PostgresTls {
                ca: files.ca,
                certificate: files.certificate,
                key: files.key,
                server_name: tls.server_name.clone(),
            }
        }),
        ..config::Postgres::default()
    };
    for (path, from, field) in [
        (
            "archive.postgres.connectTimeout",
            &from.connect_timeout,
            &mut to.connect_timeout,
        ),
        (
            "archive.postgres.commandTimeout",
            &from.command_timeout,
            &mut to.command_timeout,
        ),
    ] {
        if let Some(time) = from {
            *field = unread.span(path, time);
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(namespace: &str, relay: &str) -> String {
        let archive = serde_json::json!({ "postgres": { "host": "db", "database": "events" } });
        let names = Names {
            relay: relay.to_owned(),
            namespace: namespace.to_owned(),
        };
        schema(&serde_json::from_value(archive).unwrap(), &names)
    }

    #[test]
    fn a_schema_that_is_left_out_is_of_this_relay_alone() {
        assert_eq!(derived("shop", "live"), "sse_shop__live");
        assert_ne!(derived("a-b", "c"), derived("a", "b-c"));
        assert_ne!(derived("a--b", "c"), derived("a", "b--c"));
        let long = derived(&"n".repeat(63), &"r".repeat(50));
        assert!(long.len() <= config::MAX_POSTGRES_NAME, "{long}");
        assert_ne!(long, derived(&"m".repeat(63), &"r".repeat(50)));
    }
}
