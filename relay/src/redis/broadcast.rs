//! Plain channels and patterns (`SUBSCRIBE`, `PSUBSCRIBE`): what other programs publish, heard as long
//! as one connection lives. Nothing is repaired here: who listens knows what it missed from the end.

use super::{
    CommandError, ConnectError, Redis, Slot,
    connect::Connector,
    error::from_server,
    subscriber::opening::{self, Frames, Sink},
};
use ::redis::{PushKind, Value};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// How often a connection is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(1);
/// A server that says nothing at all for so long, although asked and listened to, is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// Which names are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Channel,
    Pattern,
}

/// What is heard.
#[derive(Clone, Debug)]
pub enum Heard {
    Message {
        /// The pattern that it was heard by, if it was not by the channel's own name.
        pattern: Option<Bytes>,
        channel: Bytes,
        payload: Bytes,
    },
    /// What is published there from here on is heard.
    Subscribed(Kind, Bytes),
    /// It is not heard any more.
    Unsubscribed(Kind, Bytes),
    /// The server refuses a name.
    Refused(Kind, String, CommandError),
    /// Nothing for a while: call [`Broadcast::sign_of_life`].
    Quiet,
    /// Of the connection itself.
    Nothing,
}

/// One connection that listens.
pub struct Broadcast {
    frames: Frames,
    sink: Sink,
    pings: Interval,
    /// When the first question since the last answer was asked, as far as the answer was waited for.
    asked: Option<Instant>,
    /// Names that were asked for and are not answered, each by a command of its own: so one that is
    /// refused concerns no other.
    sent: VecDeque<(Kind, String)>,
}

impl Redis {
    /// Connects to the node that owns a slot (in a cluster every node hears everything), within the
    /// time for a connection and this patience for somebody to own it.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn broadcast(
        &self,
        slot: Slot,
        patience: Duration,
    ) -> Result<Broadcast, ConnectError> {
        let address = timeout(patience, self.address(slot)).await;
        let address = address.map_err(|_| self.why_not(slot))?;
        let connector: &Connector = &self.shared.connector;
        let made = opening::hello(&address, connector);
        let (frames, sink, _) = connector.in_time(&address, made).await?;
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Broadcast {
            frames,
            sink,
            pings,
            asked: None,
            sent: VecDeque::new(),
        })
    }

    /// Waits until somebody owns the slot.
    async fn address(&self, slot: Slot) -> relay_config::RedisAddress {
        let mut map = self.shared.map.clone();
        loop {
            map.mark_unchanged();
            if let Ok(node) = self.owner(slot) {
                return node.address().clone();
            }
            if map.changed().await.is_err() {
                std::future::pending::<()>().await; // one server: its map is there from the start
            }
        }
    }

    fn why_not(&self, slot: Slot) -> ConnectError {
        match self.owner(slot) {
            Err(CommandError::NotSent(super::NotSent::NoConnection(why))) => (*why).clone(),
            _ => ConnectError::Unresponsive,
        }
    }
}

impl Broadcast {
    /// Asks for names; each is told once it is heard ([`Heard::Subscribed`]).
    pub async fn subscribe<N: AsRef<str>>(
        &mut self,
        kind: Kind,
        names: &[N],
    ) -> Result<(), ConnectError> {
        let word = match kind {
            Kind::Channel => "SUBSCRIBE",
            Kind::Pattern => "PSUBSCRIBE",
        };
        self.ask(word, kind, names).await
    }

    pub async fn unsubscribe<N: AsRef<str>>(
        &mut self,
        kind: Kind,
        names: &[N],
    ) -> Result<(), ConnectError> {
        let word = match kind {
            Kind::Channel => "UNSUBSCRIBE",
            Kind::Pattern => "PUNSUBSCRIBE",
        };
        self.ask(word, kind, names).await
    }

    async fn ask<N: AsRef<str>>(
        &mut self,
        word: &str,
        kind: Kind,
        names: &[N],
    ) -> Result<(), ConnectError> {
        for name in names {
            let name = name.as_ref();
            self.sent.push_back((kind, name.to_owned()));
            opening::send(&mut self.sink, &[word, name]).await?;
        }
        Ok(())
    }

    /// The next that is heard. Nothing is lost when it is dropped before it answers.
    pub async fn next(&mut self) -> Result<Heard, ConnectError> {
        tokio::select! {
            // what was heard comes first: only true silence counts as such
            biased;
            frame = self.frames.next() => self.heard(frame),
            _ = self.pings.tick() => match self.asked {
                Some(asked) if asked.elapsed() > SILENCE => Err(ConnectError::Unresponsive),
                _ => Ok(Heard::Quiet),
            },
        }
    }

    /// What was heard already.
    pub fn ready(&mut self) -> Option<Result<Heard, ConnectError>> {
        let frame = self.frames.next().now_or_never()?;
        Some(self.heard(frame))
    }

    /// Asks the server whether it is there.
    pub async fn sign_of_life(&mut self) -> Result<(), ConnectError> {
        self.asked.get_or_insert_with(Instant::now);
        opening::send(&mut self.sink, &["PING"]).await
    }

    fn heard(
        &mut self,
        frame: Option<Result<Value, ::redis::RedisError>>,
    ) -> Result<Heard, ConnectError> {
        self.asked = None;
        match frame {
            Some(Ok(Value::ServerError(error))) => {
                let why = from_server(error.code(), error.details());
                match self.sent.pop_front() {
                    Some((kind, name)) => Ok(Heard::Refused(kind, name, why)),
                    None => Err(ConnectError::Protocol(why.to_string().into())),
                }
            }
            Some(Ok(value)) => Ok(self.understood(value)),
            Some(Err(error)) => Err(opening::ended(&error)),
            None => Err(ConnectError::Closed),
        }
    }

    fn understood(&mut self, value: Value) -> Heard {
        let Value::Push { kind, data } = value else {
            return Heard::Nothing; // PONG
        };
        let mut texts = data.into_iter().map(|value| match value {
            Value::BulkString(bytes) => Bytes::from(bytes),
            Value::SimpleString(text) => Bytes::from(text),
            _ => Bytes::new(),
        });
        let mut next = || texts.next().unwrap_or_default();
        match kind {
            PushKind::Message => Heard::Message {
                pattern: None,
                channel: next(),
                payload: next(),
            },
            PushKind::PMessage => Heard::Message {
                pattern: Some(next()),
                channel: next(),
                payload: next(),
            },
            PushKind::Subscribe => {
                let name = next();
                self.answered(Heard::Subscribed(Kind::Channel, name))
            }
            PushKind::PSubscribe => {
                let name = next();
                self.answered(Heard::Subscribed(Kind::Pattern, name))
            }
            PushKind::Unsubscribe => {
                let name = next();
                self.answered(Heard::Unsubscribed(Kind::Channel, name))
            }
            PushKind::PUnsubscribe => {
                let name = next();
                self.answered(Heard::Unsubscribed(Kind::Pattern, name))
            }
            _ => Heard::Nothing,
        }
    }

    fn answered(&mut self, heard: Heard) -> Heard {
        self.sent.pop_front();
        heard
    }
}
