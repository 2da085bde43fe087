//! Destinations of ActiveMQ, Artemis and other brokers that speak STOMP, as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::broker::{self, Broker, BrokerProtocol, is_name};
use super::rabbitmq::check_prefetch;
use crate::validate::Problem;

/// Topics and queues over STOMP 1.1 or 1.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StompSource {
    /// Where the broker is, and who the relay is to it.
    pub broker: Broker,
    /// What is subscribed to, as the broker names it: `/topic/prices`, `/queue/orders`.
    pub destinations: Vec<String>,
    /// Whether the destinations are topics or queues, where their names do not say so. With Artemis
    /// this decides how an address is subscribed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// Keeps what is sent to a topic while nobody listens. A source with it has one destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<Durable>,
    /// The virtual host that is asked for; the host of `url` if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_host: Option<String>,
    /// How many messages may be under way at once.
    #[serde(default = "prefetch")]
    #[schemars(range(min = 1, max = 10_000))]
    pub prefetch: u16,
}

/// How a broker hands out what is sent to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Routing {
    /// Everybody who listens gets each message.
    Topic,
    /// One of those who listen gets a message, and the broker keeps it until then.
    Queue,
}

/// A subscription that a broker keeps. It is known by both names: whoever changes one has a new
/// subscription, and the old one goes on collecting messages until it is removed at the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Durable {
    /// Who the relay is to the broker. Only one connection at a time may have it, so that each source
    /// needs one of its own; the replicas of a relay share it.
    #[schemars(example = &"sse-relay-prices")]
    pub client_id: String,
    /// What the subscription is called.
    #[schemars(example = &"prices")]
    pub name: String,
}

fn prefetch() -> u16 {
    100
}

impl StompSource {
    /// Whether the broker keeps what is not acknowledged.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let queue = |name: &String| match self.routing {
            Some(routing) => routing == Routing::Queue,
            None => name.starts_with("/queue/"),
        };
        self.durable.is_some() || self.destinations.iter().all(queue)
    }

    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let at = format!("{path}.broker");
        let mut problems = self.broker.problems(BrokerProtocol::Stomp, &at);
        let names = broker::names(path, "destinations", "topics or queues", &self.destinations);
        problems.extend(names);
        problems.extend(check_prefetch(path, self.prefetch));
        if self
            .virtual_host
            .as_deref()
            .is_some_and(|name| !is_name(name))
        {
            problems.push(Problem {
                path: format!("{path}.virtualHost"),
                message: "write 1 to 255 bytes without control characters".to_owned(),
            });
        }
        let durable = self.durable.as_ref();
        problems.extend(durable.into_iter().flat_map(|durable| {
            durable.problems(
                &format!("{path}.durable"),
                self.destinations.len(),
                self.routing,
            )
        }));
        problems
    }
}

impl Durable {
    /// What is wrong with a subscription to so many destinations.
    pub(super) fn problems(
        &self,
        path: &str,
        destinations: usize,
        routing: Option<Routing>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |field: &str, message: &str| {
            problems.push(Problem {
                path: format!("{path}{field}"),
                message: message.to_owned(),
            });
        };
        if !is_name(&self.client_id) {
            wrong(
                ".clientId",
                "write 1 to 255 bytes without control characters",
            );
        }
        if !is_name(&self.name) {
            wrong(".name", "write 1 to 255 bytes without control characters");
        }
        if destinations > 1 {
            wrong(
                "",
                "is one subscription to one topic; make a source of each",
            );
        }
        if routing == Some(Routing::Queue) {
            wrong(
                "",
                "is for topics: a queue keeps its messages anyway; leave it away",
            );
        }
        problems
    }
}
