//! What replicas of one log do together, besides the log (decision 0024): who lives, orders that
//! all of them carry out, and what all of them refuse.
//!
//! Each replica beats once a second: one script, whose answer is who else lives and whether something
//! was revoked. Orders go over shard channels, to all or to one replica, and are answered over the
//! channel of the one who asks. Nothing here grows with streams.

mod asks;
pub mod beating;
pub mod hearing;
pub mod keys;
pub mod known;
pub mod leasing;
pub mod message;
pub mod revoking;
pub mod roster;
pub mod scripts;
pub mod sharing;
pub mod ticketing;
pub mod vitals;

use crate::{
    control::held_tickets::HeldTickets,
    event_log::redis::gate::Gate,
    redis::{Command, CommandError, Events, NotSent, Primary, Redis, Slot, Subscriptions},
    stats::{AskOutcome, Stats},
};
use asks::Asks;
use keys::Keys;
use known::Known;
use message::{Answer, Order};
use parking_lot::{Mutex, RwLock};
use roster::{Pulse, Roster};
use scripts::FleetError;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout_at},
};
use vitals::Vitals;

/// How long the answer of a replica is waited for.
pub const ANSWER_TIME: Duration = Duration::from_millis(1500);
/// Orders of this process that wait for answers at once; more wait for their turn.
pub const MAX_ASKS: usize = 64;

/// This process among the replicas of its log.
pub struct Fleet {
    /// This replica.
    pub me: Box<str>,
    keys: Keys,
    primary: Primary,
    _subscriptions: Subscriptions,
    gate: Arc<Gate>,
    roster: RwLock<Roster>,
    asks: Asks,
    turns: Semaphore,
    known: Mutex<Known>,
    /// Rings when the next beat should not be waited for.
    hurry: Notify,
    tickets: AtomicU64,
    held: Mutex<HeldTickets>,
    stats: Arc<Stats>,
}

/// Why another replica's answer is not known.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// The order may have been sent, and carried out.
    #[error("the other replica did not answer in time")]
    Silent,
    /// It does not listen; the order was not heard.
    #[error("the other replica does not listen; nothing was done")]
    Nobody,
    /// It is of another release.
    #[error("the other replica cannot do it: {0}")]
    Refused(String),
    #[error("Redis: {0}")]
    Redis(#[from] FleetError),
}

/// What replicas answered to an order for all.
#[derive(Debug)]
pub struct Answers {
    pub answers: Vec<(Box<str>, Answer)>,
    /// Living replicas that did not answer in time, or did not understand.
    pub silent: Vec<Box<str>>,
}

impl Answers {
    /// Nobody but this replica was asked, although these live.
    fn none(others: Vec<Box<str>>) -> Answers {
        Answers {
            answers: Vec::new(),
            silent: others,
        }
    }
}

impl Fleet {
    /// Begins to listen to the others. Nothing is said until [`beating::run`].
    pub fn new(
        redis: &Redis,
        prefix: &str,
        me: &str,
        gate: Arc<Gate>,
        stats: Arc<Stats>,
    ) -> (Arc<Fleet>, Events) {
        let keys = Keys::new(prefix);
        let (subscriptions, events) = redis.subscriptions();
        subscriptions.want([keys.orders().into(), keys.replica(me).into()]);
        let fleet = Fleet {
            me: me.into(),
            primary: redis.primary(Slot::of(keys.state().as_bytes())),
            keys,
            _subscriptions: subscriptions,
            gate,
            roster: RwLock::default(),
            asks: Asks::default(),
            turns: Semaphore::new(MAX_ASKS),
            known: Mutex::default(),
            hurry: Notify::new(),
            tickets: AtomicU64::new(0),
            held: Mutex::default(),
            stats,
        };
        (Arc::new(fleet), events)
    }

    /// Who lives, as Redis last told.
    pub fn roster(&self) -> Roster {
        self.roster.read().clone()
    }

    /// Other replicas that live.
    pub fn others(&self) -> Vec<Box<str>> {
        self.roster.read().others(&self.me)
    }

    pub fn pulse(&self, replica: &str) -> Pulse {
        if *replica == *self.me {
            return Pulse::Alive;
        }
        self.roster.read().pulse(replica)
    }

    /// Tickets that are kept for all replicas, as Redis last told.
    pub fn count_tickets(&self) -> usize {
        self.tickets.load(Ordering::Relaxed) as usize
    }

    /// Whether what this replica knows of revocations is of now.
    pub fn is_current(&self) -> bool {
        self.gate.is_open()
    }

