//! The message broker that a source is a client of, and who the relay is to it.

use std::fmt;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::client_tls::ClientTls;
use crate::timespan::Timespan;
use crate::validate::Problem;

const MIN_TIMEOUT: Timespan = Timespan::from_millis(100);
const MAX_TIMEOUT: Timespan = Timespan::from_secs(60);
const MIN_HEARTBEAT: Timespan = Timespan::from_secs(1);
const MAX_HEARTBEAT: Timespan = Timespan::from_secs(300);
/// The most queues, topics or addresses of a source.
pub(super) const MAX_NAMES: usize = 64;
/// The longest of their names, in bytes.
const MAX_NAME: usize = 255;

/// A message broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Broker {
    /// Where it listens: `amqp://host:5672` or, with TLS, `amqps://host:5671`; for STOMP
    /// `stomp://host:61613` or `stomp+ssl://host:61614`. With RabbitMQ a virtual host may follow, as
    /// in `amqp://host/orders`. Credentials have their own section.
    #[schemars(example = &"amqp://rabbitmq:5672", example = &"stomp+ssl://activemq.example.com:61614")]
    pub url: String,
    /// Who the relay is to the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<BrokerCredentials>,
    /// TLS, for `amqps://` and `stomp+ssl://`. Without it the system's certificate authorities count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BrokerTls>,
    /// Time for a connection with TLS, credentials and subscriptions.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Timespan,
    /// How often both sides say that they are there. A broker that is silent for twice as long is
    /// given up, and connected to anew.
    #[serde(default = "heartbeat")]
    pub heartbeat: Timespan,
}

/// A user and where its password is to be found. The password itself never stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrokerCredentials {
    /// The user.
    pub username: String,
    /// A file that holds the password; a line end after it is left away. It is read again for every
    /// connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/run/secrets/broker/password")]
    pub password_file: Option<String>,
    /// Name of an environment variable that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"ACTIVEMQ_PASSWORD")]
    pub password_variable: Option<String>,
}

/// TLS towards a broker.
pub type BrokerTls = ClientTls;

/// What is spoken with a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerProtocol {
    /// AMQP 0-9-1, which RabbitMQ speaks.
    Amqp091,
    /// AMQP 1.0.
    Amqp10,
    /// STOMP 1.1 and 1.2.
    Stomp,
}

/// Where a broker listens, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS, if any.
    pub tls: Option<BrokerTls>,
    /// A virtual host of RabbitMQ.
    pub virtual_host: String,
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl BrokerProtocol {
    /// The schemes without and with TLS, and their ports.
    const fn schemes(self) -> [(&'static str, u16); 2] {
        match self {
            Self::Amqp091 | Self::Amqp10 => [("amqp", 5672), ("amqps", 5671)],
            Self::Stomp => [("stomp", 61613), ("stomp+ssl", 61614)],
        }
    }
}

impl Broker {
    /// Where to connect.
    ///
    /// # Errors
    /// What is wrong with `url`. Nothing of it is repeated: it may hold a password.
    pub fn address(&self, protocol: BrokerProtocol) -> Result<BrokerAddress, String> {
        let [(plain, plain_port), (encrypted, tls_port)] = protocol.schemes();
        let url = Url::parse(&self.url)
            .map_err(|_| format!("is no URL; write it as `{plain}://host:{plain_port}`"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "must hold no user or password, which would show in listings: put them into \
                 `credentials`"
                    .to_owned(),
            );
        }
        let (tls, port) = if url.scheme() == plain {
            (None, plain_port)
        } else if url.scheme() == encrypted {
            (Some(self.tls.clone().unwrap_or_default()), tls_port)
        } else {
            return Err(format!("must begin with `{plain}://` or `{encrypted}://`"));
        };
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(format!("names no host; write it as `{plain}://host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must end after the host, the port or the virtual host".to_owned());
        }
        Ok(BrokerAddress {
            host: host.to_owned(),
            port: url.port().unwrap_or(port),
            tls,
            virtual_host: virtual_host(protocol, url.path())?,
        })
    }

    /// What is wrong; paths begin with `path`.
    pub(super) fn problems(&self, protocol: BrokerProtocol, path: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: String| {
            problems.push(Problem {
                path: format!("{path}.{field}"),
                message,
            });
        };
        match self.address(protocol) {
            Err(message) => wrong("url", message),
            Ok(address) if address.tls.is_none() && self.tls.is_some() => {
                let [_, (encrypted, _)] = protocol.schemes();
                let message =
                    format!("is for `{encrypted}://`; write `url` so, or leave `tls` away");
                wrong("tls", message);
            }
            Ok(_) => {}
        }
        let bounds = [
            (
                "connectTimeout",
                self.connect_timeout,
                MIN_TIMEOUT,
                MAX_TIMEOUT,
            ),
            ("heartbeat", self.heartbeat, MIN_HEARTBEAT, MAX_HEARTBEAT),
        ];
        for (field, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                wrong(field, format!("must be {least} to {most}"));
            }
        }
        if let Some(credentials) = &self.credentials {
            for (field, message) in credentials.problems() {
                wrong(&format!("credentials{field}"), message.to_owned());
            }
        }
        let files = self.tls.as_ref();
        if files.is_some_and(|tls| tls.certificate.is_some() != tls.key.is_some()) {
            let message = "needs `certificate` and `key` together, or neither";
            wrong("tls", message.to_owned());
        }
        problems
    }
}

