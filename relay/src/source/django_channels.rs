//! Groups of Django Channels, over the layers of `channels_redis` 3.3 and later.
//!
//! In the core layer the relay joins each group with a channel of its own. What is sent to the group then waits in the
//! relay's mailbox, a sorted set by time. All replicas have one mailbox: what came while another took over
//! is there. A message is taken out once the log has it; the random bytes before it recognise it when it
//! is read again.

mod decode;
mod fernet;
mod layout;
mod pub_sub;

use super::{DropReason, Fault, FaultReason, Intake, Lag, Message, Promise, Source, redis_server};
use crate::{
    clock::unix_millis,
    environment,
    redis::{Command, Primary, Redis, Reply, Session, Slot},
};
use bytes::Bytes;
use decode::{Decoder, Received};
use fernet::Keys;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use layout::Layout;
use relay_config::{ChannelsLayer, DjangoChannelsSource, EncryptionKey};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Messages that are handed over at once.
const COUNT: u32 = 256;
/// How long a question for a message waits for it; within the timeout of commands.
const BLOCK: Duration = Duration::from_secs(1);
/// How often the relay joins its groups anew. Python never does, and is deaf after a day.
const JOIN_EVERY: Duration = Duration::from_secs(60);
/// How often a full mailbox is told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The source.
pub struct DjangoChannels {
    settings: DjangoChannelsSource,
}

impl DjangoChannels {
    pub fn new(settings: DjangoChannelsSource) -> DjangoChannels {
        DjangoChannels { settings }
    }

    async fn pull(&self, intake: &Intake) -> Result<(), Fault> {
        let decoder = Decoder::new(&self.settings.mailbox, keys(&self.settings)?);
        match self.settings.layer {
            ChannelsLayer::Core => self.empty_mailbox(decoder, intake).await,
            ChannelsLayer::PubSub => pub_sub::listen(&self.settings, &decoder, intake).await,
        }
    }

    async fn empty_mailbox(&self, decoder: Decoder, intake: &Intake) -> Result<(), Fault> {
        let mut servers = Vec::with_capacity(self.settings.hosts.len());
        for host in &self.settings.hosts {
            let redis = redis_server::start(host)?;
            let primary = redis.primary(Slot::of(b""));
            let patience = host.connect_timeout.std();
            let session = primary.wait(patience).await?;
            servers.push(Server {
                session,
                _primary: primary,
                _redis: redis,
            });
        }
        let mut mailbox = Mailbox {
            settings: &self.settings,
            layout: Layout::of(&self.settings),
            decoder,
            servers,
            intake,
            told_full: None,
        };
        mailbox.join(Joining::First).await?;
        intake.connected();
        mailbox.read().await
    }
}

/// Connects to each host, and asks for the mailbox there, or listens for a moment to the groups.
pub(super) async fn check(settings: &DjangoChannelsSource) -> Result<(), Fault> {
    keys(settings)?;
    for (index, host) in settings.hosts.iter().enumerate() {
        let (redis, within) = (redis_server::start(host)?, host.connect_timeout.std());
        match settings.layer {
            ChannelsLayer::Core => {
                let session = redis.primary(Slot::of(b"")).wait(within).await?;
                let mailbox = Command::new("ZCARD").arg(&Layout::of(settings).mailbox);
                session.command(&mailbox).await?;
            }
            ChannelsLayer::PubSub => {
                let names = Layout::published_at(settings, index).into_iter();
                let names: Vec<String> = names.map(|(name, _)| name).collect();
                redis_server::hear(&redis, within, &names, &[]).await?;
            }
        }
    }
    Ok(())
}

impl Source for DjangoChannels {
    fn promise(&self) -> Promise {
        match self.settings.layer {
            ChannelsLayer::Core => Promise::Acknowledged,
            ChannelsLayer::PubSub => Promise::Lossy,
        }
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }
}

/// The keys, if messages are encrypted.
fn keys(settings: &DjangoChannelsSource) -> Result<Option<Keys>, Fault> {
    let read = |key: &EncryptionKey| match (&key.file, &key.variable) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| format!("cannot read the key in {path}: {error}")),
        (None, Some(name)) => environment::variable(name)
            .ok_or_else(|| format!("the variable {name}, which holds a key, is not set")),
        (None, None) => Err("a key has neither `file` nor `variable`".to_owned()),
    };
    let read = |key| read(key).map_err(|text| Fault::new(FaultReason::Credentials, text));
    let keys = settings.encryption_keys.iter().map(read);
    let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
    Ok((!keys.is_empty()).then(|| Keys::new(&keys)))
}

/// One of the layer's hosts.
struct Server {
    session: Arc<Session>,
    _primary: Primary,
    _redis: Redis,
}

/// Whether the relay was a member before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Joining {
    First,
    Again,
}

/// A message as it lies in a mailbox.
struct Lying {
    member: Bytes,
    /// Seconds since 1970, of the sender's clock.
    score: f64,
}

struct Mailbox<'m> {
    settings: &'m DjangoChannelsSource,
    layout: Layout,
    decoder: Decoder,
    servers: Vec<Server>,
    intake: &'m Intake,
    told_full: Option<Instant>,
}

