//! The load itself: opens streams, publishes by a pace, reads, and keeps the accounts.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::books::Books;
use super::endpoint::Endpoint;
use super::ledger::{Ledger, MAX_PUBLISHES};
use super::outcome::{Latency, Outcome};
use super::pace::{Drive, Pace};
use super::publisher::{Answer, Due, Protocol, PublishError, Publisher};
use super::sse::Event;
use super::stream::{Reader, Stage, Stream, StreamError};
use super::subscribers::Subscribers;
use super::tally::{Arrival, Faults};
use crate::poller::{Interest, Poller, Ready};

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("epoll: {0}")]
    Poll(#[source] io::Error),
    #[error("a stream could not be opened in {MAX_FAILURES} attempts: {0}")]
    Open(#[source] StreamError),
    #[error("{missing} of {wanted} streams were not open after {} s", OPEN_TIMEOUT.as_secs())]
    OpenTimeout { missing: usize, wanted: usize },
    #[error("publishing connection: {0}")]
    Publisher(#[source] PublishError),
    #[error("more than {MAX_PUBLISHES} publishes in one run")]
    TooManyPublishes,
}

/// What to load.
#[derive(Debug, Clone)]
pub struct Plan {
    pub subscribe: Endpoint,
    pub publish: Endpoint,
    pub channels: u32,
    pub streams_per_channel: u32,
    /// Streams of the first channel that stop reading, besides the others.
    pub stopped_readers: u32,
    pub publish_connections: usize,
    pub publishing: Publishing,
    pub subscribers: Subscribers,
    /// Bytes of an event's data.
    pub payload: usize,
    /// How long nothing may arrive before the rest counts as lost.
    pub patience: Duration,
}

/// How an event is published.
#[derive(Debug, Clone, Default)]
pub struct Publishing {
    /// Further lines of the request's head, each with its line end.
    pub headers: String,
    /// What the body has before and after the event's data; `{channel}` stands for the channel's name.
    pub before: String,
    pub after: String,
    /// Where to, instead of the URL's address.
    pub unix: Option<PathBuf>,
    pub protocol: Protocol,
}

/// Handshakes under way at once.
const MAX_OPENING: usize = 256;
const MAX_FAILURES: u8 = 5;
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// Reconnects of one publishing connection.
const MAX_RECONNECTS: u32 = 100;
const READ_BUFFER: usize = 512 * 1024;
/// Tokens from here on are publishing connections.
const PUBLISHERS: u64 = 1 << 32;

pub struct Generator {
    plan: Plan,
    poller: Poller,
    clock: Instant,
    streams: Vec<Stream>,
    to_open: VecDeque<usize>,
    opening: usize,
    publishers: Vec<Publisher>,
    idle: Vec<usize>,
    channels: Vec<Names>,
    ledger: Ledger,
    drive: Option<Drive>,
    books: Books,
    buffer: Vec<u8>,
}

struct Names {
    subscribe_target: String,
    publish_head: Vec<u8>,
    publish_end: Vec<u8>,
    /// Attentive streams that should get what is published.
    audience: u32,
}

impl Generator {
    /// Connects the publishing connections; streams are opened by [`Generator::open`].
    pub fn new(plan: Plan) -> Result<Self, LoadError> {
        let poller = Poller::new().map_err(LoadError::Poll)?;
        let run = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |t| t.as_nanos() as u32);
        let ledger = Ledger::new(run, plan.channels as usize, plan.payload);
        let mut publishers = Vec::new();
        for index in 0..plan.publish_connections {
            let unix = plan.publishing.unix.as_deref();
            let protocol = plan.publishing.protocol;
            let publisher = Publisher::connect(plan.publish.address(), unix, protocol)
                .map_err(|error| LoadError::Publisher(error.into()))?;
            poller
                .add(
                    publisher.socket(),
                    PUBLISHERS + index as u64,
                    Interest::Read,
                )
                .map_err(LoadError::Poll)?;
            publishers.push(publisher);
        }
        let channels = (0..plan.channels)
            .map(|channel| Names::new(&plan, &format!("bench-{channel}"), ledger.payload_length()))
            .collect();
        let attentive = (0..plan.channels).flat_map(|channel| {
            (0..plan.streams_per_channel).map(move |_| Stream::new(channel, Reader::Attentive))
        });
        let stopped = (0..plan.stopped_readers).map(|_| Stream::new(0, Reader::Stopped));
        Ok(Self {
            poller,
            clock: Instant::now(),
            streams: attentive.chain(stopped).collect(),
            to_open: VecDeque::new(),
            opening: 0,
            idle: (0..publishers.len()).collect(),
            publishers,
            channels,
            ledger,
            drive: None,
            books: Books::default(),
            buffer: vec![0; READ_BUFFER],
            plan,
        })
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    /// Opens all streams that are closed; returns how long it took until each had its head.
    pub fn open(&mut self) -> Result<Duration, LoadError> {
        let started = Instant::now();
        self.start_opening();
        while self.opening > 0 || !self.to_open.is_empty() {
            if started.elapsed() > OPEN_TIMEOUT {
                let missing = self.opening + self.to_open.len();
                return Err(LoadError::OpenTimeout {
                    missing,
                    wanted: self.streams.len(),
                });
            }
            self.turn(Duration::from_millis(100))?;
        }
        Ok(started.elapsed())
    }

    fn start_opening(&mut self) {
        let closed = |stream: &Stream| stream.stage == Stage::Closed && !stream.tally.dead;
        self.to_open = (0..self.streams.len())
            .filter(|&i| closed(&self.streams[i]))
            .collect();
    }

    /// Cuts every connection at once, as a failing network would.
    pub fn cut(&mut self) {
        self.streams.iter_mut().for_each(Stream::cut);
        self.opening = 0;
        self.to_open.clear();
    }

    /// Reads and publishes for a while.
    pub fn run_for(&mut self, time: Duration) -> Result<(), LoadError> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Starts to publish; [`Generator::finish`] waits for the end.
    pub fn start(&mut self, pace: Pace) {
        let start = self.now();
        self.books.last_sign = start;
        self.drive = Some(Drive::new(pace, start));
    }

    /// Runs until everything is published and delivered, or nothing has come for the plan's patience
    /// (then what still waits for its turn counts as refused).
    pub fn finish(&mut self) -> Result<(), LoadError> {
        let patience = self.plan.patience.as_nanos() as u64;
        loop {
            self.turn(Duration::from_millis(20))?;
            let now = self.now();
            let quiet = now.saturating_sub(self.books.last_sign) > patience;
            let scheduled = self.drive.as_ref().is_some_and(|drive| match drive.pace {
                Pace::Open { .. } => drive.wants(now) || self.next_due().is_some(),
                // A closed loop in which nothing moves waits for what will never come.
                Pace::Closed { .. } => drive.wants(now) && !quiet,
            });
            let busy = |publisher: &Publisher| !publisher.idle() || !publisher.waiting.is_empty();
            let waiting = self.books.undelivered > 0 || self.publishers.iter().any(busy);
            if !scheduled && (!waiting || quiet) {
                self.drive = None;
                for publisher in &mut self.publishers {
                    self.books.refused += publisher.waiting.drain(..).len() as u64;
                }
                return Ok(());
            }
        }
    }

    /// Reopens all streams after their last ids; the time until each has every event that had been
    /// published when it began, or `None` if that takes longer than the plan's patience.
    pub fn resume(&mut self) -> Result<Option<Duration>, LoadError> {
        let started = Instant::now();
        let wanted: Vec<u32> = (0..self.plan.channels)
            .map(|c| self.ledger.channel(c).len() as u32)
            .collect();
        self.start_opening();
        let mut behind: Vec<usize> = (0..self.streams.len()).collect();
        while !behind.is_empty() {
            if started.elapsed() > self.plan.patience {
                return Ok(None);
            }
            self.turn(Duration::from_millis(10))?;
            behind.retain(|&index| {
                let stream = &self.streams[index];
                stream.stage != Stage::Live
                    || !stream.tally.has_first(wanted[stream.channel as usize])
            });
        }
        Ok(Some(started.elapsed()))
    }

    /// Waits until something is ready, a publish is due, or `limit` has passed; handles it all.
    fn turn(&mut self, limit: Duration) -> Result<(), LoadError> {
        self.open_more()?;
        self.publish_due()?;
        let timeout = match self.next_due() {
            Some(due) => limit.min(Duration::from_nanos(due.saturating_sub(self.now()))),
            None => limit,
        };
        let ready = self.poller.wait(Some(timeout)).map_err(LoadError::Poll)?;
        for index in 0..ready {
            let ready = self.poller.ready(index);
            if ready.token >= PUBLISHERS {
                self.publisher_ready((ready.token - PUBLISHERS) as usize, ready)?;
            } else {
                self.stream_ready(ready.token as usize, ready)?;
            }
            self.publish_due()?;
        }
        Ok(())
    }

    fn open_more(&mut self) -> Result<(), LoadError> {
        while self.opening < MAX_OPENING {
            let Some(index) = self.to_open.pop_front() else {
                break;
            };
            self.opening += 1;
            let stream = &mut self.streams[index];
            let connected = stream.connect(self.plan.subscribe.address());
            let watched = connected.and_then(|()| match stream.socket() {
                Some(socket) => self.poller.add(socket, index as u64, Interest::Write),
                None => Err(io::ErrorKind::NotConnected.into()),
            });
            if let Err(error) = watched {
                self.stream_failed(index, error.into())?;
            }
        }
        Ok(())
    }

    fn stream_ready(&mut self, index: usize, ready: Ready) -> Result<(), LoadError> {
        let stage = self.streams[index].stage;
        let result = match stage {
            Stage::Closed => Ok(()),
            Stage::Connecting if ready.writable || ready.hung_up => self.subscribe(index),
            Stage::Connecting => Ok(()),
            Stage::Head | Stage::Live => self.read_stream(index),
        };
        match result {
            Ok(()) => {
                if stage == Stage::Head && self.streams[index].stage == Stage::Live {
                    self.stream_opened(index)?;
                }
                Ok(())
            }
            Err(error) => self.stream_failed(index, error),
        }
    }

    fn subscribe(&mut self, index: usize) -> Result<(), StreamError> {
        let stream = &mut self.streams[index];
        let subscribers = &self.plan.subscribers;
        let target = &self.channels[stream.channel as usize].subscribe_target;
        let target = format!("{target}{}", subscribers.parameters(index));
        let authorization = subscribers.authorization(index);
        stream.subscribe(
            self.plan.subscribe.address(),
            &target,
            subscribers.wire,
            authorization.as_deref(),
        )?;
        let socket = stream.socket().ok_or(StreamError::Ended)?;
        Ok(self.poller.modify(socket, index as u64, Interest::Read)?)
    }

    fn stream_opened(&mut self, index: usize) -> Result<(), LoadError> {
        self.opening -= 1;
        let stream = &mut self.streams[index];
        stream.failures = 0;
        if let (Reader::Stopped, Some(socket)) = (stream.reader, stream.socket()) {
            self.poller.remove(socket).map_err(LoadError::Poll)?;
        }
        Ok(())
    }

    /// An opening is tried again, a bounded number of times; a stream that was open is dead.
    fn stream_failed(&mut self, index: usize, error: StreamError) -> Result<(), LoadError> {
        let stream = &mut self.streams[index];
        let was_live = stream.stage == Stage::Live;
        stream.cut();
        if was_live {
            stream.tally.disconnected += 1;
            stream.tally.dead = true;
            self.give_up_on(index);
            return Ok(());
        }
        self.opening -= 1;
        stream.failures += 1;
        if stream.failures >= MAX_FAILURES {
            return Err(LoadError::Open(error));
        }
        self.to_open.push_back(index);
        Ok(())
    }

    /// No longer waits for what a dead stream has not got.
    fn give_up_on(&mut self, index: usize) {
        let stream = &self.streams[index];
        let channel = stream.channel;
        self.channels[channel as usize].audience -= 1;
        let missing: Vec<u32> = self
            .ledger
            .channel_numbers(channel)
            .iter()
            .copied()
            .filter(|&number| !stream.tally.has(self.ledger.entry(number).sequence))
            .collect();
        for number in missing {
            self.books.arrived(self.ledger.entry_mut(number));
        }
    }

    fn read_stream(&mut self, index: usize) -> Result<(), StreamError> {
        let Self {
            streams,
            ledger,
            books,
            buffer,
            clock,
            ..
        } = self;
        let stream = &mut streams[index];
        let channel = stream.channel;
        let live = stream.stage == Stage::Live;
        // taken when the first event of a read is there
        let mut now = None;
        let mut time = || *now.get_or_insert_with(|| clock.elapsed().as_nanos() as u64);
        let read = stream.read(buffer, |tally, event: Event<'_>| {
            if !matches!(event.kind, b"" | b"message") {
                tally.announced_gaps += u64::from(event.kind == b"gap");
                return;
            }
            let Some(number) = ledger.identify(event.data) else {
                tally.corrupt += 1;
                return;
            };
            let entry = ledger.entry(number);
            if entry.channel != channel {
                tally.misrouted += 1;
                return;
            }
            if tally.record(ledger, channel, entry.sequence) == Arrival::First {
                books.deliver(ledger.entry_mut(number), time());
            }
        })?;
        if read {
            books.reads += u64::from(live);
            books.last_sign = time();
        }
        Ok(())
    }

    fn next_due(&self) -> Option<u64> {
        self.drive.as_ref().and_then(Drive::next_due)
    }

    fn publish_due(&mut self) -> Result<(), LoadError> {
        let now = self.now();
        while let Some(drive) = &mut self.drive {
            if !drive.wants(now) {
                break;
            }
            let channel = drive.next % self.plan.channels;
            let (publisher, at) = match drive.pace {
                Pace::Open { rate, .. } => {
                    (channel as usize % self.publishers.len(), drive.due(rate))
                }
                Pace::Closed { outstanding, .. } => {
                    if self.books.outstanding >= outstanding {
                        break;
                    }
                    let Some(publisher) = self.idle.pop() else {
                        break;
                    };
                    (publisher, now)
                }
            };
            drive.next += 1;
            self.publishers[publisher]
                .waiting
                .push_back(Due { channel, at });
            self.pump(publisher)?;
        }
        Ok(())
    }

    /// Publishes what waits on this connection if it is free.
    fn pump(&mut self, index: usize) -> Result<(), LoadError> {
        let publisher = &mut self.publishers[index];
        if !publisher.idle() {
            return Ok(());
        }
        let Some(due) = publisher.waiting.pop_front() else {
            return Ok(());
        };
        if self.ledger.len() >= MAX_PUBLISHES {
            return Err(LoadError::TooManyPublishes);
        }
        let names = &self.channels[due.channel as usize];
        let sent = self.clock.elapsed().as_nanos() as u64;
        let number = self
            .ledger
            .publish(due.channel, due.at, sent, names.audience);
        self.books.published(sent, names.audience);
        let started = publisher.start(number, |out| {
            out.extend_from_slice(&names.publish_head);
            self.ledger.write_payload(number, out);
            out.extend_from_slice(&names.publish_end);
        });
        match started {
            Ok(()) if publisher.blocked() => self.watch(index, Interest::ReadWrite),
            Ok(()) => Ok(()),
            Err(error) => self.publisher_failed(index, error.into()),
        }
    }

    fn watch(&self, index: usize, interest: Interest) -> Result<(), LoadError> {
        let token = PUBLISHERS + index as u64;
        self.poller
            .modify(self.publishers[index].socket(), token, interest)
            .map_err(LoadError::Poll)
    }

    fn publisher_ready(&mut self, index: usize, ready: Ready) -> Result<(), LoadError> {
        let publisher = &mut self.publishers[index];
        if ready.writable && publisher.blocked() {
            let flushed = publisher.flush();
            let blocked = publisher.blocked();
            match flushed {
                Err(error) => return self.publisher_failed(index, error.into()),
                Ok(()) if !blocked => self.watch(index, Interest::Read)?,
                Ok(()) => {}
            }
        }
        match self.publishers[index].read(&mut self.buffer) {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => self.answered(index, answer),
            Err(error) => self.publisher_failed(index, error),
        }
    }

    fn answered(&mut self, index: usize, answer: Answer) -> Result<(), LoadError> {
        let now = self.now();
        self.books.last_sign = now;
        let entry = self.ledger.entry_mut(answer.number);
        entry.answered = now;
        if !(200..300).contains(&answer.status) {
            entry.accepted = false;
            self.books.refused(entry);
        }
        if answer.closes {
            let publisher = &mut self.publishers[index];
            let renewed = publisher.renew();
            renewed.map_err(|error| LoadError::Publisher(error.into()))?;
            self.watch_new(index)?;
        }
        self.freed(index)
    }

    fn watch_new(&self, index: usize) -> Result<(), LoadError> {
        let token = PUBLISHERS + index as u64;
        let socket = self.publishers[index].socket();
        let added = self.poller.add(socket, token, Interest::Read);
        added.map_err(LoadError::Poll)
    }

    fn publisher_failed(&mut self, index: usize, error: PublishError) -> Result<(), LoadError> {
        let publisher = &mut self.publishers[index];
        if publisher.reconnects >= MAX_RECONNECTS {
            return Err(LoadError::Publisher(error));
        }
        let unknown = publisher
            .reconnect()
            .map_err(|e| LoadError::Publisher(e.into()))?;
        self.watch_new(index)?;
        let Some(number) = unknown else { return Ok(()) };
        let entry = self.ledger.entry_mut(number);
        entry.accepted = false;
        self.books.refused(entry);
        self.freed(index)
    }

    fn freed(&mut self, index: usize) -> Result<(), LoadError> {
        if matches!(
            self.drive,
            Some(Drive {
                pace: Pace::Closed { .. },
                ..
            })
        ) {
            self.idle.push(index);
            return Ok(());
        }
        self.pump(index)
    }

    /// When the last event arrived; the end of what is measured.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let attentive = || {
            self.streams
                .iter()
                .filter(|s| s.reader == Reader::Attentive)
        };
        let mut faults = Faults::default();
        for stream in attentive() {
            stream
                .tally
                .add_to(&mut faults, &self.ledger, stream.channel);
        }
        faults.disagreed = self.disagreed();
        let books = &self.books;
        let first = books.first_publish.unwrap_or(0);
        let seconds = books.last_delivery.saturating_sub(first) as f64 / 1e9;
        let per = |total: u64, by: f64| if by > 0.0 { total as f64 / by } else { 0.0 };
        Outcome {
            streams: attentive().count(),
            published: self
                .ledger
                .entries()
                .iter()
                .filter(|entry| entry.accepted)
                .count() as u64,
            refused: books.refused,
            delivered: books.delivered,
            seconds,
            deliveries_per_second: per(books.delivered, seconds),
            events_per_read: per(books.delivered, books.reads as f64),
            latency: Latency::from(&books.latency),
            latency_scheduled: Latency::from(&books.latency_scheduled),
            faults,
            overtaken: attentive().map(|stream| stream.tally.overtaken).sum(),
        }
    }

    /// Streams that got all that the first whole stream of their channel got, in another order.
    fn disagreed(&self) -> u64 {
        let mut orders = vec![None; self.channels.len()];
        let mut disagreed = 0;
        for stream in &self.streams {
            let whole =
                self.ledger.channel(stream.channel).len() == stream.tally.received() as usize;
            // A disorder already counted is not counted twice.
            if stream.reader == Reader::Stopped || !whole || stream.tally.reordered > 0 {
                continue;
            }
            let order = orders[stream.channel as usize].get_or_insert(stream.tally.order());
            disagreed += u64::from(*order != stream.tally.order());
        }
        disagreed
    }
}

impl Names {
    fn new(plan: &Plan, channel: &str, payload: usize) -> Self {
        let (host, target) = (plan.publish.address(), plan.publish.target(channel));
        let Publishing {
            headers,
            before,
            after,
            unix: _,
            protocol,
        } = &plan.publishing;
        let named = |text: &str| text.replace("{channel}", channel);
        let (before, mut after) = (named(before), named(after));
        let length = before.len() + payload + after.len();
        let publish_head = match protocol {
            Protocol::Http => format!(
                "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n{headers}\
                 Content-Length: {length}\r\n\r\n{before}"
            ),
            Protocol::Redis => {
                after.push_str("\r\n");
                format!(
                    "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${length}\r\n{before}",
                    channel.len()
                )
            }
        };
        Self {
            subscribe_target: plan.subscribe.target(channel),
            publish_head: publish_head.into_bytes(),
            publish_end: after.into_bytes(),
            audience: plan.streams_per_channel,
        }
    }
}
