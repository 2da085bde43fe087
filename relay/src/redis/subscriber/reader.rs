//! The connection to one node that is subscribed.

use super::{
    Closed, Event, Outlet,
    holding::{Batch, Grouping, Holding, Step},
    opening::{Frames, Sink, ended, hello, send},
    share::Share,
};
use crate::redis::{
    CommandError, ConnectError, connect::Connector, info::ServerMode, login::Login, node::pause,
};
use ::redis::{RedisError, Value};
use futures_util::{FutureExt, StreamExt};
use relay_config::RedisAddress;
use std::{collections::VecDeque, mem, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// How often a connection is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_millis(500);
/// A server that says nothing at all for so long, although asked, is given up.
const SILENCE: Duration = Duration::from_millis(1_500);
/// Confirmations that may wait while more is heard.
const NEWS: usize = 1_000;
/// When a channel whose slot has moved, or whose node is not ready, is tried again here.
const RETRY_SOON: Duration = Duration::from_millis(200);
/// When a channel that the server refuses is tried again.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// A frame, an error, or the end.
type Heard = Option<Result<Value, RedisError>>;

/// Connects while there is something to subscribe to, until it is aborted or the consumer is gone.
pub(super) async fn run(
    address: RedisAddress,
    connector: Arc<Connector>,
    share: Arc<Share>,
    outlet: Outlet,
) {
    let mut failures = 0;
    loop {
        while share.is_empty() {
            share.rung().await;
        }
        let why = match open(&address, &connector).await {
            Ok(connection) => {
                failures = 0;
                match serve(connection, &connector, &share, &outlet).await {
                    Ok(why) => Arc::new(why),
                    Err(Closed) => return,
                }
            }
            Err(why) => Arc::new(why),
        };
        if failures == 0 {
            tracing::warn!(%address, reason = why.reason(), "no subscriptions at Redis: {why}");
        }
        connector.trouble.notify_one();
        sleep(pause(failures, rand::random())).await;
        failures += 1;
    }
}

struct Connection {
    frames: Frames,
    sink: Sink,
    login: Login,
    holding: Holding,
    /// Confirmed, but the consumer was not told yet.
    news: Vec<Arc<str>>,
    later: VecDeque<(Instant, Vec<Arc<str>>)>,
    /// When the first question since the last answer was asked.
    asked: Option<Instant>,
}

/// Within `redis.connectTimeout`.
async fn open(address: &RedisAddress, connector: &Connector) -> Result<Connection, ConnectError> {
    let (frames, sink, login) = connector
        .in_time(address, hello(address, connector))
        .await?;
    let grouping = match connector.expected {
        ServerMode::Cluster => Grouping::BySlot,
        ServerMode::Single => Grouping::Any,
    };
    Ok(Connection {
        frames,
        sink,
        login,
        holding: Holding::new(grouping),
        news: Vec::new(),
        later: VecDeque::new(),
        asked: None,
    })
}

/// Until the connection ends; tells what that interrupted.
async fn serve(
    mut connection: Connection,
    connector: &Connector,
    share: &Share,
    outlet: &Outlet,
) -> Result<ConnectError, Closed> {
    connection.holding.look_at(share.begin());
    let why = connection.serve(connector, share, outlet).await?;
    share.pause();
    // What moved to another node meanwhile is that node's to tell of.
    let mut channels = connection.holding.confirmed();
    channels.retain(|channel| share.wants(channel));
    outlet.interrupted(channels, Arc::new(why.clone())).await?;
    Ok(why)
}

impl Connection {
    async fn serve(
        &mut self,
        connector: &Connector,
        share: &Share,
        outlet: &Outlet,
    ) -> Result<ConnectError, Closed> {
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(why) = self.send_due(share).await {
                return Ok(why);
            }
            // Confirmations are told together, once nothing more is heard for the moment.
            let heard = match self.news.len() {
                1..NEWS => self.frames.next().now_or_never(),
                _ => None,
            };
            if heard.is_none() {
                self.tell(outlet).await?;
            }
            let retry = self.later.front().map(|(when, _)| *when);
            tokio::select! {
                // What was heard comes first: only true silence counts as such.
                biased;
                frame = self.hear(heard) => match frame {
                    Ok(value) => {
                        self.asked = None;
                        let step = self.holding.answer(value);
                        if let Some(why) = self.take(step, connector, share, outlet).await? {
                            return Ok(why);
                        }
                    }
                    Err(why) => return Ok(why),
                },
                () = share.rung() => {
                    self.holding.look_at(share.changes());
                    let mut doubted = share.doubted();
                    doubted.retain(|channel| self.holding.is_confirmed(channel));
                    self.news.extend(doubted);
                }
                _ = pings.tick() => {
                    if self.asked.is_some_and(|asked| asked.elapsed() > SILENCE) {
                        return Ok(ConnectError::Unresponsive);
                    }
                    if let Err(why) = self.sign_of_life(connector).await {
                        return Ok(why);
                    }
                }
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                    if let Some((_, channels)) = self.later.pop_front() {
                        self.holding.look_at(channels);
                    }
                }
            }
        }
    }

    async fn send_due(&mut self, share: &Share) -> Result<(), ConnectError> {
        while let Some(batch) = self.holding.next(|channel| share.wants(channel)) {
            let (name, channels) = match &batch {
                Batch::Subscribe(channels) => ("SSUBSCRIBE", channels),
                Batch::Unsubscribe(channels) => ("SUNSUBSCRIBE", channels),
            };
            let mut words = Vec::with_capacity(channels.len() + 1);
            words.push(name);
            words.extend(channels.iter().map(|channel| &**channel));
            send(&mut self.sink, &words).await?;
        }
        Ok(())
    }

    /// Also gives the connection a password that was rotated.
    async fn sign_of_life(&mut self, connector: &Connector) -> Result<(), ConnectError> {
        self.asked.get_or_insert_with(Instant::now);
        self.holding.pinged();
        send(&mut self.sink, &["PING"]).await?;
        let Ok(now) = connector.login().await else {
            // A file that is just being replaced is read again with the next.
            return Ok(());
        };
        if now == self.login {
            return Ok(());
        }
        self.login = now;
        if let Some(arguments) = self.login.arguments() {
            self.holding.authenticated();
            let mut words = vec!["AUTH"];
            words.extend(arguments);
            send(&mut self.sink, &words).await?;
        }
        Ok(())
    }

    /// What an answer means for the consumer; Some if the connection cannot go on.
    async fn take(
        &mut self,
        step: Step,
        connector: &Connector,
        share: &Share,
        outlet: &Outlet,
    ) -> Result<Option<ConnectError>, Closed> {
        // A message of a channel never overtakes its confirmation.
        if let Step::Confirmed(channel) = step {
            self.news.push(channel);
            return Ok(None);
        }
        self.tell(outlet).await?;
        match step {
            Step::Nothing | Step::Confirmed(_) => {}
            Step::Message { channel, payload } => outlet.message(channel, payload).await?,
            Step::Lost(channel) => {
                connector.trouble.notify_one();
                if share.wants(&channel) {
                    let why = Arc::new(ConnectError::Moved);
                    outlet.interrupted(vec![channel], why).await?;
                }
            }
            Step::Refused { channels, why } => {
                self.refused(channels, why, connector, outlet).await?;
            }
            Step::LoginRefused(why) => {
                tracing::warn!(
                    reason = why.reason(),
                    "Redis refuses the new password; the connection keeps the old one: {why}"
                );
            }
            Step::Broken(text) => return Ok(Some(ConnectError::Protocol(text))),
        }
        Ok(None)
    }

    async fn hear(&mut self, heard: Option<Heard>) -> Result<Value, ConnectError> {
        let heard = match heard {
            Some(heard) => heard,
            None => self.frames.next().await,
        };
        match heard {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(ended(&error)),
            None => Err(ConnectError::Closed),
        }
    }

    /// Confirmations go out before whatever follows them.
    async fn tell(&mut self, outlet: &Outlet) -> Result<(), Closed> {
        if self.news.is_empty() {
            return Ok(());
        }
        outlet
            .send(Event::Confirmed(mem::take(&mut self.news)))
            .await
    }

    /// It is tried again; the map of nodes is asked for if that may help.
    async fn refused(
        &mut self,
        channels: Vec<Arc<str>>,
        why: CommandError,
        connector: &Connector,
        outlet: &Outlet,
    ) -> Result<(), Closed> {
        if matches!(why, CommandError::NotExecuted { .. }) {
            connector.trouble.notify_one();
            self.later
                .push_back((Instant::now() + RETRY_SOON, channels));
            return Ok(());
        }
        tracing::warn!(reason = why.reason(), "Redis refuses a subscription: {why}");
        self.later
            .push_back((Instant::now() + RETRY_LATER, channels.clone()));
        outlet.send(Event::Refused { channels, why }).await
    }
}