    /// Gives an order to one other replica, and waits for its answer.
    ///
    /// # Errors
    /// Unless the answer came in time.
    pub async fn ask(&self, replica: &str, order: &Order) -> Result<Answer, Unreached> {
        let deadline = Instant::now() + ANSWER_TIME;
        let _turn = self.turn(deadline).await.ok_or_else(busy)?;
        let mut ask = self.asks.begin();
        let message = message::order(&self.me, ask.number, order);
        let heard = self.send(&self.keys.replica(replica), &message).await?;
        if heard == 0 {
            self.count(AskOutcome::Unanswered, 1);
            return Err(Unreached::Nobody);
        }
        match timeout_at(deadline, ask.next()).await.ok() {
            Some((_, Answer::Refused(why))) => Err(Unreached::Refused(why)),
            Some((_, answer)) => {
                self.count(AskOutcome::Answered, 1);
                Ok(answer)
            }
            None => {
                self.count(AskOutcome::Unanswered, 1);
                Err(Unreached::Silent)
            }
        }
    }

    /// Gives an order to all other replicas, and waits for their answers.
    pub async fn ask_all(&self, order: &Order) -> Answers {
        let deadline = Instant::now() + ANSWER_TIME;
        let Some(_turn) = self.turn(deadline).await else {
            return Answers::none(self.others());
        };
        let mut ask = self.asks.begin();
        let message = message::order(&self.me, ask.number, order);
        match self.order(&message).await {
            Ok(roster) => {
                self.gather(&mut ask, roster.others(&self.me), deadline)
                    .await
            }
            Err(error) => {
                tracing::debug!(event = "fleet.unreached", %error, "an order was not sent");
                Answers::none(self.others())
            }
        }
    }

    async fn gather(
        &self,
        ask: &mut asks::Ask<'_>,
        others: Vec<Box<str>>,
        deadline: Instant,
    ) -> Answers {
        let mut waiting: BTreeSet<Box<str>> = others.into_iter().collect();
        let mut answers = Vec::new();
        let mut silent = Vec::new();
        while !waiting.is_empty() {
            let Ok((from, answer)) = timeout_at(deadline, ask.next()).await else {
                break;
            };
            let Some(from) = waiting.take(&*from) else {
                continue; // not one of those that lived then
            };
            match answer {
                Answer::Refused(why) => {
                    tracing::warn!(event = "fleet.refused", replica = %from, "another replica cannot carry out an order: {why}");
                    silent.push(from);
                }
                answer => answers.push((from, answer)),
            }
        }
        silent.extend(waiting);
        self.count(AskOutcome::Answered, answers.len());
        self.count(AskOutcome::Unanswered, silent.len());
        Answers { answers, silent }
    }

    fn count(&self, outcome: AskOutcome, replicas: usize) {
        self.stats.fleet_asks.of(outcome).add(replicas as u64);
    }

    async fn turn(&self, deadline: Instant) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let turn = timeout_at(deadline, self.turns.acquire()).await.ok()?;
        Some(turn.expect("it is never closed"))
    }

    /// Sends a message on a shard channel; how many heard it.
    async fn send(&self, channel: &str, message: &[u8]) -> Result<u64, FleetError> {
        let publish = Command::new("SPUBLISH").arg(channel).arg(message);
        let heard = self.primary.session()?.command(&publish).await?;
        scripts::number(&heard)
    }

    /// Sends an order to all, and tells who they are.
    async fn order(&self, message: &[u8]) -> Result<Roster, FleetError> {
        let (replicas, orders) = (self.keys.replicas(), self.keys.orders());
        let args = [orders.as_bytes(), message];
        let reply = self
            .primary
            .script(&scripts::ORDER, &[replicas.as_bytes()], &args)
            .await?;
        scripts::ordered(&reply)
    }

    /// What each living replica last said of itself, and how long ago, in the order of their ids.
    ///
    /// # Errors
    /// When Redis does not tell.
    pub async fn vitals(&self) -> Result<Vec<(Box<str>, Duration, Vitals)>, FleetError> {
        let roster = self.roster();
        let ids: Vec<(Box<str>, Duration)> = roster
            .living()
            .map(|(id, silence)| (id.into(), silence))
            .collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let read = Command::new("HMGET")
            .arg(self.keys.vitals())
            .args(ids.iter().map(|(id, _)| id.as_bytes()));
        let reply = self.primary.session()?.command(&read).await?;
        let texts = reply.list().ok_or(FleetError::Strange)?;
        let told = ids
            .into_iter()
            .zip(texts)
            .filter_map(|((id, silence), text)| Some((id, silence, Vitals::parse(text.text()?))));
        Ok(told.collect())
    }
}

/// As many orders wait as may.
fn busy() -> Unreached {
    Unreached::Redis(FleetError::Command(CommandError::NotSent(NotSent::Busy)))
}
