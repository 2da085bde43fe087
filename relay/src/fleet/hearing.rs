//! What this replica hears from the others: orders, which it carries out and answers, and answers.

use super::{
    Fleet,
    message::{self, Answer, Body, Message, Order, Question},
};
use crate::{
    channel::ChannelName,
    clock::unix_millis,
    http::App,
    redis::{Event, Events},
};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Orders that are carried out at once; past it the connection is not read.
const MAX_ORDERS: usize = 64;

/// Until the subscriptions end, with the process.
pub async fn run(app: Arc<App>, fleet: Arc<Fleet>, mut events: Events) {
    let room = Arc::new(Semaphore::new(MAX_ORDERS));
    while let Some(event) = events.recv().await {
        match event {
            Event::Message(heard) => match Message::decode(&heard.payload) {
                Ok(message) if message.from == *fleet.me => {}
                Ok(Message { from, number, body }) => match body {
                    Body::Answer(answer) => fleet.asks.answered(number, from, answer),
                    order => {
                        let permit = room.clone().acquire_owned().await;
                        let (app, fleet) = (app.clone(), fleet.clone());
                        tokio::spawn(async move {
                            let _permit = permit;
                            let answer = carry_out(&app, order).await;
                            fleet.reply(&from, number, &answer).await;
                        });
                    }
                },
                Err(error) => {
                    tracing::warn!(
                        event = "fleet.strange",
                        "a message of another replica: {error}"
                    );
                }
            },
            Event::Confirmed(_) => fleet.hurry.notify_one(),
            Event::Interrupted { why, .. } => {
                tracing::info!(
                    event = "fleet.interrupted",
                    "orders of other replicas may be missing: {why}"
                );
                fleet.gate.close();
                fleet.hurry.notify_one();
            }
            Event::Refused { why, .. } => tracing::error!(
                event = "fleet.refused",
                "Redis refuses the subscription to the orders of other replicas: {why}; `sse-relay redis-acl relay` prints the rights"
            ),
        }
    }
}

async fn carry_out(app: &App, order: Body) -> Answer {
    match order {
        Body::Order(Order::Question(Question::Listen { source, channels })) => {
            listen(app, &source, &channels).await
        }
        Body::Order(order) => app.control.carry_out(order, unix_millis()).await,
        Body::Strange(error) => Answer::Refused(error.to_string()),
        Body::Answer(_) => Answer::Refused("it is no order".to_owned()),
    }
}

/// What streams of another replica want of a source that this one pulls from.
async fn listen(app: &App, source: &str, channels: &[ChannelName]) -> Answer {
    let mut demands = app.demands.iter();
    match demands.find(|demand| demand.source == source) {
        Some(demand) => Answer::Listening(demand.of_another(channels).await),
        None => Answer::Refused("no source of this name listens on demand here".to_owned()),
    }
}

impl Fleet {
    /// An answer that is lost counts as none at the replica that asked.
    async fn reply(&self, to: &str, number: u64, answer: &Answer) {
        let message = message::answer(&self.me, number, answer);
        if let Err(error) = self.send(&self.keys.replica(to), &message).await {
            tracing::debug!(event = "fleet.unanswered", %error, "an answer was not sent");
        }
    }
}
