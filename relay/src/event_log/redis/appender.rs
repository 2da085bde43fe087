//! Publishes on their way to Redis. What waits while a call is under way goes together, of whatever
//! channels, since a call costs Redis more than an event in it. A publish that finds no call under way
//! goes at once, unless one began less than a window ago and company can be expected (`pace`).
//!
//! A channel has one call under way at most, so its publishes keep their order whatever is tried again.

mod pace;

use self::pace::Pace;
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
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::Instant,
};

/// Events and bytes that one call carries at most, unless a single publish has more: Redis serves
/// nobody else meanwhile, about a millisecond for 64 events of as many channels.
const MAX_EVENTS: usize = 64;
const MAX_BYTES: usize = 256 * 1024;
/// Calls that are under way at most. While one is, another goes only when it is full.
const MAX_CALLS: usize = 8;
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

/// What became of a call: of the whole, or of each portion of each of its batches.
pub type Sent = Result<Vec<Result<Span, AppendError>>, AppendError>;

/// Sends batches to the log in one call, each of another channel.
pub type Send = dyn Fn(Vec<Batch>) -> BoxFuture<'static, Sent> + std::marker::Send + Sync;

/// A publish that waits.
struct Job {
    events: Vec<Vec<u8>>,
    bytes: usize,
    ends: bool,
    idempotency: Option<IdempotencyKey>,
    fence: Option<Fence>,
    answer: oneshot::Sender<Result<Span, AppendError>>,
}

/// How much there is.
#[derive(Clone, Copy, Default, Debug)]
struct Amount {
    events: usize,
    bytes: usize,
}

impl Amount {
    fn add(&mut self, job: &Job) {
        self.events += job.events.len();
        self.bytes += job.bytes;
    }

    fn take(&mut self, other: Amount) {
        self.events -= other.events;
        self.bytes -= other.bytes;
    }

    fn fills_a_call(self) -> bool {
        self.events >= MAX_EVENTS || self.bytes >= MAX_BYTES
    }
}

/// The publishes of one channel.
#[derive(Default)]
struct Lane {
    jobs: VecDeque<Job>,
    waits: Amount,
    /// Whether a call with the channel is under way.
    busy: bool,
}

struct Waiting {
    /// One for each channel with publishes that wait or are under way.
    lanes: HashMap<ChannelName, Lane>,
    /// Those that could go: with publishes that wait and none under way, in turn.
    ready: VecDeque<ChannelName>,
    /// What they have.
    could_go: Amount,
    calls: usize,
    pace: Pace,
    /// Whether a task waits for the time of the next call.
    held: bool,
    jobs: usize,
    bytes: usize,
    closed: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// A call begins; it is counted already.
    Call,
    /// The question is asked again at that time, by the one who asked now.
    Wait(Instant),
    /// Nothing: somebody else will, or nothing is there.
    Rest,
}

/// Publishes of one channel that go together.
type Group = (ChannelName, Vec<Job>);

impl Waiting {
    fn new(window: Duration) -> Waiting {
        Waiting {
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            could_go: Amount::default(),
            calls: 0,
            pace: Pace::new(window),
            held: false,
            jobs: 0,
            bytes: 0,
            closed: false,
        }
    }

    fn enqueue(&mut self, channel: &ChannelName, job: Job) -> Result<(), AppendError> {
        if self.closed {
            return Err(AppendError::Unavailable("the log is closed".into()));
        }
        if self.jobs >= MAX_WAITING || self.bytes + job.bytes > MAX_WAITING_BYTES {
            return Err(AppendError::Unavailable(
                "too many publishes wait for Redis".into(),
            ));
        }
        self.jobs += 1;
        self.bytes += job.bytes;
        let lane = self.lanes.entry(channel.clone()).or_default();
        if !lane.busy {
            self.could_go.add(&job);
            if lane.jobs.is_empty() {
                self.ready.push_back(channel.clone());
            }
        }
        lane.waits.add(&job);
        lane.jobs.push_back(job);
        Ok(())
    }

    fn turn(&mut self, now: Instant) -> Turn {
        if self.could_go.fills_a_call() {
            if self.calls == MAX_CALLS {
                return Turn::Rest;
            }
        } else if self.calls > 0 || self.ready.is_empty() {
            return Turn::Rest;
        } else if let Some(until) = self.pace.wait(now, self.jobs) {
            let held = std::mem::replace(&mut self.held, true);
            return match held {
                true => Turn::Rest,
                false => Turn::Wait(until),
            };
        }
        self.calls += 1;
        Turn::Call
    }

