//! Publishes on their way to Redis: those of one channel that come while another is under way go
//! together, since a call costs Redis more than an event in it.

use super::{
    entry::{Part, encode_event},
    store::{Batch, Portion},
};
use crate::{
    channel::ChannelName,
    cursor::{Epoch, EventId},
    event::Ending,
    event_log::{AppendError, Fence, IdempotencyKey, Publication},
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
};

/// Events and bytes that one call carries at most, unless a single publish has more: Redis serves
/// nobody else meanwhile, 0.7 ms for a hundred events.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 256 * 1024;
/// Publishes that wait in one partition at most; past it they are refused.
const MAX_WAITING: usize = 16_384;
/// Bytes of events that wait in one partition at most, likewise.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// Where a publish stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub epoch: Epoch,
    pub first: EventId,
    pub novelty: Novelty,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Novelty {
    New,
    Repeat,
}

/// What became of a batch: of the whole, or of each of its portions.
pub type Sent = Result<Vec<Result<Span, AppendError>>, AppendError>;

/// Sends one batch to the log.
pub type Send = dyn Fn(Batch) -> BoxFuture<'static, Sent> + std::marker::Send + Sync;

/// A publish that waits.
struct Job {
    events: Vec<Vec<u8>>,
    bytes: usize,
    ends: bool,
    idempotency: Option<IdempotencyKey>,
    fence: Option<Fence>,
    answer: oneshot::Sender<Result<Span, AppendError>>,
}

#[derive(Default)]
struct Waiting {
    /// One for each channel with a call under way.
    lanes: HashMap<ChannelName, VecDeque<Job>>,
    jobs: usize,
    bytes: usize,
    closed: bool,
}

/// The publishes of one partition.
pub struct Appender {
    waiting: Mutex<Waiting>,
    idle: Notify,
    send: Box<Send>,
    /// Of the whole process: a publish may outlive the thread that began it.
    runtime: Handle,
}

impl Appender {
    /// On the runtime that calls go out from.
    pub fn new(send: Box<Send>) -> Arc<Appender> {
        Arc::new(Appender {
            runtime: Handle::current(),
            waiting: Mutex::default(),
            idle: Notify::new(),
            send,
        })
    }

    /// Appends all events of a publish or none.
    pub async fn append(self: &Arc<Self>, publication: &Publication) -> Result<Span, AppendError> {
        let (answer, answered) = oneshot::channel();
        let job = Job::new(publication, answer);
        match self.enqueue(&publication.channel, job)? {
            Lane::Busy => {}
            Lane::Free(job) => {
                let (appender, channel) = (self.clone(), publication.channel.clone());
                self.runtime
                    .spawn(async move { appender.drain(channel, job).await });
            }
        }
        let lost = AppendError::OutcomeUnknown("the process is ending".into());
        answered.await.unwrap_or(Err(lost))
    }

    fn enqueue(&self, channel: &ChannelName, job: Job) -> Result<Lane, AppendError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(AppendError::Unavailable("the log is closed".into()));
        }
        if waiting.jobs >= MAX_WAITING || waiting.bytes + job.bytes > MAX_WAITING_BYTES {
            return Err(AppendError::Unavailable(
                "too many publishes wait for Redis".into(),
            ));
        }
        if !waiting.lanes.contains_key(channel) {
            waiting.lanes.insert(channel.clone(), VecDeque::new());
            return Ok(Lane::Free(job));
        }
        waiting.jobs += 1;
        waiting.bytes += job.bytes;
        if let Some(lane) = waiting.lanes.get_mut(channel) {
            lane.push_back(job);
        }
        Ok(Lane::Busy)
    }

    /// Sends a channel's publishes, group by group, until none waits.
    async fn drain(&self, channel: ChannelName, first: Job) {
        let mut group = vec![first];
        while !group.is_empty() {
            let (batch, waiting) = join(channel.clone(), group);
            answer(waiting, (self.send)(batch).await);
            group = self.next_group(&channel);
        }
        if self.waiting.lock().lanes.is_empty() {
            self.idle.notify_waiters();
        }
    }

    /// The publishes that go next; none, and the channel's lane is free, when none waits.
    fn next_group(&self, channel: &ChannelName) -> Vec<Job> {
        let mut guard = self.waiting.lock();
        let waiting = &mut *guard;
        let Some(lane) = waiting.lanes.get_mut(channel) else {
            return Vec::new();
        };
        let count = group_size(lane.iter().map(|job| job.shape()));
        let group: Vec<Job> = lane.drain(..count).collect();
        if group.is_empty() {
            waiting.lanes.remove(channel);
        }
        waiting.jobs -= group.len();
        waiting.bytes -= group.iter().map(|job| job.bytes).sum::<usize>();
        group
    }

    /// Refuses what comes and waits for what is under way.
    pub async fn close(&self) {
        self.waiting.lock().closed = true;
        loop {
            let idle = self.idle.notified();
            if self.waiting.lock().lanes.is_empty() {
                return;
            }
            idle.await;
        }
    }
}

