//! Topics and queues over STOMP 1.1 and 1.2: ActiveMQ, Artemis and whoever else speaks it. The client
//! is ours (decision 0042): [`codec`] is all that reads what a broker sends.

mod codec;
mod escape;
mod frame;
mod message;
mod negotiation;
mod session;

use super::{
    Fault, FaultReason, Intake, Promise, Source,
    broker::{Login, dial, lag_behind},
};
use futures_util::future::BoxFuture;
use message::Read;
use relay_config::{BrokerProtocol, StompSource};
use session::Session;
use tokio::time::timeout;

/// Destinations of a broker, and who the relay is to it.
pub(super) struct Stomp {
    settings: StompSource,
}

impl Stomp {
    pub(super) fn new(settings: StompSource) -> Stomp {
        Stomp { settings }
    }

    async fn pull(&self, intake: &Intake) -> Result<(), Fault> {
        let within = self.settings.broker.connect_timeout.std();
        let mut session = timeout(within, self.open()).await.map_err(|_| {
            let text = "the broker does not answer within `broker.connectTimeout`";
            Fault::new(FaultReason::Unreachable, text)
        })??;
        intake.connected();
        loop {
            let frames = session.receive(self.settings.prefetch.into()).await?;
            let full = frames.len() >= self.settings.prefetch.into();
            let (mut messages, mut tickets) = (Vec::new(), Vec::new());
            for frame in frames {
                let Read { message, ticket } = session.read(frame, &self.settings.destinations)?;
                tickets.push(ticket);
                match message {
                    Ok(message) => messages.push(message),
                    Err((reason, detail)) => {
                        intake.refuse(reason, detail);
                    }
                }
            }
            let last = messages.last().and_then(|message| message.time);
            session.beat_while(intake.append_all(messages)).await?;
            session.acknowledge(tickets).await?;
            intake.lag(lag_behind(last.filter(|_| full)));
        }
    }

    async fn open(&self) -> Result<Session, Fault> {
        let settings = &self.settings;
        let address = settings
            .broker
            .address(BrokerProtocol::Stomp)
            .map_err(|text| Fault::new(FaultReason::Settings, text))?;
        let login = match &settings.broker.credentials {
            Some(credentials) => Some(Login::read(credentials).await?),
            None => None,
        };
        let wire = dial(&address).await?;
        let mut session = Session::open(wire, settings, &address.host, login.as_ref()).await?;
        session.subscribe(settings).await?;
        Ok(session)
    }
}

impl Source for Stomp {
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
