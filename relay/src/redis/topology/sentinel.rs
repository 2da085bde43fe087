//! Sentinels: who is the primary?

use crate::redis::{Command, ConnectError, Reply, connect::Connector, error::told, line::Line};
use futures_util::future::join_all;
use relay_config::{RedisAddress, RedisServer};
use std::sync::Arc;
use tokio::time::Instant;

/// All Sentinels of one primary. Each is asked every time, and the newest answer counts: one that
/// is cut off from the others may still name a primary that was replaced.
pub(in crate::redis) struct Sentinels {
    service: String,
    sentinels: Vec<Sentinel>,
    connector: Connector,
}

struct Sentinel {
    address: RedisAddress,
    line: Option<Line>,
}

/// What one Sentinel says.
struct Answer {
    /// Grows with each failover.
    epoch: i64,
    primary: RedisAddress,
}

impl Sentinels {
    pub(in crate::redis) fn new(
        service: String,
        servers: Vec<RedisServer>,
        connector: Connector,
    ) -> Sentinels {
        let sentinels = servers.into_iter().map(|server| Sentinel {
            address: RedisAddress::Tcp(server),
            line: None,
        });
        Sentinels {
            service,
            sentinels: sentinels.collect(),
            connector,
        }
    }

    /// The primary, as the Sentinel with the newest knowledge names it; the error of the first if
    /// none does.
    pub(super) async fn ask(&mut self) -> Result<RedisAddress, ConnectError> {
        let Sentinels {
            service,
            sentinels,
            connector,
        } = self;
        let answers = sentinels
            .iter_mut()
            .map(|sentinel| sentinel.ask(service, connector));
        let (mut newest, mut failure) = (None::<Answer>, None);
        for answer in join_all(answers).await {
            match answer {
                Ok(answer) if newest.as_ref().is_none_or(|n| n.epoch < answer.epoch) => {
                    newest = Some(answer);
                }
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match (newest, failure) {
            (Some(answer), _) => Ok(answer.primary),
            (None, Some(error)) => Err(error),
            (None, None) => Err(ConnectError::UnknownService(service.as_str().into())),
        }
    }
}

impl Sentinel {
    async fn ask(&mut self, service: &str, connector: &Connector) -> Result<Answer, ConnectError> {
        let line = match self.line.take() {
            Some(line) if line.why_ended().is_none() => line,
            _ => connector.line(&self.address).await?,
        };
        let question = Command::new("SENTINEL MASTER").arg(service);
        let deadline = Instant::now() + connector.command_timeout;
        let reply = match line.command(&question, deadline).await {
            Ok(reply) => reply,
            Err(error) => {
                return Err(match told(error) {
                    ConnectError::Protocol(text) if text.contains("No such master") => {
                        ConnectError::UnknownService(service.into())
                    }
                    ConnectError::Protocol(text) if text.contains("unknown command") => {
                        ConnectError::Protocol(
                            format!("{} is no Sentinel: {text}", self.address).into(),
                        )
                    }
                    error => error,
                });
            }
        };
        self.line = Some(line);
        read(&reply).ok_or_else(|| ConnectError::Protocol("SENTINEL MASTER has no address".into()))
    }
}

/// Names and values, one after the other.
fn read(reply: &Reply) -> Option<Answer> {
    let fields = reply.list()?;
    let field = |name: &str| {
        let mut pairs = fields.chunks_exact(2);
        pairs.find_map(|pair| (pair[0].text() == Some(name)).then_some(&pair[1]))
    };
    let server = RedisServer {
        host: field("ip")?.text()?.to_owned(),
        port: u16::try_from(field("port")?.integer()?).ok()?,
    };
    Some(Answer {
        epoch: field("config-epoch")?.integer()?,
        primary: RedisAddress::Tcp(server),
    })
}

/// What Sentinels are connected to with: they have users of their own and no databases.
pub(in crate::redis) fn connector(
    like: &Arc<Connector>,
    credentials: Option<relay_config::RedisCredentials>,
) -> Connector {
    Connector {
        tls: like.tls.clone(),
        credentials,
        database: 0,
        expected: like.expected,
        connect_timeout: like.connect_timeout,
        command_timeout: like.command_timeout,
        trouble: like.trouble.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_is_read_from_names_and_values() {
        let text = |text: &'static str| Reply::Bytes(text.into());
        let fields = ["name", "m", "ip", "::1", "port", "7", "config-epoch", "3"].map(text);
        let answer = read(&Reply::List(fields.to_vec())).unwrap();
        assert_eq!(answer.primary.to_string(), "[::1]:7");
        assert_eq!(answer.epoch, 3);
        assert!(read(&Reply::Nil).is_none());
        assert!(read(&Reply::List(vec![text("ip")])).is_none());
    }
}