enum Lane {
    /// The job waits behind a call that is under way.
    Busy,
    /// Nothing is under way.
    Free(Job),
}

/// What decides whether a publish can go with others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    events: usize,
    bytes: usize,
    with: Company,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Company {
    Any,
    /// It ends its channel: nothing may follow it.
    Last,
}

/// How many of these, from the first on, go together.
fn group_size(shapes: impl Iterator<Item = Shape>) -> usize {
    let (mut count, mut events, mut bytes) = (0, 0, 0);
    for shape in shapes {
        let fits = events + shape.events <= MAX_EVENTS && bytes + shape.bytes <= MAX_BYTES;
        if count > 0 && !fits {
            break;
        }
        count += 1;
        events += shape.events;
        bytes += shape.bytes;
        if shape.with == Company::Last {
            break;
        }
    }
    count
}

impl Job {
    fn new(publication: &Publication, answer: oneshot::Sender<Result<Span, AppendError>>) -> Job {
        let part = |index| match index {
            0 => Part::Begins,
            _ => Part::Continues,
        };
        let events: Vec<Vec<u8>> = publication
            .events
            .iter()
            .enumerate()
            .map(|(index, event)| encode_event(event, part(index)))
            .collect();
        Job {
            bytes: events.iter().map(Vec::len).sum(),
            events,
            ends: publication
                .events
                .last()
                .is_some_and(|event| event.ending == Ending::Ends),
            idempotency: publication.idempotency.clone(),
            fence: publication.fence.clone(),
            answer,
        }
    }

    fn shape(&self) -> Shape {
        Shape {
            events: self.events.len(),
            bytes: self.bytes,
            with: match self.ends {
                true => Company::Last,
                false => Company::Any,
            },
        }
    }
}

/// Who waits for a portion: those whose publishes it has, in order, each with how many events.
type Waiters = Vec<(usize, oneshot::Sender<Result<Span, AppendError>>)>;

/// One batch of them all. A publish with a key is a portion of its own, since it has an outcome of its
/// own to be remembered; those without that follow each other are one.
fn join(channel: ChannelName, group: Vec<Job>) -> (Batch, Vec<Waiters>) {
    let mut batch = Batch {
        channel,
        portions: Vec::new(),
        ends: false,
    };
    let mut waiting: Vec<Waiters> = Vec::new();
    for job in group {
        batch.ends |= job.ends;
        let waiter = (job.events.len(), job.answer);
        match (batch.portions.last_mut(), waiting.last_mut()) {
            (Some(portion), Some(waiters))
                if portion.idempotency.is_none()
                    && job.idempotency.is_none()
                    && portion.fence == job.fence =>
            {
                portion.events.extend(job.events);
                waiters.push(waiter);
            }
            _ => {
                batch.portions.push(Portion {
                    events: job.events,
                    idempotency: job.idempotency,
                    fence: job.fence,
                    token: rand::random(),
                });
                waiting.push(vec![waiter]);
            }
        }
    }
    (batch, waiting)
}

