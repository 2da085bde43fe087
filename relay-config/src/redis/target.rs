//! What the section `redis` comes to: where to connect, checked.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::{MAX_PUBLISH_WINDOW, MAX_REPLICAS_ACK, Redis, RedisCredentials, RedisTls};
use crate::timespan::Timespan;
use crate::validate::Problem;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// The longest prefix, in bytes.
const MAX_PREFIX_BYTES: usize = 64;
/// The longest of the two timeouts.
const MAX_TIMEOUT: Timespan = Timespan::from_secs(60);
const MIN_TIMEOUT: Timespan = Timespan::from_millis(10);

/// Where the log is, and whether the way there is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// Which servers.
    pub mode: RedisMode,
    /// TLS, if any.
    pub tls: Option<RedisTls>,
}

/// The three ways in which Redis is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisMode {
    /// One server.
    Standalone {
        /// Where it listens.
        address: RedisAddress,
        /// Which of its databases.
        database: u32,
    },
    /// The primary that Sentinels name.
    Sentinel {
        /// What the Sentinels call it.
        service: String,
        /// The Sentinels; at least one.
        sentinels: Vec<RedisServer>,
        /// Who the relay is to the Sentinels.
        credentials: Option<RedisCredentials>,
        /// Which of the primary's databases.
        database: u32,
    },
    /// A cluster. It has one database only.
    Cluster {
        /// Some of its nodes; at least one.
        seeds: Vec<RedisServer>,
    },
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RedisAddress {
    /// On a port.
    Tcp(RedisServer),
    /// On a socket of this machine.
    Unix(PathBuf),
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RedisServer {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(server) => server.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Redis {
    /// Where to connect, or everything that is wrong with the section; paths are those of the
    /// whole document (`redis.…`).
    pub fn target(&self) -> Result<RedisTarget, Vec<Problem>> {
        let mut wrong = Wrong::default();
        self.check_prefix(&mut wrong);
        self.check_files(&mut wrong);
        for (name, timeout) in [
            ("connectTimeout", self.connect_timeout),
            ("commandTimeout", self.command_timeout),
        ] {
            if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&timeout) {
                wrong.add(name, format!("must be {MIN_TIMEOUT} to {MAX_TIMEOUT}"));
            }
        }
        if self.window() > MAX_PUBLISH_WINDOW {
            let text = format!("must be 0s to {MAX_PUBLISH_WINDOW}: a publish may wait so long");
            wrong.add("publishWindow", text);
        }
        if let Some(count) = self.min_replicas_ack
            && !(1..=MAX_REPLICAS_ACK).contains(&count)
        {
            let text =
                format!("must be 1 to {MAX_REPLICAS_ACK}; leave it out to wait for no replica");
            wrong.add("minReplicasAck", text);
        }
        let target = self.mode(&mut wrong);
        match target {
            Some(target) if wrong.0.is_empty() => Ok(target),
            _ => Err(wrong.0),
        }
    }

    fn mode(&self, wrong: &mut Wrong) -> Option<RedisTarget> {
        match (&self.url, &self.sentinel, &self.cluster) {
            (Some(url), None, None) => self.standalone(url, wrong),
            (None, Some(sentinel), None) => {
                if sentinel.service.is_empty() {
                    wrong.add(
                        "sentinel.service",
                        "is missing: what the Sentinels call the primary, as in `mymaster`",
                    );
                }
                let mode = RedisMode::Sentinel {
                    service: sentinel.service.clone(),
                    sentinels: servers(&sentinel.nodes, "sentinel.nodes", SENTINEL_PORT, wrong),
                    credentials: sentinel.credentials.clone(),
                    database: sentinel.database,
                };
                Some(self.reached(mode))
            }
            (None, None, Some(cluster)) => {
                let seeds = servers(&cluster.nodes, "cluster.nodes", REDIS_PORT, wrong);
                Some(self.reached(RedisMode::Cluster { seeds }))
            }
            (None, None, None) => {
                wrong.add(
                    "",
                    "says not where Redis is: set one of `url`, `sentinel` and `cluster`",
                );
                None
            }
            _ => {
                wrong.add("", "set only one of `url`, `sentinel` and `cluster`");
                None
            }
        }
    }

    fn reached(&self, mode: RedisMode) -> RedisTarget {
        RedisTarget {
            mode,
            tls: self.tls.clone(),
        }
    }

    fn standalone(&self, text: &str, wrong: &mut Wrong) -> Option<RedisTarget> {
        // No message repeats the text: it may hold a password.
        let Ok(url) = Url::parse(text) else {
            wrong.add("url", "is no URL; write it as `redis://host:6379`");
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            wrong.add(
                "url",
                "must hold no user or password, which would show in listings: put the user in \
                 `redis.credentials.username` and the password in a file or an environment \
                 variable that `passwordFile` or `passwordVariable` names",
            );
        }
        let (address, database) = match url.scheme() {
            "redis" | "rediss" => (tcp(&url, wrong)?, url.path().trim_start_matches('/')),
            "unix" => (
                RedisAddress::Unix(PathBuf::from(url.path())),
                url.query()
                    .and_then(|q| q.strip_prefix("db="))
                    .unwrap_or(""),
            ),
            _ => {
                wrong.add(
                    "url",
                    "must begin with `redis://`, `rediss://` or `unix://`",
                );
                return None;
            }
        };
        let database = match database {
            "" => 0,
            digits => digits.parse().unwrap_or_else(|_| {
                wrong.add(
                    "url",
                    "must end with the number of a database, as in `/1`, or after the port",
                );
                0
            }),
        };
        let tls = match (url.scheme(), &self.tls) {
            ("rediss", tls) => Some(tls.clone().unwrap_or_default()),
            (_, None) => None,
            (_, Some(_)) => {
                wrong.add(
                    "tls",
                    "is set, but `url` is not `rediss://`: write that, or remove `tls`",
                );
                None
            }
        };
        let mode = RedisMode::Standalone { address, database };
        Some(RedisTarget { mode, tls })
    }

    fn check_prefix(&self, wrong: &mut Wrong) {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if self.prefix.is_empty() || self.prefix.len() > MAX_PREFIX_BYTES {
            wrong.add(
                "prefix",
                format!("must have 1 to {MAX_PREFIX_BYTES} characters"),
            );
        } else if !self.prefix.chars().all(legal) {
            wrong.add(
                "prefix",
                "may hold letters, digits, `-`, `_`, `.`, `:` and `/` only: it becomes part of \
                 keys and of rights of Redis users",
            );
        }
    }

    fn check_files(&self, wrong: &mut Wrong) {
        let sentinel = self.sentinel.as_ref().and_then(|s| s.credentials.as_ref());
        for (path, credentials) in [
            ("credentials", self.credentials.as_ref()),
            ("sentinel.credentials", sentinel),
        ] {
            if credentials
                .is_some_and(|c| c.password_file.is_some() && c.password_variable.is_some())
            {
                wrong.add(
                    path,
                    "set only one of `passwordFile` and `passwordVariable`",
                );
            }
            if credentials.is_some_and(|c| {
                c.username.is_some() && c.password_file.is_none() && c.password_variable.is_none()
            }) {
                wrong.add(
                    path,
                    "has a user but no password: set `passwordFile` or `passwordVariable`",
                );
            }
        }
        if let Some(tls) = &self.tls
            && tls.certificate.is_some() != tls.key.is_some()
        {
            wrong.add(
                "tls",
                "`certificate` and `key` go together: set both or neither",
            );
        }
    }
}

fn tcp(url: &Url, wrong: &mut Wrong) -> Option<RedisAddress> {
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        wrong.add("url", "names no host; write it as `redis://host:6379`");
        return None;
    };
    Some(RedisAddress::Tcp(RedisServer {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(REDIS_PORT),
    }))
}

