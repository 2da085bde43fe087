//! A cluster: who owns which slots?

use super::Part;
use crate::redis::{
    Command, ConnectError, Reply, SLOTS, connect::Connector, error::told, info::field, line::Line,
};
use relay_config::{RedisAddress, RedisServer};
use std::sync::Arc;
use tokio::time::Instant;

/// One node is asked as long as its answers are good; when they are not, or when there is a sign that
/// they are out of date, the next one is. An answer is not taken if it says that the cluster is down, or
/// is older than one that was taken.
pub(in crate::redis) struct Cluster {
    seeds: Vec<RedisServer>,
    known: Vec<RedisServer>,
    turn: usize,
    /// The open connection of the last question.
    line: Option<(RedisServer, Line)>,
    epoch: i64,
    connector: Arc<Connector>,
}

/// What one node says.
struct Answer {
    epoch: i64,
    healthy: bool,
    parts: Vec<(u16, u16, RedisServer)>,
}

impl Cluster {
    pub(in crate::redis) fn new(seeds: Vec<RedisServer>, connector: Arc<Connector>) -> Cluster {
        Cluster {
            seeds,
            known: Vec::new(),
            turn: 0,
            line: None,
            epoch: 0,
            connector,
        }
    }

    pub(super) async fn ask(&mut self) -> Result<Vec<Part>, ConnectError> {
        let server = self.next();
        let answer = self.ask_node(&server).await?;
        let first = self.known.is_empty();
        if !first && (!answer.healthy || answer.epoch < self.epoch) {
            self.doubt();
            return Err(ConnectError::NotReady(
                format!("{server} does not see the whole cluster").into(),
            ));
        }
        if answer.parts.is_empty() {
            return Err(ConnectError::NoOwner);
        }
        self.epoch = answer.epoch;
        self.known.clear();
        for (_, _, server) in &answer.parts {
            if !self.known.contains(server) {
                self.known.push(server.clone());
            }
        }
        let parts = answer.parts.into_iter();
        let parts = parts.map(|(first, last, server)| (first..=last, RedisAddress::Tcp(server)));
        Ok(parts.collect())
    }

    /// The next question goes to another node.
    pub(super) fn doubt(&mut self) {
        self.line = None;
    }

    /// Seeds count as long as they answer: an address in the configuration outlives nodes.
    fn next(&mut self) -> RedisServer {
        if let Some((server, line)) = &self.line
            && line.why_ended().is_none()
        {
            return server.clone();
        }
        let all = self.known.iter().chain(&self.seeds);
        let count = self.known.len() + self.seeds.len();
        self.turn = (self.turn + 1) % count;
        let mut all = all.skip(self.turn);
        all.next().expect("the turn is below the count").clone()
    }

    async fn ask_node(&mut self, server: &RedisServer) -> Result<Answer, ConnectError> {
        let address = RedisAddress::Tcp(server.clone());
        let line = match self.line.take() {
            Some((at, line)) if at == *server && line.why_ended().is_none() => line,
            _ => self.connector.line(&address).await?,
        };
        let deadline = Instant::now() + self.connector.command_timeout;
        let info = line.text(&Command::new("CLUSTER INFO"), deadline).await?;
        let slots = line.command(&Command::new("CLUSTER SLOTS"), deadline).await;
        let slots = slots.map_err(told)?;
        self.line = Some((server.clone(), line));
        let parts = read_slots(&slots, server)
            .ok_or_else(|| ConnectError::Protocol("CLUSTER SLOTS cannot be read".into()))?;
        Ok(Answer {
            epoch: field(&info, "cluster_current_epoch")
                .and_then(|e| e.parse().ok())
                .unwrap_or(0),
            healthy: field(&info, "cluster_state") == Some("ok"),
            parts,
        })
    }
}

/// First slot, last slot and primary of each part, in the order of slots. `asked` stands for a
/// host that is unknown to the node itself.
fn read_slots(reply: &Reply, asked: &RedisServer) -> Option<Vec<(u16, u16, RedisServer)>> {
    let mut parts = Vec::new();
    for part in reply.list()? {
        let part = part.list()?;
        let slot = |index: usize| {
            let slot = u16::try_from(part.get(index)?.integer()?).ok()?;
            (slot < SLOTS).then_some(slot)
        };
        let primary = part.get(2)?.list()?;
        let host = match primary.first()?.text() {
            None | Some("" | "?") => asked.host.clone(),
            Some(host) => host.to_owned(),
        };
        let port = u16::try_from(primary.get(1)?.integer()?).ok()?;
        parts.push((slot(0)?, slot(1)?, RedisServer { host, port }));
    }
    parts.sort_unstable();
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(first: i64, last: i64, host: Reply, port: i64) -> Reply {
        let node = Reply::List(vec![host, Reply::Integer(port)]);
        Reply::List(vec![Reply::Integer(first), Reply::Integer(last), node])
    }

    #[test]
    fn parts_are_read_in_the_order_of_slots() {
        let asked = RedisServer {
            host: "seed".into(),
            port: 1,
        };
        let reply = Reply::List(vec![
            part(8192, 16383, Reply::Bytes("b".into()), 7),
            part(0, 8191, Reply::Nil, 8),
        ]);
        let parts = read_slots(&reply, &asked).unwrap();
        let parts: Vec<_> = parts
            .iter()
            .map(|(a, b, s)| format!("{a}-{b} {s}"))
            .collect();
        assert_eq!(parts, ["0-8191 seed:8", "8192-16383 b:7"]);
    }

    #[test]
    fn nonsense_is_not_read() {
        let asked = RedisServer {
            host: "seed".into(),
            port: 1,
        };
        for reply in [
            Reply::Nil,
            Reply::List(vec![Reply::Integer(1)]),
            Reply::List(vec![part(0, 16_384, Reply::Nil, 1)]),
            Reply::List(vec![part(0, 1, Reply::Nil, 70_000)]),
        ] {
            assert!(read_slots(&reply, &asked).is_none(), "{reply:?}");
        }
    }
}