/// Tells each publish its part of the result. Ids of one portion follow each other.
fn answer(waiting: Vec<Waiters>, sent: Sent) {
    let results = match sent {
        Ok(results) => results,
        Err(error) => vec![Err(error); waiting.len()],
    };
    for (waiters, result) in waiting.into_iter().zip(results) {
        let mut before = 0;
        for (events, answer) in waiters {
            let result = result.clone().map(|span| Span {
                first: EventId::new(span.first.get() + before).unwrap_or(span.first),
                ..span
            });
            before += events as u64;
            let _ = answer.send(result); // who published may be gone
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use std::time::Duration;
    use tokio::sync::mpsc;

    fn shape(events: usize, bytes: usize, with: Company) -> Shape {
        Shape {
            events,
            bytes,
            with,
        }
    }

    #[test]
    fn publishes_go_together_within_bounds() {
        use Company::{Any, Last};
        let size = |shapes: &[Shape]| group_size(shapes.iter().copied());
        assert_eq!(size(&[]), 0);
        assert_eq!(size(&[shape(1, 10, Any); 100]), 64);
        assert_eq!(size(&[shape(1, 100_000, Any); 9]), 2);
        assert_eq!(
            size(&[shape(500, 1 << 20, Any), shape(1, 1, Any)]),
            1,
            "a large one goes alone"
        );
        assert_eq!(
            size(&[shape(1, 1, Any), shape(1, 1, Last), shape(1, 1, Any)]),
            2
        );
    }

    /// A log that is told when to answer, and tells what it got.
    #[allow(clippy::type_complexity)]
    fn gated() -> (
        Arc<Appender>,
        mpsc::UnboundedReceiver<(Batch, oneshot::Sender<Sent>)>,
    ) {
        let (sent, received) = mpsc::unbounded_channel();
        let send = move |batch: Batch| {
            let (answer, answered) = oneshot::channel();
            let _ = sent.send((batch, answer));
            let answered: BoxFuture<'static, _> = Box::pin(async move { answered.await.unwrap() });
            answered
        };
        (Appender::new(Box::new(send)), received)
    }

    fn publication(texts: &[&str]) -> Publication {
        Publication {
            channel: ChannelName::parse("c").unwrap(),
            events: texts.iter().map(|text| Event::text(text)).collect(),
            idempotency: None,
            fence: None,
        }
    }

    fn keyed(key: &str) -> Publication {
        Publication {
            idempotency: Some(IdempotencyKey::of(None, key, [0; 32])),
            ..publication(&[key])
        }
    }

    /// An answer to a batch of one portion.
    fn only(span: Span) -> Sent {
        Ok(vec![Ok(span)])
    }

    fn sizes(batch: &Batch) -> Vec<usize> {
        let portions = batch.portions.iter();
        portions.map(|portion| portion.events.len()).collect()
    }

    fn span(first: u64) -> Span {
        Span {
            epoch: Epoch::from_random(1),
            first: EventId::new(first).unwrap(),
            novelty: Novelty::New,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_a_call_is_under_way_goes_together_and_each_gets_its_ids() {
        let (appender, mut calls) = gated();
        let publish = |texts: &'static [&'static str]| {
            let appender = appender.clone();
            tokio::spawn(async move { appender.append(&publication(texts)).await })
        };
        let first = publish(&["1"]);
        let (batch, answer) = calls.recv().await.unwrap();
        assert_eq!(sizes(&batch), [1]);
        let (second, third) = (publish(&["2", "3"]), publish(&["4"]));
        tokio::time::sleep(Duration::from_millis(1)).await; // both wait by then
        answer.send(only(span(10))).unwrap();
        assert_eq!(first.await.unwrap(), Ok(span(10)));
        let (batch, answer) = calls.recv().await.unwrap();
        assert_eq!(sizes(&batch), [3]);
        answer.send(only(span(20))).unwrap();
        assert_eq!(second.await.unwrap(), Ok(span(20)));
        assert_eq!(third.await.unwrap(), Ok(span(22)));
    }

    #[tokio::test(start_paused = true)]
    async fn keyed_publishes_go_together_too_and_each_has_an_outcome_of_its_own() {
        let (appender, mut calls) = gated();
        let publish = |publication: Publication| {
            let appender = appender.clone();
            tokio::spawn(async move { appender.append(&publication).await })
        };
        let first = publish(publication(&["1"]));
        let (_, answer) = calls.recv().await.unwrap();
        let mut others = Vec::new();
        for publication in [
            keyed("a"),
            keyed("b"),
            publication(&["2"]),
            publication(&["3"]),
        ] {
            others.push(publish(publication));
            tokio::time::sleep(Duration::from_millis(1)).await; // it waits by then
        }
        answer.send(only(span(10))).unwrap();
        assert_eq!(first.await.unwrap(), Ok(span(10)));
        let (batch, answer) = calls.recv().await.unwrap();
        assert_eq!(sizes(&batch), [1, 1, 2]);
        let results = vec![Ok(span(20)), Err(AppendError::KeyReused), Ok(span(21))];
        answer.send(Ok(results)).unwrap();
        let mut answers = Vec::new();
        for other in others {
            answers.push(other.await.unwrap());
        }
        let expected = [
            Ok(span(20)),
            Err(AppendError::KeyReused),
            Ok(span(21)),
            Ok(span(22)),
        ];
        assert_eq!(answers, expected);
    }

    #[tokio::test]
    async fn past_the_bound_a_publish_is_refused_and_nothing_is_kept_of_it() {
        let (appender, mut calls) = gated();
        let mut publishes = Vec::new();
        for _ in 0..=MAX_WAITING {
            let appender = appender.clone();
            publishes.push(tokio::spawn(async move {
                appender.append(&publication(&["x"])).await
            }));
        }
        let (_, answer) = calls.recv().await.unwrap();
        while appender.waiting.lock().jobs < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        let refused = appender.append(&publication(&["x"])).await;
        assert!(
            matches!(refused, Err(AppendError::Unavailable(_))),
            "{refused:?}"
        );
        answer.send(only(span(1))).unwrap();
        tokio::spawn(async move {
            while let Some((_, answer)) = calls.recv().await {
                answer.send(only(span(1))).unwrap();
            }
        });
        for publish in publishes {
            assert!(publish.await.unwrap().is_ok());
        }
        appender.close().await;
        let waiting = appender.waiting.lock();
        assert_eq!(
            (waiting.jobs, waiting.bytes, waiting.lanes.len()),
            (0, 0, 0)
        );
    }

    #[tokio::test]
    async fn closing_waits_for_what_is_under_way_and_refuses_what_comes() {
        let (appender, mut calls) = gated();
        let publish = tokio::spawn({
            let appender = appender.clone();
            async move { appender.append(&publication(&["x"])).await }
        });
        let (_, answer) = calls.recv().await.unwrap();
        let mut closing = Box::pin(appender.close());
        assert!(futures_util::FutureExt::now_or_never(closing.as_mut()).is_none());
        assert!(appender.append(&publication(&["y"])).await.is_err());
        answer.send(only(span(1))).unwrap();
        closing.await;
        assert!(publish.await.unwrap().is_ok());
    }
}
