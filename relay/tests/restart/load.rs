//! Publishers and subscribers that go on whatever becomes of the relay, and what they saw.

use crate::{
    http,
    patience::Patience,
    subscriber::{Manner, Subscriber},
};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Between two events of a publisher.
const PACE: Duration = Duration::from_millis(2);

/// Bytes of an event, so that the file soon has more that is trimmed than what is not.
const SIZE: usize = 1000;

/// An event that the relay said it has.
struct Acknowledged {
    channel: &'static str,
    data: String,
    id: String,
}

/// Publishes until told to stop; each event under a key of its own, until it is acknowledged.
pub struct Publishers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Acknowledged>>>,
}

impl Publishers {
    pub fn start(to: SocketAddr, count: usize, channels: &'static [&'static str]) -> Publishers {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |publisher| {
            let stop = stop.clone();
            std::thread::spawn(move || publish(to, publisher, channels, &stop))
        };
        let threads = (0..count).map(start).collect();
        Publishers { stop, threads }
    }

    /// Every event that was acknowledged. The relay must be there to acknowledge the last ones.
    fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::SeqCst);
        let threads = self.threads.into_iter();
        threads.flat_map(|thread| thread.join().unwrap()).collect()
    }
}

fn publish(
    to: SocketAddr,
    publisher: usize,
    channels: &'static [&'static str],
    stop: &AtomicBool,
) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = acknowledged.len();
        let channel = channels[(publisher + number) % channels.len()];
        let key = format!("{publisher}-{number}");
        let data = format!("{key} {}", "x".repeat(SIZE));
        let id = loop {
            match http::publish(to, channel, &data, &key) {
                Ok(answer) if answer.status < 300 => break answer.id().to_owned(),
                Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        acknowledged.push(Acknowledged { channel, data, id });
        std::thread::sleep(PACE);
    }
    acknowledged
}

/// The last id of each channel, and how long to wait for it at most.
type Until = OnceLock<(HashMap<&'static str, String>, Patience)>;

/// Subscriptions that read from the beginning until told that all was published.
pub struct Subscribers {
    /// The last ids that they wait for, when they are known.
    until: Arc<Until>,
    threads: Vec<JoinHandle<(&'static [&'static str], Subscriber)>>,
}

impl Subscribers {
    /// One for each set of channels and manner.
    pub fn start(to: SocketAddr, of: &[(&'static [&'static str], Manner)]) -> Subscribers {
        let until = Arc::new(Until::new());
        let start = |of: &(&'static [&'static str], Manner)| {
            let ((channels, manner), until) = (*of, until.clone());
            std::thread::spawn(move || (channels, subscribe(to, channels, manner, &until)))
        };
        let threads = of.iter().map(start).collect();
        Subscribers { until, threads }
    }
}

fn subscribe(
    to: SocketAddr,
    channels: &'static [&'static str],
    manner: Manner,
    until: &Until,
) -> Subscriber {
    let mut subscriber = Subscriber::of(to, channels, manner);
    let mut had = 0;
    subscriber.read_through(
        || until.get().is_some(),
        |subscriber| {
            let Some((ends, patience)) = until.get() else {
                return false;
            };
            if subscriber.events.len() > had {
                had = subscriber.events.len();
                patience.moved();
            }
            let last = subscriber.events.last().map(|(id, _)| id.as_str());
            let ends = ends
                .iter()
                .filter(|(channel, _)| selects(channels, channel));
            ends.map(|(_, id)| id.as_str()).max() <= last || patience.is_over()
        },
    );
    subscriber
}

fn selects(channels: &[&str], channel: &str) -> bool {
    channels.contains(&channel) || channels.contains(&"**")
}

/// What one subscription saw of what was acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Count {
    pub acknowledged: usize,
    /// Not seen, and no gap told of it.
    pub lost: usize,
    /// Not seen, but a gap told of it.
    pub told: usize,
    pub duplicated: usize,
    pub reordered: usize,
    /// Acknowledged under another id than the one it came with.
    pub other_id: usize,
    pub gaps: usize,
    pub connections: usize,
}

/// Ends publishers, then subscribers, and counts.
pub fn settle(publishers: Publishers, subscribers: Subscribers) -> Vec<Count> {
    let acknowledged = publishers.stop();
    let mut ends: HashMap<&'static str, String> = HashMap::new();
    for event in &acknowledged {
        let end = ends.entry(event.channel).or_default();
        *end = event.id.clone().max(std::mem::take(end));
    }
    let told = subscribers.until.set((ends, Patience::begin()));
    assert!(told.is_ok(), "a load settles once");
    let counts = subscribers.threads.into_iter().map(|thread| {
        let (channels, subscriber) = thread.join().unwrap();
        let count = count(channels, &subscriber, &acknowledged);
        println!("{}: {count:?}", channels.join(","));
        count
    });
    counts.collect()
}

fn count(channels: &[&str], subscriber: &Subscriber, acknowledged: &[Acknowledged]) -> Count {
    let mut count = Count {
        gaps: subscriber.gaps.len(),
        connections: subscriber.connections,
        ..Count::default()
    };
    let mut seen: HashMap<&str, &str> = HashMap::new();
    let mut highest = "";
    for (id, data) in &subscriber.events {
        count.duplicated += usize::from(seen.insert(data, id).is_some());
        count.reordered += usize::from(id.as_str() <= highest);
        highest = highest.max(id);
    }
    let told = |id: &str| {
        subscriber.gaps.iter().any(|gap| {
            let after = gap["after"].as_str().unwrap_or_default();
            after < id && gap["until"].as_str().is_none_or(|until| id <= until)
        })
    };
    let mut unique = HashSet::new();
    for event in acknowledged {
        assert!(unique.insert(event.id.as_str()), "an id was given twice");
        if !selects(channels, event.channel) {
            continue;
        }
        count.acknowledged += 1;
        match seen.get(event.data.as_str()) {
            Some(id) => count.other_id += usize::from(*id != event.id),
            None if told(&event.id) => count.told += 1,
            None => count.lost += 1,
        }
    }
    count
}
