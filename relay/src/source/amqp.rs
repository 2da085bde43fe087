//! Addresses of brokers that speak AMQP 1.0: ActiveMQ, Artemis and others.

mod connection;
mod message;

use super::{
    Fault, Intake, Promise, Source,
    broker::{self, lag_behind},
};
use connection::{Connection, Next};
use fe2o3_amqp::link::delivery::DeliveryInfo;
use futures_util::future::BoxFuture;
use relay_config::AmqpSource;

/// Addresses of a broker, and who the relay is to it.
pub(super) struct Amqp {
    settings: AmqpSource,
}

impl Amqp {
    pub(super) fn new(settings: AmqpSource) -> Amqp {
        Amqp { settings }
    }

    async fn pull(&self, intake: &Intake) -> Result<(), Fault> {
        let within = self.settings.broker.connect_timeout.std();
        let opened = Connection::open(&self.settings, intake.source(), intake.replica());
        let mut connection = broker::in_time(within, opened).await?;
        intake.connected();
        loop {
            let deliveries = connection.receive(self.settings.prefetch.into()).await?;
            let full = deliveries.len() >= self.settings.prefetch.into();
            let (mut messages, mut settled) = (Vec::new(), Vec::new());
            for Next { address, delivery } in deliveries {
                let (info, message) = match delivery {
                    Ok(delivery) => {
                        let info = DeliveryInfo::from(&delivery);
                        let origin = &self.settings.addresses[address];
                        (info, message::read(origin, delivery.into_message()))
                    }
                    Err((info, unreadable)) => (info, Err(unreadable)),
                };
                settled.push((address, info));
                match message {
                    Ok(message) => messages.push(message),
                    Err((reason, detail)) => {
                        intake.refuse(reason, detail);
                    }
                }
            }
            let last = messages.last().and_then(|message| message.time);
            intake.append_all(messages).await;
            for (address, info) in settled {
                connection.accept(address, info).await?;
            }
            intake.lag(lag_behind(last.filter(|_| full)));
        }
    }
}

/// Connects and logs in, as nobody's subscription: that of a relay that runs is left alone.
pub(super) async fn check(settings: &AmqpSource) -> Result<(), Fault> {
    let settings = AmqpSource {
        durable: None,
        addresses: Vec::new(),
        ..settings.clone()
    };
    let within = settings.broker.connect_timeout.std();
    let opened = Connection::open(&settings, "check", "once");
    broker::in_time(within, opened).await.map(drop)
}

impl Source for Amqp {
    fn promise(&self) -> Promise {
        match self.settings.is_kept() {
            true => Promise::Acknowledged,
            false => Promise::Lossy,
        }
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }
}