impl Mailbox<'_> {
    fn session(&self) -> &Session {
        &self.servers[self.layout.mailbox_host].session
    }

    /// Joins all groups, as Python's `group_add` does.
    async fn join(&self, joining: Joining) -> Result<(), Fault> {
        let now = format!("{:.6}", unix_millis() as f64 / 1000.0);
        let seconds = self.settings.group_expiry.std().as_secs();
        for group in &self.layout.groups {
            let commands = [
                Command::new("ZADD")
                    .arg(&group.key)
                    .arg(&now)
                    .arg(&group.channel),
                Command::new("EXPIRE")
                    .arg(&group.key)
                    .arg(seconds.to_string()),
            ];
            let replies = self.servers[group.host].session.pipeline(&commands).await?;
            let mut added = false;
            for (index, reply) in replies.into_iter().enumerate() {
                let reply = reply?;
                added |= index == 0 && reply.integer() == Some(1);
            }
            if added && joining == Joining::Again {
                tracing::warn!(
                    event = "source.member_removed",
                    source = self.intake.source(),
                    group = group.name,
                    "the relay was no member of the group any more, and has joined it again: messages since \
                     then are lost. The layer was flushed, or its group_expiry is shorter than groupExpiry"
                );
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Fault> {
        let mut joined = Instant::now();
        let every = JOIN_EVERY.min(self.settings.group_expiry.std() / 3);
        let left =
            Command::new("ZRANGE")
                .arg(&self.layout.in_flight)
                .args(["0", "-1", "WITHSCORES"]);
        let left = lying(&self.session().command(&left).await?)?;
        self.take(left).await?;
        loop {
            if joined.elapsed() >= every {
                joined = Instant::now();
                self.join(Joining::Again).await?;
            }
            let first = Command::new("BZPOPMIN")
                .arg(&self.layout.mailbox)
                .arg(BLOCK.as_secs().to_string());
            let first = self.session().command(&first).await?;
            let messages = match first.list() {
                None | Some([]) => Vec::new(),
                Some([_key, member, score]) => {
                    let first = one(member, score)?;
                    self.and_what_follows(first).await?
                }
                Some(_) => return Err(strange()),
            };
            self.take(messages).await?;
        }
    }

    /// The message that was taken out goes where Python puts it meanwhile, so that it is found again.
    async fn and_what_follows(&mut self, first: Lying) -> Result<Vec<Lying>, Fault> {
        let seconds = self.settings.expiry.std().as_secs().max(1).to_string();
        let commands = [
            Command::new("ZADD")
                .arg(&self.layout.in_flight)
                .arg(first.score.to_string())
                .arg(&first.member),
            Command::new("EXPIRE")
                .arg(&self.layout.in_flight)
                .arg(seconds),
            Command::new("ZRANGE").arg(&self.layout.mailbox).args([
                "0",
                &(COUNT - 2).to_string(),
                "WITHSCORES",
            ]),
            Command::new("ZCARD").arg(&self.layout.mailbox),
        ];
        let mut messages = vec![first];
        let mut waiting = 0;
        let replies = self.session().pipeline(&commands).await?;
        for (index, reply) in replies.into_iter().enumerate() {
            let reply = reply?;
            match index {
                2 => messages.extend(lying(&reply)?),
                3 => waiting = reply.integer().unwrap_or_default(),
                _ => {}
            }
        }
        self.tell_if_full(waiting.unsigned_abs() + 1);
        self.intake.lag(Lag {
            age: age(messages[0].score),
            waiting: Some(waiting.unsigned_abs()),
        });
        Ok(messages)
    }

    fn tell_if_full(&mut self, waiting: u64) {
        let is_due = self
            .told_full
            .is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if waiting >= u64::from(self.settings.capacity) && is_due {
            self.told_full = Some(Instant::now());
            tracing::warn!(
                event = "source.mailbox_full",
                source = self.intake.source(),
                waiting,
                "the relay's mailbox is full, so the layer has thrown messages away; give it more room with \
                 channel_capacity in CHANNEL_LAYERS: {{\"{}*\": 10000}}",
                self.settings.mailbox
            );
        }
    }

    /// Hands messages over, and takes them out.
    async fn take(&mut self, lying: Vec<Lying>) -> Result<(), Fault> {
        if lying.is_empty() {
            self.intake.lag(Lag {
                age: Duration::ZERO,
                waiting: Some(0),
            });
            return Ok(());
        }
        let now = unix_millis() / 1000;
        let mut messages = Vec::with_capacity(lying.len());
        for one in &lying {
            match self.decoder.decode(&one.member, now, self.settings.expiry) {
                Ok(received) => messages.push(message(received, one.score)),
                Err(why) => {
                    self.intake.refuse(DropReason::Undecodable, why.to_string());
                }
            }
        }
        self.intake.append_all(messages).await;
        let remove = |key: &str| {
            Command::new("ZREM")
                .arg(key)
                .args(lying.iter().map(|one| &one.member))
        };
        let commands = [remove(&self.layout.mailbox), remove(&self.layout.in_flight)];
        for reply in self.session().pipeline(&commands).await? {
            reply?;
        }
        Ok(())
    }
}

fn message(received: Received, score: f64) -> Message {
    Message {
        origin: received.group,
        id: Some(received.id),
        kind: received.sent.kind,
        body: received.sent.body,
        attributes: Vec::new(),
        time: Timestamp::from_microsecond((score * 1e6) as i64).ok(),
    }
}

fn age(score: f64) -> Duration {
    let age = unix_millis() as f64 / 1000.0 - score;
    Duration::try_from_secs_f64(age.max(0.0)).unwrap_or_default()
}

fn strange() -> Fault {
    Fault::new(
        FaultReason::Protocol,
        "the server's answer has another shape than that of Redis",
    )
}

fn one(member: &Reply, score: &Reply) -> Result<Lying, Fault> {
    let score = score.text().and_then(|text| text.parse().ok());
    Ok(Lying {
        member: member.bytes().ok_or_else(strange)?.clone(),
        score: score.ok_or_else(strange)?,
    })
}

/// Members and scores, in turn.
fn lying(reply: &Reply) -> Result<Vec<Lying>, Fault> {
    let items = reply.list().ok_or_else(strange)?;
    let pairs = items.chunks_exact(2);
    pairs.map(|pair| one(&pair[0], &pair[1])).collect()
}
