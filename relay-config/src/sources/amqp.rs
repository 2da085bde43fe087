//! Addresses of brokers that speak AMQP 1.0, as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::broker::{self, Broker, BrokerProtocol};
use super::rabbitmq::check_prefetch;
use super::stomp::{Durable, Routing};
use crate::validate::Problem;

/// Topics and queues of ActiveMQ, Artemis and other brokers, over AMQP 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AmqpSource {
    /// Where the broker is, and who the relay is to it.
    pub broker: Broker,
    /// What is received from, as the broker names it: `prices`; with ActiveMQ Classic
    /// `topic://prices` or `queue://orders`.
    pub addresses: Vec<String>,
    /// Whether the addresses are topics or queues.
    pub routing: Routing,
    /// Keeps what is sent to a topic while nobody listens. A source with it has one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<Durable>,
    /// How many messages of each address may be under way at once.
    #[serde(default = "prefetch")]
    #[schemars(range(min = 1, max = 10_000))]
    pub prefetch: u16,
}

fn prefetch() -> u16 {
    100
}

impl AmqpSource {
    /// Whether the broker keeps what is not acknowledged.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.durable.is_some() || self.routing == Routing::Queue
    }

    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let at = format!("{path}.broker");
        let mut problems = self.broker.problems(BrokerProtocol::Amqp10, &at);
        let names = broker::names(path, "addresses", "addresses", &self.addresses);
        problems.extend(names);
        problems.extend(check_prefetch(path, self.prefetch));
        let durable = self.durable.as_ref();
        problems.extend(durable.into_iter().flat_map(|durable| {
            let routing = Some(self.routing);
            durable.problems(&format!("{path}.durable"), self.addresses.len(), routing)
        }));
        problems
    }
}
