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
    broker::{self, Login, dial, lag_behind},
};
use futures_util::future::BoxFuture;
use message::Read;
use relay_config::{BrokerProtocol, StompSource};
use session::Session;

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
        let subscribed = async {
            let mut session = self.open().await?;
            session.subscribe(&self.settings).await?;
            Ok(session)
        };
        let mut session = broker::in_time(within, subscribed).await?;
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

    /// Connects and logs in.
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
        Session::open(wire, settings, &address.host, login.as_ref()).await
    }
}

/// Connects and logs in, as nobody's subscription: that of a relay that runs is left alone.
pub(super) async fn check(settings: &StompSource) -> Result<(), Fault> {
    let settings = StompSource {
        durable: None,
        ..settings.clone()
    };
    let within = settings.broker.connect_timeout.std();
    let source = Stomp::new(settings);
    broker::in_time(within, source.open()).await.map(drop)
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