impl BrokerCredentials {
    fn problems(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let user = match self.username.as_str() {
            "" => Some((".username", "is missing; write the user's name")),
            name if name.len() > MAX_NAME || name.contains(char::is_control) => Some((
                ".username",
                "write at most 255 bytes without control characters",
            )),
            _ => None,
        };
        let password = match (&self.password_file, &self.password_variable) {
            (None, None) => Some((
                "",
                "has a user but no password: set `passwordFile` or `passwordVariable`",
            )),
            (Some(_), Some(_)) => {
                Some(("", "set only one of `passwordFile` and `passwordVariable`"))
            }
            _ => None,
        };
        user.into_iter().chain(password)
    }
}

/// `/` is the one that RabbitMQ has from the beginning.
fn virtual_host(protocol: BrokerProtocol, path: &str) -> Result<String, String> {
    let name = path.strip_prefix('/').unwrap_or(path);
    match protocol {
        _ if name.is_empty() => Ok("/".to_owned()),
        BrokerProtocol::Amqp091 => percent_decode_str(name)
            .decode_utf8()
            .ok()
            .filter(|name| name.len() <= MAX_NAME && !name.contains(char::is_control))
            .map(Into::into)
            .ok_or_else(|| "has a virtual host that is no name".to_owned()),
        BrokerProtocol::Amqp10 | BrokerProtocol::Stomp => {
            Err("must end after the host or the port".to_owned())
        }
    }
}

/// What is wrong with the names of queues, topics or addresses.
pub(super) fn names(path: &str, field: &str, what: &str, names: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |field: String, message: String| {
        problems.push(Problem {
            path: format!("{path}.{field}"),
            message,
        });
    };
    if !(1..=MAX_NAMES).contains(&names.len()) {
        wrong(field.to_owned(), format!("name 1 to {MAX_NAMES} {what}"));
    }
    for (index, name) in names.iter().enumerate() {
        let field = format!("{field}[{index}]");
        if !is_name(name) {
            wrong(
                field,
                format!("write 1 to {MAX_NAME} bytes without control characters"),
            );
        } else if names[..index].contains(name) {
            wrong(field, "is there twice; name each once".to_owned());
        }
    }
    problems
}

/// A name that can stand in any frame.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.contains(char::is_control)
}

fn connect_timeout() -> Timespan {
    Timespan::from_secs(5)
}

fn heartbeat() -> Timespan {
    Timespan::from_secs(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(url: &str) -> Broker {
        Broker {
            url: url.to_owned(),
            credentials: None,
            tls: None,
            connect_timeout: connect_timeout(),
            heartbeat: heartbeat(),
        }
    }

    #[test]
    fn addresses_have_the_ports_of_their_schemes() {
        use BrokerProtocol::{Amqp10, Amqp091, Stomp};
        let cases = [
            ("amqp://mq", Amqp091, "mq:5672", "/", false),
            ("amqps://mq/a%2Fb", Amqp091, "mq:5671", "a/b", true),
            ("amqp://mq:1/", Amqp10, "mq:1", "/", false),
            ("stomp://[::1]", Stomp, "[::1]:61613", "/", false),
            ("stomp+ssl://mq", Stomp, "mq:61614", "/", true),
        ];
        for (url, protocol, shown, virtual_host, tls) in cases {
            let address = broker(url).address(protocol).expect("legal");
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.virtual_host, virtual_host);
            assert_eq!(address.tls.is_some(), tls);
        }
    }

    #[test]
    fn what_is_no_address_says_how_to_write_one_and_repeats_no_password() {
        use BrokerProtocol::{Amqp091, Stomp};
        let cases = [
            ("", Stomp, "no URL"),
            ("amqp://mq", Stomp, "stomp+ssl://"),
            ("http://mq", Amqp091, "amqps://"),
            ("amqp://u:secret@mq", Amqp091, "credentials"),
            ("stomp://mq/vhost", Stomp, "after the host"),
            ("amqp://mq?x=1", Amqp091, "must end"),
            ("amqp://mq/%ff", Amqp091, "virtual host"),
        ];
        for (url, protocol, expected) in cases {
            let problem = broker(url).address(protocol).expect_err(url);
            assert!(problem.contains(expected), "{url}: {problem}");
            assert!(!problem.contains("secret"));
        }
    }

    #[test]
    fn a_section_that_is_wrong_is_told_in_all_its_fields() {
        let broker = Broker {
            credentials: Some(BrokerCredentials::default()),
            tls: Some(BrokerTls {
                key: Some("key.pem".to_owned()),
                ..BrokerTls::default()
            }),
            heartbeat: Timespan::from_millis(1),
            connect_timeout: Timespan::from_secs(61),
            ..broker("amqp://mq")
        };
        let problems = broker.problems(BrokerProtocol::Amqp091, "b");
        let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(
            paths,
            [
                "b.tls",
                "b.connectTimeout",
                "b.heartbeat",
                "b.credentials.username",
                "b.credentials",
                "b.tls"
            ]
        );
    }
}
