//! One partition's store on a server of its own, with a clock that stands still unless it is set.

use crate::servers::{LIMIT, Server};
use sse_relay::{
    channel::ChannelName,
    cursor::{CLOCK_START, Epoch, EventId, Partition, Predecessor},
    event::Event,
    event_log::{
        Fence, IdempotencyKey, Retention,
        redis::{
            entry::{Part, encode_event, parse_stored, parse_stream_id},
            keys::Keys,
            options::{RedisOptions, Time},
            scripts::{Answer, Outcome},
            store::{Attempt, Batch, Portion, Store, StoreError},
        },
    },
    partition::Partitioning,
    redis::{Command, Redis, Session},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub const UNLIMITED: Retention = Retention {
    events: usize::MAX,
    age: Duration::MAX,
    bytes: usize::MAX,
};

pub struct Fixture {
    pub server: Server,
    pub redis: Redis,
    pub store: Store,
    pub options: RedisOptions,
    clock: Arc<AtomicU64>,
}

impl Fixture {
    pub async fn new(retention: Retention) -> Fixture {
        Fixture::with(Server::start(), retention, |_| {}).await
    }

    pub async fn with(
        server: Server,
        retention: Retention,
        change: impl FnOnce(&mut RedisOptions),
    ) -> Fixture {
        let settings = relay_config::Redis {
            url: Some(server.url()),
            ..relay_config::Redis::default()
        };
        let redis = Redis::start(&settings).unwrap();
        let clock = Arc::new(AtomicU64::new(CLOCK_START + 200_000_000_000));
        let now = clock.clone();
        let mut options = RedisOptions {
            prefix: "test".into(),
            partitioning: Partitioning::SINGLE,
            retention: Arc::new(move |_| retention),
            longest_age: retention.age,
            max_channels: 1000,
            idempotency_window: Duration::from_secs(300),
            max_idempotency_keys: 1000,
            ring_bytes: 0,
            canary: None,
            replicas: None,
            publish_window: Duration::ZERO,
            time: Time::Given(Arc::new(move || now.load(Ordering::SeqCst))),
        };
        change(&mut options);
        let store = Store::new(&redis, Partition::ONLY, Arc::new(options.clone()));
        store.primary().wait(LIMIT).await.unwrap();
        Fixture {
            server,
            redis,
            store,
            options,
            clock,
        }
    }

    /// Another relay's view of the same log.
    pub fn other_store(&self, change: impl FnOnce(&mut RedisOptions)) -> Store {
        let mut options = self.options.clone();
        change(&mut options);
        Store::new(&self.redis, Partition::ONLY, Arc::new(options))
    }

    pub async fn session(&self) -> Arc<Session> {
        self.store.primary().wait(LIMIT).await.unwrap()
    }

    pub fn forward(&self, by: Duration) {
        self.clock
            .fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub fn back(&self, by: Duration) {
        self.clock
            .fetch_sub(by.as_millis() as u64, Ordering::SeqCst);
    }

    /// Sends a batch of one portion.
    pub async fn send(&self, batch: &Batch, attempt: Attempt) -> Result<Outcome, StoreError> {
        Ok(only(self.send_all(batch, attempt).await?))
    }

    pub async fn send_all(&self, batch: &Batch, attempt: Attempt) -> Result<Answer, StoreError> {
        self.call(std::slice::from_ref(batch), attempt).await
    }

    /// One call with several batches.
    pub async fn call(&self, batches: &[Batch], attempt: Attempt) -> Result<Answer, StoreError> {
        let session = self.session().await;
        self.store
            .append(&session, batches, attempt, epoch(1))
            .await
    }

    /// Appends texts; the ids of the first and the last.
    pub async fn append(&self, channel: &str, texts: &[&str]) -> (EventId, EventId) {
        appended(
            &self
                .send(&batch(channel, texts), Attempt::First)
                .await
                .unwrap(),
        )
    }

    pub async fn command(&self, name: &str, args: &[&str]) -> sse_relay::redis::Reply {
        let command = Command::new(name).args(args);
        let mut replies = self.session().await.pipeline(&[command]).await.unwrap();
        replies.remove(0).unwrap()
    }

    /// Ids and predecessors of what a channel's stream holds.
    pub async fn stream(&self, channel: &str) -> Vec<(EventId, Predecessor)> {
        let reply = self
            .command("XRANGE", &[&keys().stream(channel), "-", "+"])
            .await;
        let entries = reply.list().unwrap().iter().map(|item| {
            let [id, fields] = item.list().unwrap() else {
                panic!("{item:?}");
            };
            let id = parse_stream_id(id.bytes().unwrap());
            let field = fields.list().unwrap()[1].bytes().unwrap().clone();
            (id.unwrap(), parse_stored(&field).unwrap().predecessor)
        });
        entries.collect()
    }

    pub async fn ids(&self, channel: &str) -> Vec<u64> {
        let stream = self.stream(channel).await;
        stream.into_iter().map(|(id, _)| id.get()).collect()
    }
}

pub fn epoch(number: u32) -> Epoch {
    Epoch::from_random(number)
}

pub fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

pub fn batch(channel: &str, texts: &[&str]) -> Batch {
    Batch {
        channel: name(channel),
        portions: vec![portion(texts)],
        ends: false,
    }
}

pub fn portion(texts: &[&str]) -> Portion {
    let encode = |text: &&str| encode_event(&Event::text(text), Part::Begins);
    Portion {
        events: texts.iter().map(encode).collect(),
        idempotency: None,
        fence: None,
        token: rand::random(),
    }
}

/// What became of a batch of one portion.
pub fn only(answer: Answer) -> Outcome {
    match answer {
        Answer::Settled(mut outcomes) if outcomes.len() == 1 => outcomes.remove(0),
        other => panic!("{other:?}"),
    }
}

pub fn keyed(channel: &str, texts: &[&str], key: &str, body: u8) -> Batch {
    let mut batch = batch(channel, texts);
    batch.portions[0].idempotency = Some(IdempotencyKey::of(None, key, [body; 32]));
    batch
}

pub fn fenced(channel: &str, texts: &[&str], token: u64) -> Batch {
    let mut batch = batch(channel, texts);
    batch.portions[0].fence = Some(fence(token));
    batch
}

pub fn fence(token: u64) -> Fence {
    let name = "orders".into();
    Fence { name, token }
}

pub fn appended(outcome: &Outcome) -> (EventId, EventId) {
    match outcome {
        Outcome::Appended { first, last, .. } => (*first, *last),
        other => panic!("{other:?}"),
    }
}

pub fn keys() -> Keys {
    Keys::new("test", Partition::ONLY)
}

/// A plain RESP2 connection that has subscribed.
pub struct Subscriber(BufReader<TcpStream>);

impl Subscriber {
    pub fn new(fixture: &Fixture, shard_channels: &[&str]) -> Subscriber {
        let mut socket = TcpStream::connect(("127.0.0.1", fixture.server.port)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut request = format!("*{}\r\n$10\r\nSSUBSCRIBE\r\n", shard_channels.len() + 1);
        for channel in shard_channels {
            request += &format!("${}\r\n{channel}\r\n", channel.len());
        }
        socket.write_all(request.as_bytes()).unwrap();
        let mut subscriber = Subscriber(BufReader::new(socket));
        for _ in shard_channels {
            assert_eq!(subscriber.push()[0], b"ssubscribe");
        }
        subscriber
    }

    /// The next message: shard channel and payload.
    pub fn receive(&mut self) -> (String, Vec<u8>) {
        let [kind, channel, payload] = self.push().try_into().unwrap();
        assert_eq!(kind, b"smessage");
        (String::from_utf8(channel).unwrap(), payload)
    }

    fn push(&mut self) -> Vec<Vec<u8>> {
        let count = self.line();
        assert!(count.starts_with('*'), "{count}");
        (0..count[1..].parse().unwrap())
            .map(|_| self.item())
            .collect()
    }

    fn item(&mut self) -> Vec<u8> {
        let head = self.line();
        if head.starts_with(':') {
            return head.into_bytes();
        }
        let mut bytes = vec![0; head[1..].parse::<usize>().unwrap() + 2];
        self.0.read_exact(&mut bytes).unwrap();
        bytes.truncate(bytes.len() - 2);
        bytes
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
