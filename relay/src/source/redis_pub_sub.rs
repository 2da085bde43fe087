//! Redis Pub/Sub: what is published to channels, patterns, or the channels that streams want.
//!
//! Lossy by nature: Redis forgets a message once it is sent. What comes while nobody listens is lost,
//! and so is what waits at a connection that Redis gives up.

use super::{
    DropReason, Fault, Intake, Message, Promise, Source, demand::Demand, glob, redis_server,
};
use crate::redis::{Broadcast, Heard, HeardKind as Kind, Slot};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use relay_config::RedisPubSubSource;
use std::collections::BTreeSet;

/// Messages that are handed over at once.
const MOST: usize = 256;

/// The source.
pub struct RedisPubSub {
    settings: RedisPubSubSource,
}

/// What was heard and is handed over together, and what streams want of it.
struct Listening<'l> {
    settings: &'l RedisPubSubSource,
    intake: &'l Intake,
    wire: Broadcast,
    /// Fixed names that are not confirmed yet.
    missing: usize,
    /// Channels that were asked for because streams want them.
    wanted: BTreeSet<String>,
    /// Those of them that Redis has confirmed.
    confirmed: BTreeSet<String>,
    /// What streams want may be other than that.
    stale: bool,
}

impl RedisPubSub {
    pub fn new(settings: RedisPubSubSource) -> RedisPubSub {
        RedisPubSub { settings }
    }

    async fn pull(&self, intake: &Intake) -> Result<(), Fault> {
        let redis = redis_server::start(&self.settings.redis)?;
        let patience = self.settings.redis.connect_timeout.std();
        let wire = redis.broadcast(Slot::of(b""), patience).await;
        let wire = wire.map_err(|error| Fault::from(&error))?;
        let mut listening = Listening {
            settings: &self.settings,
            intake,
            wire,
            missing: self.settings.channels.len() + self.settings.patterns.len(),
            wanted: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            stale: true,
        };
        listening.listen().await
    }
}

/// Connects, and listens for a moment to what is named.
pub(super) async fn check(settings: &RedisPubSubSource) -> Result<(), Fault> {
    let redis = redis_server::start(&settings.redis)?;
    let within = settings.redis.connect_timeout.std();
    redis_server::hear(&redis, within, &settings.channels, &settings.patterns).await
}

impl Source for RedisPubSub {
    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }
}

impl Listening<'_> {
    async fn listen(&mut self) -> Result<(), Fault> {
        let settings = self.settings;
        let wrong = |error| Fault::from(&error);
        let wire = &mut self.wire;
        wire.subscribe(Kind::Channel, &settings.channels)
            .await
            .map_err(wrong)?;
        wire.subscribe(Kind::Pattern, &settings.patterns)
            .await
            .map_err(wrong)?;
        if self.missing == 0 {
            self.intake.connected();
        }
        let demand = self.intake.demand();
        let mut changes = demand.map(Demand::changes);
        loop {
            if let Some(demand) = demand.filter(|_| self.stale) {
                self.stale = false;
                self.want(demand.channels()).await?;
            }
            let heard = tokio::select! {
                heard = self.wire.next() => heard.map_err(wrong)?,
                () = async {
                    match &mut changes {
                        Some(changes) => changes.next().await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.stale = true;
                    continue;
                }
            };
            let mut messages = Vec::new();
            self.take(heard, &mut messages).await?;
            while messages.len() < MOST
                && let Some(heard) = self.wire.ready()
            {
                let heard = heard.map_err(wrong)?;
                self.take(heard, &mut messages).await?;
            }
            self.intake.append_all(messages).await;
        }
    }

    /// Asks for what streams want by now, and for no more.
    async fn want(&mut self, channels: BTreeSet<String>) -> Result<(), Fault> {
        // what is listened to anyway needs no subscription of its own
        let (fixed, wanted): (BTreeSet<_>, BTreeSet<_>) = channels
            .into_iter()
            .partition(|channel| self.settings.channels.contains(channel));
        if let Some(demand) = self.intake.demand().filter(|_| self.missing == 0) {
            demand.heard(fixed.iter().map(String::as_str));
        }
        let begin: Vec<&String> = wanted.difference(&self.wanted).collect();
        let end: Vec<&String> = self.wanted.difference(&wanted).collect();
        let wrong = |error| Fault::from(&error);
        self.wire
            .subscribe(Kind::Channel, &begin)
            .await
            .map_err(wrong)?;
        self.wire
            .unsubscribe(Kind::Channel, &end)
            .await
            .map_err(wrong)?;
        self.confirmed.retain(|channel| wanted.contains(channel));
        self.wanted = wanted;
        if let Some(demand) = self.intake.demand() {
            demand.heard(self.confirmed.iter().map(String::as_str));
        }
        Ok(())
    }

    async fn take(&mut self, heard: Heard, messages: &mut Vec<Message>) -> Result<(), Fault> {
        match heard {
            Heard::Message {
                pattern,
                channel,
                payload,
            } => {
                if !self.is_again(pattern.as_deref(), &channel) {
                    match message(&channel, &payload) {
                        Some(message) => messages.push(message),
                        None => {
                            let why = "it or the name of its channel is no UTF-8";
                            self.intake.refuse(DropReason::NotText, why);
                        }
                    }
                }
            }
            Heard::Subscribed(kind, name) => self.subscribed(kind, &name),
            Heard::Refused(kind, name, why) => {
                let is_wanted = kind == Kind::Channel && !self.settings.channels.contains(&name);
                match self.intake.demand().filter(|_| is_wanted) {
                    // whoever asked is not answered; the others are not concerned
                    Some(demand) => demand.refused(&name, "Redis does not allow it"),
                    None => return Err(why.into()),
                }
            }
            Heard::Quiet => {
                let asked = self.wire.sign_of_life().await;
                asked.map_err(|error| Fault::from(&error))?;
            }
            Heard::Unsubscribed(..) | Heard::Nothing => {}
        }
        Ok(())
    }

    fn subscribed(&mut self, kind: Kind, name: &Bytes) {
        let name = String::from_utf8_lossy(name);
        let fixed = match kind {
            Kind::Channel => &self.settings.channels,
            Kind::Pattern => &self.settings.patterns,
        };
        if fixed.iter().any(|fixed| *fixed == name) {
            self.missing = self.missing.saturating_sub(1);
            if self.missing == 0 {
                self.intake.connected();
                self.stale = true; // streams may want what is heard now
            }
        } else if let Some(demand) = self.intake.demand() {
            demand.heard([&*name]);
            if self.wanted.contains(&*name) {
                self.confirmed.insert(name.into_owned());
            }
        }
    }

    /// Redis sends a message once for each subscription that it fits. The first counts: the channel's
    /// own, then the patterns in their order.
    fn is_again(&self, pattern: Option<&[u8]>, channel: &[u8]) -> bool {
        let Some(pattern) = pattern else {
            return false;
        };
        let earlier = self.settings.patterns.iter();
        let mut earlier = earlier.take_while(|earlier| earlier.as_bytes() != pattern);
        let mut names = self.settings.channels.iter().chain(&self.wanted);
        names.any(|name| name.as_bytes() == channel)
            || earlier.any(|earlier| glob::matches(earlier.as_bytes(), channel))
    }
}

fn message(channel: &[u8], payload: &[u8]) -> Option<Message> {
    Some(Message {
        origin: std::str::from_utf8(channel).ok()?.to_owned(),
        body: std::str::from_utf8(payload).ok()?.to_owned(),
        ..Message::default()
    })
}