    /// What the next call carries.
    fn next_call(&mut self, now: Instant) -> Vec<Group> {
        let (mut groups, mut room): (Vec<Group>, _) = (Vec::new(), Amount::default());
        let waited = self.jobs;
        while let Some(channel) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&channel) else {
                continue;
            };
            let count = group_size(room, lane.jobs.iter().map(Job::shape));
            if count == 0 {
                self.ready.push_front(channel); // the next call begins with it
                break;
            }
            self.could_go.take(lane.waits);
            let jobs: Vec<Job> = lane.jobs.drain(..count).collect();
            let mut taken = Amount::default();
            jobs.iter().for_each(|job| taken.add(job));
            lane.waits.take(taken);
            lane.busy = true;
            self.jobs -= jobs.len();
            self.bytes -= taken.bytes;
            room.events += taken.events;
            room.bytes += taken.bytes;
            groups.push((channel, jobs));
        }
        self.pace.began(now, waited - self.jobs);
        groups
    }

    /// A call with these channels has ended.
    fn release(&mut self, channels: Vec<ChannelName>) {
        self.calls -= 1;
        for channel in channels {
            let Some(lane) = self.lanes.get_mut(&channel) else {
                continue;
            };
            lane.busy = false;
            if lane.jobs.is_empty() {
                self.lanes.remove(&channel);
            } else {
                self.could_go.events += lane.waits.events;
                self.could_go.bytes += lane.waits.bytes;
                self.ready.push_back(channel);
            }
        }
    }
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
    /// On the runtime that calls go out from. `window` is the least time between two calls, unless they
    /// are full or company cannot be expected.
    pub fn new(window: Duration, send: Box<Send>) -> Arc<Appender> {
        Arc::new(Appender {
            runtime: Handle::current(),
            waiting: Mutex::new(Waiting::new(window)),
            idle: Notify::new(),
            send,
        })
    }

    /// Appends all events of a publish or none.
    pub async fn append(self: &Arc<Self>, publication: &Publication) -> Result<Span, AppendError> {
        let (answer, answered) = oneshot::channel();
        let job = Job::new(publication, answer);
        let turn = {
            let mut waiting = self.waiting.lock();
            waiting.enqueue(&publication.channel, job)?;
            waiting.turn(Instant::now())
        };
        if turn != Turn::Rest {
            let appender = self.clone();
            self.runtime.spawn(async move { appender.run(turn).await });
        }
        let lost = AppendError::OutcomeUnknown("the process is ending".into());
        answered.await.unwrap_or(Err(lost))
    }

    /// Sends call after call, while there is what should go.
    async fn run(&self, mut turn: Turn) {
        loop {
            turn = match turn {
                Turn::Call => self.call().await,
                Turn::Wait(until) => {
                    tokio::time::sleep_until(until).await;
                    let mut waiting = self.waiting.lock();
                    waiting.held = false;
                    waiting.turn(until.max(Instant::now()))
                }
                Turn::Rest => break,
            };
        }
        if self.waiting.lock().lanes.is_empty() {
            self.idle.notify_waiters();
        }
    }

    /// Sends one; what is to be done then.
    async fn call(&self) -> Turn {
        let groups = self.waiting.lock().next_call(Instant::now());
        let channels = groups.iter().map(|(channel, _)| channel.clone()).collect();
        if !groups.is_empty() {
            let (batches, waiting) = join(groups);
            answer(waiting, (self.send)(batches).await);
        }
        let mut waiting = self.waiting.lock();
        waiting.release(channels);
        waiting.turn(Instant::now())
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

/// How many of these, from the first on, go in a call that has so much already.
fn group_size(before: Amount, shapes: impl Iterator<Item = Shape>) -> usize {
    let Amount {
        mut events,
        mut bytes,
    } = before;
    let mut count = 0;
    for shape in shapes {
        let fits = events + shape.events <= MAX_EVENTS && bytes + shape.bytes <= MAX_BYTES;
        if events > 0 && !fits {
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

/// A batch for each channel. A publish with a key is a portion of its own, since it has an outcome of
/// its own to be remembered; those without that follow each other are one.
fn join(groups: Vec<Group>) -> (Vec<Batch>, Vec<Waiters>) {
    let (mut batches, mut waiting) = (Vec::with_capacity(groups.len()), Vec::new());
    for (channel, jobs) in groups {
        let mut batch = Batch {
            channel,
            portions: Vec::new(),
            ends: false,
        };
        for job in jobs {
            batch.ends |= job.ends;
            let waiter = (job.events.len(), job.answer);
            match (batch.portions.last_mut(), waiting.last_mut()) {
                (Some(portion), Some(waiters))
                    if portion.idempotency.is_none()
                        && job.idempotency.is_none()
                        && portion.fence == job.fence =>
                {
                    portion.events.extend(job.events);
                    let waiters: &mut Waiters = waiters;
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
        batches.push(batch);
    }
    (batches, waiting)
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
        let size = |shapes: &[Shape]| group_size(Amount::default(), shapes.iter().copied());
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
        let most = Amount {
            events: 60,
            bytes: 10,
        };
        assert_eq!(group_size(most, [shape(1, 1, Any); 9].into_iter()), 4);
        assert_eq!(
            group_size(most, [shape(5, 1, Any)].into_iter()),
            0,
            "it begins the next call"
        );
    }

    /// A log that is told when to answer, and tells what it got.
    #[allow(clippy::type_complexity)]
    fn gated() -> (
        Arc<Appender>,
        mpsc::UnboundedReceiver<(Vec<Batch>, oneshot::Sender<Sent>)>,
    ) {
        gated_within(Duration::ZERO)
    }

    #[allow(clippy::type_complexity)]
    fn gated_within(
        window: Duration,
    ) -> (
        Arc<Appender>,
        mpsc::UnboundedReceiver<(Vec<Batch>, oneshot::Sender<Sent>)>,
    ) {
        let (sent, received) = mpsc::unbounded_channel();
        let send = move |batches: Vec<Batch>| {
            let (answer, answered) = oneshot::channel();
            let _ = sent.send((batches, answer));
            let answered: BoxFuture<'static, _> = Box::pin(async move { answered.await.unwrap() });
            answered
        };
        (Appender::new(window, Box::new(send)), received)
    }

    fn publication(texts: &[&str]) -> Publication {
        publication_to("c", texts)
    }

    fn publication_to(channel: &str, texts: &[&str]) -> Publication {
        Publication {
            channel: ChannelName::parse(channel).unwrap(),
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

    /// Events of each portion of a call with one channel.
    fn sizes(batches: &[Batch]) -> Vec<usize> {
        assert_eq!(batches.len(), 1);
        let portions = batches[0].portions.iter();
        portions.map(|portion| portion.events.len()).collect()
    }

    fn channels(batches: &[Batch]) -> Vec<&str> {
        batches.iter().map(|batch| batch.channel.as_str()).collect()
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

    /// Publishes to these channels, in order.
    async fn publish_to(
        appender: &Arc<Appender>,
        channels: impl IntoIterator<Item = String>,
    ) -> Vec<tokio::task::JoinHandle<Result<Span, AppendError>>> {
        let mut publishes = Vec::new();
        for channel in channels {
            let appender = appender.clone();
            publishes.push(tokio::spawn(async move {
                appender.append(&publication_to(&channel, &["x"])).await
            }));
            tokio::time::sleep(Duration::from_millis(1)).await; // it waits by then
        }
        publishes
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_several_channels_goes_in_one_call_and_each_has_its_own_outcome() {
        let (appender, mut calls) = gated();
        let first = publish_to(&appender, names(&["a"])).await;
        let (batches, answer) = calls.recv().await.unwrap();
        assert_eq!(channels(&batches), ["a"]);
        let others = publish_to(&appender, names(&["b", "a", "c", "b"])).await;
        assert!(calls.try_recv().is_err(), "one call at a time");
        answer.send(only(span(1))).unwrap();
        let (batches, answer) = calls.recv().await.unwrap();
        assert_eq!(channels(&batches), ["b", "c", "a"]);
        assert_eq!(batches[0].portions[0].events.len(), 2);
        let refused = AppendError::Ended(ChannelName::parse("c").unwrap());
        let results = vec![Ok(span(10)), Err(refused.clone()), Ok(span(20))];
        answer.send(Ok(results)).unwrap();
        let mut outcomes = Vec::new();
        for publish in first.into_iter().chain(others) {
            outcomes.push(publish.await.unwrap());
        }
        let expected = [
            Ok(span(1)),
            Ok(span(10)),
            Ok(span(20)),
            Err(refused),
            Ok(span(11)),
        ];
        assert_eq!(outcomes, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn within_the_window_publishes_wait_for_company_and_go_in_their_order() {
        let window = Duration::from_millis(10);
        let (appender, mut calls) = gated_within(window);
        let began = Instant::now();
        let first = publish_to(&appender, names(&["a"])).await;
        let (batches, answer) = calls.recv().await.unwrap();
        assert_eq!(channels(&batches), ["a"], "it goes at once");
        answer.send(only(span(1))).unwrap();
        let others = publish_to(&appender, names(&["b", "a", "c", "a"])).await;
        assert!(calls.try_recv().is_err(), "the window is not over");
        let (batches, answer) = calls.recv().await.unwrap();
        assert!(began.elapsed() >= window);
        assert_eq!(channels(&batches), ["b", "a", "c"]);
        assert_eq!(batches[1].portions[0].events.len(), 2);
        let all = [10, 20, 30].map(|first| Ok(span(first)));
        answer.send(Ok(all.into())).unwrap();
        let mut outcomes = Vec::new();
        for publish in first.into_iter().chain(others) {
            outcomes.push(publish.await.unwrap().unwrap().first.get());
        }
        assert_eq!(outcomes, [1, 10, 20, 30, 21]);
        // a call that is full waits for nothing
        let full = tokio::spawn({
            let appender = appender.clone();
            async move { appender.append(&publication(&["x"; MAX_EVENTS])).await }
        });
        let before = Instant::now();
        let (batches, answer) = calls.recv().await.unwrap();
        assert_eq!(
            (sizes(&batches), before.elapsed()),
            (vec![MAX_EVENTS], Duration::ZERO)
        );
        answer.send(only(span(40))).unwrap();
        assert!(full.await.unwrap().is_ok());
        appender.close().await;
        assert_eq!(appender.waiting.lock().calls, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_lets_what_waits_for_company_go() {
        let (appender, mut calls) = gated_within(Duration::from_millis(10));
        let publishes = publish_to(&appender, names(&["a"])).await;
        let (_, answer) = calls.recv().await.unwrap();
        answer.send(only(span(1))).unwrap();
        let held = publish_to(&appender, names(&["b"])).await;
        let closing = tokio::spawn({
            let appender = appender.clone();
            async move { appender.close().await }
        });
        let (_, answer) = calls.recv().await.unwrap();
        answer.send(only(span(2))).unwrap();
        closing.await.unwrap();
        for publish in publishes.into_iter().chain(held) {
            assert!(publish.await.unwrap().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn full_calls_go_beside_each_other_but_never_with_the_same_channel() {
        let (appender, mut calls) = gated();
        let mut publishes = publish_to(&appender, names(&["a"])).await;
        let (_, first) = calls.recv().await.unwrap();
        publishes.extend(publish_to(&appender, vec!["a".to_owned(); 2 * MAX_EVENTS]).await);
        assert!(calls.try_recv().is_err(), "its channel is under way");
        let many = |count: usize| (0..count).map(|number| format!("c{number}"));
        publishes.extend(publish_to(&appender, many(MAX_EVENTS - 1)).await);
        assert!(calls.try_recv().is_err(), "another call would not be full");
        publishes.extend(publish_to(&appender, names(&["last"])).await);
        let (batches, second) = calls.recv().await.unwrap();
        assert_eq!(batches.len(), MAX_EVENTS);
        assert!(!channels(&batches).contains(&"a"));
        publishes.extend(publish_to(&appender, many(MAX_EVENTS * 2)).await);
        let (batches, third) = calls.recv().await.unwrap();
        let again = |name: &&str| many(MAX_EVENTS - 1).any(|busy| busy == **name);
        assert!(!channels(&batches).iter().any(again));
        let all = |batches: usize| Ok((0..batches).map(|at| Ok(span(at as u64 + 1))).collect());
        third.send(all(batches.len())).unwrap();
        second.send(all(MAX_EVENTS)).unwrap();
        first.send(only(span(1))).unwrap();
        let serving = tokio::spawn(async move {
            while let Some((batches, answer)) = calls.recv().await {
                answer.send(all(batches.len())).unwrap();
            }
        });
        for publish in publishes {
            assert!(publish.await.unwrap().is_ok());
        }
        appender.close().await;
        assert_eq!(appender.waiting.lock().could_go.events, 0);
        assert_eq!(appender.waiting.lock().calls, 0);
        serving.abort();
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
        let publish = || {
            let appender = appender.clone();
            tokio::spawn(async move { appender.append(&publication(&["x"])).await })
        };
        let mut publishes = vec![publish()];
        let (_, answer) = calls.recv().await.unwrap();
        publishes.extend((0..MAX_WAITING).map(|_| publish()));
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
