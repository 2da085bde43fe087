//! Queues of RabbitMQ, over AMQP 0-9-1.

mod connection;
mod message;

use super::{
    Fault, Intake, Promise, Source,
    broker::{self, lag_behind},
};
use connection::{Connection, Next};
use futures_util::future::{BoxFuture, join_all};
use lapin::options::BasicAckOptions;
use relay_config::RabbitmqSource;

/// Queues of a broker, and who the relay is to it.
pub(super) struct Rabbitmq {
    settings: RabbitmqSource,
}

impl Rabbitmq {
    pub(super) fn new(settings: RabbitmqSource) -> Rabbitmq {
        Rabbitmq { settings }
    }

    async fn pull(&self, intake: &Intake) -> Result<(), Fault> {
        let within = self.settings.broker.connect_timeout.std();
        let opened = Connection::open(&self.settings, intake.source());
        let mut connection = broker::in_time(within, opened).await?;
        intake.connected();
        loop {
            let deliveries = connection.receive(self.settings.prefetch.into()).await?;
            let full = deliveries.len() >= self.settings.prefetch.into();
            let (mut messages, mut ackers) = (Vec::new(), Vec::new());
            for Next { queue, delivery } in deliveries {
                let origin = &self.settings.queues[queue];
                ackers.push(delivery.acker.clone());
                match message::read(origin, delivery) {
                    Ok(message) => messages.push(message),
                    Err((reason, detail)) => {
                        intake.refuse(reason, detail);
                    }
                }
            }
            let last = messages.last().and_then(|message| message.time);
            intake.append_all(messages).await;
            let acks = ackers
                .iter()
                .map(|acker| acker.ack(BasicAckOptions::default()));
            for ack in join_all(acks).await {
                ack.map_err(|error| connection::fault(&error))?;
            }
            intake.lag(lag_behind(last.filter(|_| full)));
        }
    }
}

/// Connects and logs in, and asks for each queue.
pub(super) async fn check(settings: &RabbitmqSource) -> Result<(), Fault> {
    let within = settings.broker.connect_timeout.std();
    broker::in_time(within, connection::look(settings)).await
}

impl Source for Rabbitmq {
    fn promise(&self) -> Promise {
        Promise::Acknowledged
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }
}
