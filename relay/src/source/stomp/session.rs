//! One connection: agreed on, subscribed, and kept alive.

use super::{
    codec::{Beat, Codec, FrameError},
    frame::{Body, Frame, Request, Verb, Version, Word},
    message::{self, Read, Ticket},
    negotiation::{Agreed, Brand, agree, offer},
};
use crate::source::{
    Fault, FaultReason,
    broker::{self, Login, MAX_MESSAGE, Quiet, Wire},
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use relay_config::{Routing, StompSource};
use std::{collections::VecDeque, io, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::codec::Framed;

/// Messages that may come before all subscriptions are confirmed.
const MAX_EARLY: usize = 20_000;
/// What a message takes where `prefetch` has to be said in bytes.
const BYTES_OF_A_MESSAGE: u32 = 1_024;
/// How long a broker may leave unread what is sent to it.
const WRITE_LIMIT: Duration = Duration::from_secs(20);

/// A connection to a broker.
pub(super) struct Session {
    framed: Framed<Quiet<Box<dyn Wire>>, Codec>,
    agreed: Agreed,
    next_beat: Option<Instant>,
    /// Messages that came while subscriptions were confirmed.
    early: VecDeque<Frame>,
}

impl Session {
    /// Says who we are. The caller bounds the time.
    pub(super) async fn open(
        wire: Box<dyn Wire>,
        settings: &StompSource,
        host: &str,
        login: Option<&Login>,
    ) -> Result<Session, Fault> {
        let heartbeat = settings.broker.heartbeat.std();
        let mut framed = Framed::new(Quiet::new(wire), Codec::new(MAX_MESSAGE));
        let durable = settings.durable.as_ref();
        let connect = Request::new(Verb::Connect)
            .header("accept-version", "1.1,1.2")
            .header("host", settings.virtual_host.as_deref().unwrap_or(host))
            .header("heart-beat", offer(heartbeat))
            .optional("client-id", durable.map(|durable| &*durable.client_id))
            .optional("login", login.map(|login| &*login.username))
            .optional("passcode", login.map(|login| &*login.password));
        framed.send(&connect).await.map_err(lost)?;
        let answer = match framed.next().await {
            Some(frame) => frame.map_err(broken)?,
            None => return Err(closed()),
        };
        match answer.word {
            Word::Connected => {}
            Word::Error => return Err(refused_at_the_door(&answer)),
            Word::Message | Word::Receipt => {
                let text = "the broker answers a CONNECT with something else";
                return Err(Fault::new(FaultReason::Protocol, text));
            }
        }
        let agreed = agree(&answer.headers, heartbeat)
            .map_err(|text| Fault::new(FaultReason::Settings, text))?;
        if let Some(beaten) = agreed.beaten {
            framed.get_mut().expect_every(beaten * 2);
        }
        Ok(Session {
            framed,
            agreed,
            next_beat: agreed.beat.map(|beat| Instant::now() + beat / 2),
            early: VecDeque::new(),
        })
    }

    /// Subscribes to all destinations, and waits until the broker has confirmed each.
    pub(super) async fn subscribe(&mut self, settings: &StompSource) -> Result<(), Fault> {
        for (number, destination) in settings.destinations.iter().enumerate() {
            let durable = settings.durable.as_ref().map(|durable| &*durable.name);
            let routing = settings.routing.map(|routing| match routing {
                Routing::Topic => "MULTICAST",
                Routing::Queue => "ANYCAST",
            });
            let (bound, most) = self.bound(settings.prefetch);
            let subscribe = Request::new(Verb::Subscribe)
                .header("id", number.to_string())
                .header("destination", destination)
                .header("ack", "client-individual")
                .header("receipt", number.to_string())
                .header(bound, most.to_string())
                // ActiveMQ
                .optional("activemq.subscriptionName", durable)
                // Artemis
                .optional("durable-subscription-name", durable)
                .optional("subscription-type", routing);
            self.send(&subscribe).await?;
        }
        let mut missing = settings.destinations.len();
        while missing > 0 {
            let frame = self.frame().await?;
            match frame.word {
                Word::Receipt => missing -= 1,
                _ if self.early.len() < MAX_EARLY => self.early.push_back(frame),
                _ => {
                    let text = "the broker sends messages and confirms no subscription";
                    return Err(Fault::new(FaultReason::Protocol, text));
                }
            }
        }
        Ok(())
    }

    /// How a broker is told how much may be under way. Artemis counts bytes, and takes ActiveMQ's
    /// number of messages for bytes, too.
    fn bound(&self, prefetch: u16) -> (&'static str, u32) {
        let prefetch = u32::from(prefetch);
        match self.agreed.broker {
            Brand::Artemis => ("consumer-window-size", prefetch * BYTES_OF_A_MESSAGE),
            Brand::Other => ("activemq.prefetchSize", prefetch),
        }
    }

    /// Waits for messages, and takes what has come, up to so many.
    pub(super) async fn receive(&mut self, most: usize) -> Result<Vec<Frame>, Fault> {
        let mut frames = Vec::new();
        while frames.is_empty() {
            let frame = match self.early.pop_front() {
                Some(frame) => frame,
                None => self.frame().await?,
            };
            frames.extend(Some(frame).filter(|frame| frame.word == Word::Message));
        }
        while frames.len() < most {
            let next = self.early.pop_front();
            let Some(frame) = next.map(Ok).or_else(|| self.frame().now_or_never()) else {
                break;
            };
            frames.extend(Some(frame?).filter(|frame| frame.word == Word::Message));
        }
        Ok(frames)
    }

    /// What a frame is, and how to acknowledge it.
    pub(super) fn read(&self, frame: Frame, destinations: &[String]) -> Result<Read, Fault> {
        message::read(frame, &self.agreed, destinations)
            .map_err(|text| Fault::new(FaultReason::Protocol, format!("the broker sent {text}")))
    }

    /// Says that messages are done with.
    pub(super) async fn acknowledge(&mut self, tickets: Vec<Ticket>) -> Result<(), Fault> {
        for ticket in tickets {
            let ack = Request::new(Verb::Ack);
            let ack = match (ticket, self.agreed.version) {
                (Ticket::Ack(id), _) => ack.header("id", id),
                (Ticket::Message { id, subscription }, Version::V1_1 | Version::V1_2) => ack
                    .header("message-id", id)
                    .header("subscription", subscription),
            };
            in_time(self.framed.feed(&ack)).await?;
        }
        in_time(SinkExt::<&Request>::flush(&mut self.framed)).await?;
        self.put_off_beat();
        Ok(())
    }

    /// Does something else meanwhile, and goes on saying that we are there.
    pub(super) async fn beat_while<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = due(self.next_beat) => self.beat().await?,
            }
        }
    }

    /// The next frame that is no error. May be dropped at any time.
    async fn frame(&mut self) -> Result<Frame, Fault> {
        loop {
            let frame = tokio::select! {
                frame = self.framed.next() => frame,
                () = due(self.next_beat) => {
                    self.beat().await?;
                    continue;
                }
            };
            let frame = frame.ok_or_else(closed)?.map_err(broken)?;
            return match frame.word {
                Word::Error => {
                    let text = format!("the broker says: {}", told(&frame));
                    Err(Fault::new(FaultReason::Refused, text))
                }
                _ => Ok(frame),
            };
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), Fault> {
        in_time(self.framed.send(request)).await?;
        self.put_off_beat();
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Fault> {
        self.put_off_beat();
        in_time(self.framed.send(Beat)).await
    }

    /// Twice as often as agreed, as both sides have their own clock and a way between them.
    fn put_off_beat(&mut self) {
        self.next_beat = self.agreed.beat.map(|beat| Instant::now() + beat / 2);
    }
}

async fn due(beat: Option<Instant>) {
    match beat {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn in_time(sent: impl Future<Output = io::Result<()>>) -> Result<(), Fault> {
    match timeout(WRITE_LIMIT, sent).await {
        Ok(sent) => sent.map_err(lost),
        Err(_) => {
            let text = "the broker reads nothing any more";
            Err(Fault::new(FaultReason::Unreachable, text))
        }
    }
}

fn closed() -> Fault {
    Fault::new(FaultReason::Closed, "the broker has closed the connection")
}

fn lost(error: io::Error) -> Fault {
    let reason = match error.kind() {
        io::ErrorKind::TimedOut => FaultReason::Unreachable,
        _ => FaultReason::Closed,
    };
    Fault::new(reason, error.to_string())
}

fn broken(error: FrameError) -> Fault {
    match error {
        FrameError::Io(error) => lost(error),
        FrameError::NotStomp(_) => Fault::new(FaultReason::Protocol, error.to_string()),
    }
}

/// Brokers have no code for it: what they say decides whether it is about the user.
fn refused_at_the_door(error: &Frame) -> Fault {
    let told = told(error);
    let lower = told.to_lowercase();
    let words = [
        "password",
        "credential",
        "authenticat",
        "security",
        "login",
        "not authorized",
    ];
    let reason = match words.iter().any(|word| lower.contains(word)) {
        true => FaultReason::Credentials,
        false => FaultReason::Refused,
    };
    Fault::new(reason, format!("the broker refuses the connection: {told}"))
}

fn told(error: &Frame) -> String {
    match (error.headers.get("message"), &error.body) {
        (Some(text), _) if !text.is_empty() => broker::told(text),
        (_, Body::Whole(body)) => broker::told(&String::from_utf8_lossy(body)),
        (_, Body::TooLong(_)) => String::new(),
    }
}
