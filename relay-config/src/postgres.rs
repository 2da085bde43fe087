//! Where a PostgreSQL server is, and who the relay is to it.

mod url;

use std::fmt;
use std::path::PathBuf;

use ::url::Url;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client_tls::ClientTls;
use crate::timespan::Timespan;
use crate::validate::Problem;

pub use self::url::PostgresUrl;

const PORT: u16 = 5432;
const MIN_TIMEOUT: Timespan = Timespan::from_millis(10);
const MAX_TIMEOUT: Timespan = Timespan::from_secs(60);
/// Longest name of a database, a user, a schema or a table, in bytes; PostgreSQL cuts longer ones.
pub const MAX_POSTGRES_NAME: usize = 63;

/// A PostgreSQL server (13 and later) and one of its databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Postgres {
    /// Where it is: `postgres://host:5432/database`, or a socket of this machine by its directory,
    /// `postgres://%2Frun%2Fpostgresql/database`. Credentials have their own section.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(example = &"postgres://postgres:5432/events")]
    pub url: String,
    /// Instead of `url`: name of an environment variable that holds the address with user, password
    /// and options such as `sslmode`, as other programs take it:
    /// `postgres://user:password@host/database?sslmode=require`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"DATABASE_URL")]
    pub url_variable: Option<String>,
    /// Who the relay is to PostgreSQL. Without it, the user `postgres` without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PostgresCredentials>,
    /// TLS towards PostgreSQL: with this section, an empty one too, nothing goes in plain text, and
    /// the server's certificate must be of an authority that is trusted, and carry its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<PostgresTls>,
    /// Time for a connection with TLS and credentials.
    pub connect_timeout: Timespan,
    /// Time for the answer to a statement. Past it the connection is made anew.
    pub command_timeout: Timespan,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: String::new(),
            url_variable: None,
            credentials: None,
            tls: None,
            connect_timeout: Timespan::from_secs(5),
            command_timeout: Timespan::from_secs(5),
        }
    }
}

/// A user and where its password is to be found. The password itself never stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PostgresCredentials {
    /// The user.
    pub username: String,
    /// A file that holds the password; a line end after it is left away. It is read for every
    /// connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/run/secrets/postgres/password")]
    pub password_file: Option<String>,
    /// Name of an environment variable that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"PGPASSWORD")]
    pub password_variable: Option<String>,
}

/// TLS towards PostgreSQL.
pub type PostgresTls = ClientTls;

/// Where to connect, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresTarget {
    /// Where it listens.
    pub address: PostgresAddress,
    /// The database.
    pub database: String,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresAddress {
    /// On a port.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// On a socket in this directory of this machine.
    Unix {
        /// The directory.
        directory: PathBuf,
        /// Part of the socket's name.
        port: u16,
    },
}

impl fmt::Display for PostgresTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            PostgresAddress::Tcp { host, port } if host.contains(':') => {
                write!(f, "[{host}]:{port}")?;
            }
            PostgresAddress::Tcp { host, port } => write!(f, "{host}:{port}")?,
            PostgresAddress::Unix { directory, .. } => write!(f, "{}", directory.display())?,
        }
        write!(f, "/{}", self.database)
    }
}

impl Postgres {
    /// What is wrong with the section, whose path is `section`.
    #[must_use]
    pub fn problems(&self, section: &str) -> Vec<Problem> {
        let Some(name) = &self.url_variable else {
            return self.target(section).err().unwrap_or_default();
        };
        let mut problems = Vec::new();
        let mut add = |path: &str, message: &str| {
            problems.push(Problem {
                path: format!("{section}.{path}"),
                message: message.to_owned(),
            });
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            add("urlVariable", "write the name of an environment variable");
        }
        if !self.url.is_empty() || self.credentials.is_some() {
            add(
                "urlVariable",
                "is instead of `url` and `credentials`: remove them, or it",
            );
        }
        self.check_rest(&mut add);
        problems
    }

    fn check_rest(&self, add: &mut impl FnMut(&str, &str)) {
        for (path, timeout) in [
            ("connectTimeout", self.connect_timeout),
            ("commandTimeout", self.command_timeout),
        ] {
            if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&timeout) {
                add(path, &format!("must be {MIN_TIMEOUT} to {MAX_TIMEOUT}"));
            }
        }
        if let Some(tls) = &self.tls
            && tls.certificate.is_some() != tls.key.is_some()
        {
            add(
                "tls",
                "`certificate` and `key` go together: set both or neither",
            );
        }
    }

    /// Where to connect, or everything that is wrong with the section, whose path is `section`.
    pub fn target(&self, section: &str) -> Result<PostgresTarget, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut add = |path: &str, message: &str| {
            problems.push(Problem {
                path: format!("{section}.{path}"),
                message: message.to_owned(),
            });
        };
        self.check_rest(&mut add);
        if let Some(credentials) = &self.credentials {
            check_credentials(credentials, &mut add);
        }
        let target = plain(&self.url).map_err(|message| add("url", message));
        match target {
            Ok(PostgresTarget {
                address: PostgresAddress::Unix { .. },
                ..
            }) if self.tls.is_some() => {
                add(
                    "tls",
                    "is set, but a socket of this machine has none: remove it",
                );
                Err(problems)
            }
            Ok(target) if problems.is_empty() => Ok(target),
            _ => Err(problems),
        }
    }
}

