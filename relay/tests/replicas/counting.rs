//! Publishers and subscribers that go on whatever fails, and what they saw. Events are told apart by
//! what they carry, since ids of two epochs do not compare.

use crate::{
    findings::{Sent, Told, describe, parse},
    fleet::Fleet,
    http,
    patience::Patience,
    subscriber::{Manner, Subscriber},
};
use sse_relay::cursor::Place;
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Between two events of a publisher.
const PACE: Duration = Duration::from_millis(3);
/// Events that each channel must have at least, on average.
const ENOUGH: usize = 60;
/// How long publishers may take for one more event.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was acknowledged, once that is known, and how long subscriptions may take to get it.
type All = OnceLock<(Vec<Sent>, Patience)>;

pub struct Load {
    stop: Arc<AtomicBool>,
    /// Events that were acknowledged so far.
    acknowledged: Arc<AtomicUsize>,
    /// Those that every run must have.
    enough: usize,
    all: Arc<All>,
    publishers: Vec<JoinHandle<Vec<Sent>>>,
    subscribers: Vec<JoinHandle<(&'static [&'static str], Subscriber)>>,
}

/// What one subscription saw of what was acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Count {
    pub acknowledged: usize,
    /// Missing, and no gap says so.
    pub lost: usize,
    /// Missing, and a gap names the range.
    pub told: usize,
    pub duplicated: usize,
    pub reordered: usize,
    pub certain_gaps: usize,
    pub possible_gaps: usize,
    pub connections: usize,
}

impl Load {
    pub fn start(
        to: SocketAddr,
        channels: &'static [&'static str],
        publishers: usize,
        subscriptions: &[(&'static [&'static str], Manner)],
    ) -> Load {
        let (stop, all) = (Arc::new(AtomicBool::new(false)), Arc::new(All::new()));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let subscribers = subscriptions
            .iter()
            .map(|(channels, manner)| {
                let (channels, manner, all) = (*channels, *manner, all.clone());
                std::thread::spawn(move || (channels, subscribe(to, channels, manner, &all)))
            })
            .collect();
        let publishers = (0..publishers)
            .map(|publisher| {
                let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
                std::thread::spawn(move || publish(to, publisher, channels, &stop, &acknowledged))
            })
            .collect();
        Load {
            stop,
            acknowledged,
            enough: ENOUGH * channels.len(),
            all,
            publishers,
            subscribers,
        }
    }

    /// Ends publishers once they have done enough, then subscribers, and counts.
    pub fn settle(self) -> Vec<Count> {
        let (mut before, mut moved) = (0, Instant::now());
        loop {
            match self.acknowledged.load(Ordering::SeqCst) {
                now if now >= self.enough => break,
                now if now > before => (before, moved) = (now, Instant::now()),
                _ => assert!(moved.elapsed() < PATIENCE, "nothing is published any more"),
            }
            std::thread::sleep(PACE);
        }
        self.stop.store(true, Ordering::SeqCst);
        let publishers = self.publishers.into_iter();
        let all: Vec<Sent> = publishers
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        let told = self.all.set((all.clone(), Patience::begin()));
        assert!(told.is_ok(), "a load settles once");
        let counts = self.subscribers.into_iter().map(|thread| {
            let (channels, subscriber) = thread.join().unwrap();
            let wanted = all.iter().filter(|sent| selects(channels, sent.channel));
            let wanted: Vec<Sent> = wanted.copied().collect();
            let count = count(&subscriber, &wanted);
            println!("{}: {count:?}", channels.join(","));
            if !count.is_exact() || !subscriber.gaps.is_empty() {
                println!("{}", describe(channels, &subscriber, &wanted));
            }
            count
        });
        counts.collect()
    }
}

/// Publishes until told to stop; each event under a key of its own, until it is acknowledged.
fn publish(
    to: SocketAddr,
    publisher: usize,
    channels: &'static [&'static str],
    stop: &AtomicBool,
    count: &AtomicUsize,
) -> Vec<Sent> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = acknowledged.len();
        let channel = channels[(publisher + number) % channels.len()];
        let data = format!("{channel} {publisher} {number}");
        let id = loop {
            match http::publish(to, channel, &data, &format!("{publisher}-{number}")) {
                Ok(answer) if answer.status < 300 => break answer.id().to_owned(),
                Ok(answer) => assert!([502, 503, 504].contains(&answer.status), "{answer:?}"),
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        acknowledged.push(Sent {
            channel,
            publisher,
            number,
            at: Place::parse(&id).expect("an event has one place"),
        });
        count.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(PACE);
    }
    acknowledged
}