fn servers(texts: &[String], path: &str, port: u16, wrong: &mut Wrong) -> Vec<RedisServer> {
    if texts.is_empty() {
        wrong.add(
            path,
            format!("is empty: name at least one, as `host:{port}`"),
        );
    }
    let read = texts.iter().enumerate().filter_map(|(index, text)| {
        let server = server(text, port);
        if server.is_none() {
            wrong.add(format!("{path}[{index}]"), format!("must be `host:{port}`"));
        }
        server
    });
    read.collect()
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn server(text: &str, default: u16) -> Option<RedisServer> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':')?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
    if host.is_empty() || !host.chars().all(legal) {
        return None;
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|&port| port != 0)?,
        None => default,
    };
    Some(RedisServer {
        host: host.to_owned(),
        port,
    })
}

#[derive(Default)]
struct Wrong(Vec<Problem>);

impl Wrong {
    fn add(&mut self, path: impl AsRef<str>, message: impl Into<String>) {
        let path = match path.as_ref() {
            "" => "redis".to_owned(),
            path => format!("redis.{path}"),
        };
        self.0.push(Problem {
            path,
            message: message.into(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::{RedisCluster, RedisSentinel};

    fn url(url: &str) -> Redis {
        Redis {
            url: Some(url.to_owned()),
            ..Redis::default()
        }
    }

    fn standalone(text: &str) -> (String, u32, bool) {
        let target = url(text).target().unwrap();
        let RedisMode::Standalone { address, database } = target.mode else {
            panic!("{text} is one server");
        };
        (address.to_string(), database, target.tls.is_some())
    }

    fn problems(redis: &Redis) -> String {
        let problems = redis.target().expect_err("it is wrong");
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn urls_name_host_port_database_and_encryption() {
        assert_eq!(standalone("redis://r"), ("r:6379".into(), 0, false));
        assert_eq!(standalone("redis://r:1/2"), ("r:1".into(), 2, false));
        assert_eq!(standalone("rediss://[::1]:7"), ("[::1]:7".into(), 0, true));
        assert_eq!(
            standalone("unix:///run/r.sock?db=3"),
            ("unix:/run/r.sock".into(), 3, false)
        );
    }

    #[test]
    fn a_password_in_a_url_is_refused_without_repeating_it() {
        let said = problems(&url("redis://me:hunter2@r"));
        assert!(said.contains("passwordFile"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(!problems(&url("redis//me:hunter2@r")).contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (text, expected) in [
            ("http://r", "must begin with"),
            ("redis://", "names no host"),
            ("redis://r/one", "number of a database"),
        ] {
            let said = problems(&url(text));
            assert!(said.contains(expected), "{text}: {said}");
        }
        assert!(problems(&Redis::default()).contains("set one of"));
        let both = Redis {
            cluster: Some(RedisCluster::default()),
            ..url("redis://r")
        };
        assert!(problems(&both).contains("only one of"));
        let tls = Redis {
            tls: Some(RedisTls::default()),
            ..url("redis://r")
        };
        assert!(problems(&tls).contains("rediss://"));
        let prefix = Redis {
            prefix: "a*{b}".into(),
            ..url("redis://r")
        };
        assert!(problems(&prefix).contains("redis.prefix"));
        let window = |text: &str| Redis {
            publish_window: Some(text.parse().unwrap()),
            ..url("redis://r")
        };
        assert!(problems(&window("101ms")).contains("redis.publishWindow"));
        assert!(window("0s").target().is_ok() && window("100ms").target().is_ok());
    }

    #[test]
    fn nodes_are_host_and_port() {
        let redis = Redis {
            cluster: Some(RedisCluster {
                nodes: vec!["a".into(), "b:7".into(), "[::1]:8".into(), "[::2]".into()],
            }),
            ..Redis::default()
        };
        let RedisMode::Cluster { seeds } = redis.target().unwrap().mode else {
            panic!("a cluster");
        };
        let seeds: Vec<_> = seeds.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["a:6379", "b:7", "[::1]:8", "[::2]:6379"]);
        for wrong in ["", "a:b", "a:0", "::1", "[::1", "[::1]7", "a/b:1", "me@a"] {
            let redis = Redis {
                sentinel: Some(RedisSentinel {
                    service: "m".into(),
                    nodes: vec![wrong.into()],
                    ..RedisSentinel::default()
                }),
                ..Redis::default()
            };
            assert!(
                problems(&redis).contains("redis.sentinel.nodes[0]"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn credentials_and_certificates_are_whole() {
        let redis = Redis {
            credentials: Some(RedisCredentials {
                username: Some("relay".into()),
                ..RedisCredentials::default()
            }),
            tls: Some(RedisTls {
                certificate: Some("c.pem".into()),
                ..RedisTls::default()
            }),
            ..url("rediss://r")
        };
        let said = problems(&redis);
        assert!(
            said.contains("redis.credentials: has a user but no password"),
            "{said}"
        );
        assert!(
            said.contains("redis.tls: `certificate` and `key` go together"),
            "{said}"
        );
    }
}