fn check_credentials(credentials: &PostgresCredentials, add: &mut impl FnMut(&str, &str)) {
    let name = &credentials.username;
    if name.is_empty() || name.len() > MAX_POSTGRES_NAME || name.contains('\0') {
        add(
            "credentials.username",
            "write the user's name, at most 63 bytes",
        );
    }
    if credentials.password_file.is_some() && credentials.password_variable.is_some() {
        add(
            "credentials",
            "set only one of `passwordFile` and `passwordVariable`",
        );
    }
}

const FORM: &str = "write it as `postgres://host:5432/database`";

/// An address without anything secret. No message repeats the text: it may hold a password.
fn plain(text: &str) -> Result<PostgresTarget, &'static str> {
    if text.is_empty() {
        return Err("is missing; write it as `postgres://host:5432/database`");
    }
    let url = Url::parse(text).map_err(|_| FORM)?;
    let target = target(&url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "must hold no user or password, which would show in listings: put the user in \
             `credentials.username` and the password in a file or an environment variable that \
             `passwordFile` or `passwordVariable` names",
        );
    }
    if url.query().is_some() {
        return Err(
            "must end with the database's name; what else there is to set has keys of its own",
        );
    }
    Ok(target)
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| FORM)
}

fn target(url: &Url) -> Result<PostgresTarget, &'static str> {
    let database = named_database(url)?;
    let address = place(url)?;
    Ok(PostgresTarget { address, database })
}

fn named_database(url: &Url) -> Result<String, &'static str> {
    check_scheme(url)?;
    let database = decoded(url.path().trim_start_matches('/'))?;
    let is_name = (1..=MAX_POSTGRES_NAME).contains(&database.len());
    if !is_name || database.contains(['/', '\0']) || url.fragment().is_some() {
        return Err("must end with the name of a database, as in `/events`");
    }
    Ok(database)
}

fn check_scheme(url: &Url) -> Result<(), &'static str> {
    match url.scheme() {
        "postgres" | "postgresql" => Ok(()),
        _ => Err("must begin with `postgres://`"),
    }
}

fn place(url: &Url) -> Result<PostgresAddress, &'static str> {
    check_scheme(url)?;
    let port = url.port().unwrap_or(PORT);
    match decoded(url.host_str().unwrap_or_default())?.as_str() {
        "" => Err("names no host; write it as `postgres://host:5432/database`"),
        path if path.starts_with('/') => Ok(PostgresAddress::Unix {
            directory: path.into(),
            port,
        }),
        host => Ok(PostgresAddress::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Postgres {
        Postgres {
            url: url.into(),
            ..Postgres::default()
        }
    }

    fn said(postgres: &Postgres) -> String {
        let problems = postgres.target("archive.postgres").unwrap_err();
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_server_is_a_host_or_a_directory_and_a_database() {
        let shown = |url: &str| at(url).target("x").unwrap().to_string();
        assert_eq!(shown("postgres://db/events"), "db:5432/events");
        assert_eq!(shown("postgresql://[::1]:5433/a%20b"), "[::1]:5433/a b");
        assert_eq!(
            shown("postgres://%2Frun%2Fpostgresql/events"),
            "/run/postgresql/events"
        );
    }

    #[test]
    fn an_address_without_a_database_or_with_a_password_is_refused_and_not_repeated() {
        for (url, expected) in [
            ("", "is missing"),
            ("db", "write it as"),
            ("mysql://db/events", "must begin"),
            ("postgres://db", "name of a database"),
            ("postgres://db/", "name of a database"),
            ("postgres:///events", "no host"),
            ("postgres://db/events?sslmode=require", "keys of its own"),
        ] {
            assert!(
                said(&at(url)).contains(expected),
                "{url}: {}",
                said(&at(url))
            );
        }
        let secret = said(&at("postgres://ann:s3cret@db/events"));
        assert!(
            secret.contains("archive.postgres.url: must hold no user"),
            "{secret}"
        );
        assert!(!secret.contains("s3cret"));
    }

    #[test]
    fn a_variable_is_instead_of_an_address() {
        let variable = |url: &str| Postgres {
            url: url.into(),
            url_variable: Some("DATABASE_URL".into()),
            ..Postgres::default()
        };
        assert_eq!(variable("").problems("x"), []);
        assert_eq!(
            variable("postgres://db/a").problems("x")[0].path,
            "x.urlVariable"
        );
    }

    #[test]
    fn credentials_and_certificates_are_whole() {
        let postgres = Postgres {
            credentials: Some(PostgresCredentials {
                username: String::new(),
                password_file: Some("a".into()),
                password_variable: Some("B".into()),
            }),
            tls: Some(PostgresTls {
                key: Some("k".into()),
                ..PostgresTls::default()
            }),
            connect_timeout: Timespan::from_secs(61),
            ..at("postgres://db/events")
        };
        let said = said(&postgres);
        for path in [
            "credentials.username",
            "credentials:",
            "tls:",
            "connectTimeout",
        ] {
            assert!(said.contains(path), "{path}: {said}");
        }
        let unix = Postgres {
            tls: Some(PostgresTls::default()),
            ..at("postgres://%2Frun/events")
        };
        assert!(super::tests::said(&unix).contains("has none"));
    }
}