fn subscribe(
    to: SocketAddr,
    channels: &'static [&'static str],
    manner: Manner,
    all: &All,
) -> Subscriber {
    let mut subscriber = Subscriber::of(to, channels, manner);
    let mut missing = Missing::default();
    subscriber.read_through(
        || all.get().is_some(),
        |subscriber| {
            let Some((all, patience)) = all.get() else {
                return false;
            };
            missing.look(channels, subscriber, all, patience);
            missing.is_nothing || patience.is_over()
        },
    );
    subscriber
}

/// Whether a subscription lacks anything; found anew only when something has come, since a thousand of
/// them ask all the time.
#[derive(Default)]
struct Missing {
    /// What is to come, given so many gaps.
    wanted: Option<(usize, HashSet<String>)>,
    /// Events that had come.
    events: Option<usize>,
    is_nothing: bool,
}

impl Missing {
    fn look(
        &mut self,
        channels: &[&str],
        subscriber: &Subscriber,
        all: &[Sent],
        patience: &Patience,
    ) {
        let (events, gaps) = (&subscriber.events, &subscriber.gaps);
        if self.events == Some(events.len())
            && matches!(&self.wanted, Some((count, _)) if *count == gaps.len())
        {
            return;
        }
        if self.events.is_none_or(|before| before < events.len()) {
            patience.moved();
        }
        self.events = Some(events.len());
        if !matches!(&self.wanted, Some((count, _)) if *count == gaps.len()) {
            let told = Told::by(gaps);
            let wanted = all
                .iter()
                .filter(|sent| selects(channels, sent.channel) && !told.names(sent.at));
            self.wanted = Some((gaps.len(), wanted.map(Sent::data).collect()));
        }
        let Some((_, wanted)) = &self.wanted else {
            return;
        };
        self.is_nothing = events.len() >= wanted.len() && {
            let seen: HashSet<&str> = events.iter().map(|(_, data)| data.as_str()).collect();
            wanted.iter().all(|data| seen.contains(data.as_str()))
        };
    }
}

fn selects(channels: &[&str], channel: &str) -> bool {
    channels.contains(&channel) || channels.contains(&"**")
}

fn count(subscriber: &Subscriber, wanted: &[Sent]) -> Count {
    let certain = |gap: &&serde_json::Value| gap["certain"] == true;
    let certain_gaps = subscriber.gaps.iter().filter(certain).count();
    let mut count = Count {
        acknowledged: wanted.len(),
        certain_gaps,
        possible_gaps: subscriber.gaps.len() - certain_gaps,
        connections: subscriber.connections,
        ..Count::default()
    };
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut latest: HashMap<_, usize> = HashMap::new();
    let told = Told::by(&subscriber.gaps);
    for (id, data) in &subscriber.events {
        // what is lost after it was delivered, and published again, comes again
        let lost = Place::parse(id).filter(|at| told.names(*at));
        *seen.entry(data).or_default() += usize::from(lost.is_none());
        let (whose, number) = parse(data);
        // of two primaries at once each has an order: one of what was lost with it, and one of what stays
        let order = lost.map(|at| at.epoch);
        let latest = latest.entry((whose, order)).or_default();
        count.reordered += usize::from(number + 1 < *latest);
        *latest = (*latest).max(number + 1);
    }
    count.duplicated = seen.values().filter(|times| **times > 1).count();
    let missing = wanted
        .iter()
        .filter(|sent| !seen.contains_key(sent.data().as_str()));
    for sent in missing {
        match told.names(sent.at) {
            true => count.told += 1,
            false => count.lost += 1,
        }
    }
    count
}

impl Count {
    /// Nothing is missing that was not told, and nothing came twice or out of order.
    fn is_exact(&self) -> bool {
        [self.lost, self.duplicated, self.reordered] == [0; 3]
    }
}

/// The log has lost nothing, so every subscription has everything once, in order, and hears of no loss.
pub fn assert_exact(counts: &[Count], fleet: &Fleet) {
    let nothing_told = |count: &Count| (count.certain_gaps, count.possible_gaps) == (0, 0);
    assert_all(counts, fleet, |count| {
        count.is_exact() && nothing_told(count)
    });
}

/// What a subscription lacks is what a gap names.
pub fn assert_told(counts: &[Count], fleet: &Fleet) {
    assert_all(counts, fleet, Count::is_exact);
}

/// If not, what the relays said is told, too.
fn assert_all(counts: &[Count], fleet: &Fleet, are: impl Fn(&Count) -> bool) {
    let faulty: Vec<&Count> = counts.iter().filter(|count| !are(count)).collect();
    if !faulty.is_empty() {
        println!("{}", fleet.said());
    }
    assert!(faulty.is_empty(), "{faulty:?}");
}
