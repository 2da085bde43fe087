//! Queues of RabbitMQ as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::broker::{self, Broker, BrokerProtocol};
use crate::validate::Problem;

/// Queues of RabbitMQ, or of another broker that speaks AMQP 0-9-1. They must be there: a relay that
/// made them would have to know their arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RabbitmqSource {
    /// Where RabbitMQ is, and who the relay is to it.
    pub broker: Broker,
    /// The queues. A message is taken from its queue once the event log has it.
    pub queues: Vec<String>,
    /// How many messages may be under way at once. The broker sends no more before some are
    /// acknowledged.
    #[serde(default = "prefetch")]
    #[schemars(range(min = 1, max = 10_000))]
    pub prefetch: u16,
}

fn prefetch() -> u16 {
    100
}

impl RabbitmqSource {
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let at = format!("{path}.broker");
        let mut problems = self.broker.problems(BrokerProtocol::Amqp091, &at);
        problems.extend(broker::names(path, "queues", "queues", &self.queues));
        if self.broker.credentials.is_none() {
            problems.push(Problem {
                path: at,
                message: "has no `credentials`; RabbitMQ lets nobody in without a user".to_owned(),
            });
        }
        problems.extend(check_prefetch(path, self.prefetch));
        problems
    }
}

/// The most messages that may be under way at once.
const MAX_PREFETCH: u16 = 10_000;

pub(super) fn check_prefetch(path: &str, prefetch: u16) -> Option<Problem> {
    let legal = (1..=MAX_PREFETCH).contains(&prefetch);
    (!legal).then(|| Problem {
        path: format!("{path}.prefetch"),
        message: format!("must be 1 to {MAX_PREFETCH}"),
    })
}
