//! Publishers and subscribers that go on whatever fails, and what they saw. Events are told apart by
//! what they carry, since ids of two epochs do not compare.

use crate::{
    findings::{Sent, describe, parse},
    fleet::Fleet,
    http,
    subscriber::{Manner, Subscriber},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Between two events of a publisher.
const PACE: Duration = Duration::from_millis(3);
/// How long subscriptions may take to get the last events.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was acknowledged, once that is known, and how long subscriptions may take to get it.
type All = Mutex<Option<(Vec<Sent>, Instant)>>;

pub struct Load {
    stop: Arc<AtomicBool>,
    all: Arc<All>,
    publishers: Vec<JoinHandle<Vec<Sent>>>,
    subscribers: Vec<JoinHandle<(&'static [&'static str], Subscriber)>>,
}

/// What one subscription saw of what was acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Count {
    pub acknowledged: usize,
    pub lost: usize,
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
        let (stop, all) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let subscribers = subscriptions
            .iter()
            .map(|(channels, manner)| {
                let (channels, manner, all) = (*channels, *manner, all.clone());
                std::thread::spawn(move || (channels, subscribe(to, channels, manner, &all)))
            })
            .collect();
        let publishers = (0..publishers)
            .map(|publisher| {
                let stop = stop.clone();
                std::thread::spawn(move || publish(to, publisher, channels, &stop))
            })
            .collect();
        Load {
            stop,
            all,
            publishers,
            subscribers,
        }
    }

    /// Ends publishers, then subscribers, and counts.
    pub fn settle(self) -> Vec<Count> {
        self.stop.store(true, Ordering::SeqCst);
        let publishers = self.publishers.into_iter();
        let all: Vec<Sent> = publishers
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        *self.all.lock().unwrap() = Some((all.clone(), Instant::now() + PATIENCE));
        let counts = self.subscribers.into_iter().map(|thread| {
            let (channels, subscriber) = thread.join().unwrap();
            let wanted = all.iter().filter(|sent| selects(channels, sent.0));
            let wanted: Vec<Sent> = wanted.copied().collect();
            let count = count(&subscriber, &wanted);
            println!("{}: {count:?}", channels.join(","));
            if !count.is_exact() {
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
) -> Vec<Sent> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = acknowledged.len();
        let channel = channels[(publisher + number) % channels.len()];
        let data = format!("{channel} {publisher} {number}");
        loop {
            match http::publish(to, channel, &data, &format!("{publisher}-{number}")) {
                Ok(answer) if answer.status < 300 => break,
                Ok(answer) => assert!([502, 503, 504].contains(&answer.status), "{answer:?}"),
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        acknowledged.push((channel, publisher, number));
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
    let selectors = channels.iter().map(|channel| format!("channel={channel}&"));
    let query = selectors.collect::<String>() + "from=earliest";
    let mut subscriber = match manner {
        Manner::Steady => Subscriber::new(to, &query),
        Manner::Restless => Subscriber::new(to, &query).restless(),
    };
    subscriber.read_until(|subscriber| {
        let all = all.lock().unwrap();
        let Some((all, deadline)) = all.as_ref() else {
            return false;
        };
        let wanted = all.iter().filter(|sent| selects(channels, sent.0)).count();
        subscriber.events.len() >= wanted || Instant::now() > *deadline
    });
    subscriber
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
    let mut latest: HashMap<(&str, &str), usize> = HashMap::new();
    for (_, data) in &subscriber.events {
        *seen.entry(data).or_default() += 1;
        let (whose, number) = parse(data);
        let latest = latest.entry(whose).or_default();
        count.reordered += usize::from(number + 1 < *latest);
        *latest = (*latest).max(number + 1);
    }
    count.duplicated = seen.values().filter(|times| **times > 1).count();
    for (channel, publisher, number) in wanted {
        let data = format!("{channel} {publisher} {number}");
        count.lost += usize::from(!seen.contains_key(data.as_str()));
    }
    count
}

impl Count {
    /// Nothing was lost, doubled or out of order, and no gap was claimed for certain.
    fn is_exact(&self) -> bool {
        let faults = [
            self.lost,
            self.duplicated,
            self.reordered,
            self.certain_gaps,
        ];
        faults == [0; 4]
    }
}

/// Every subscription is exact; otherwise what the relays said is told, too.
pub fn assert_exact(counts: &[Count], fleet: &Fleet) {
    for count in counts {
        assert!(count.acknowledged > 50, "too little load: {count:?}");
    }
    let faulty: Vec<&Count> = counts.iter().filter(|count| !count.is_exact()).collect();
    if !faulty.is_empty() {
        println!("{}", fleet.said());
    }
    assert!(faulty.is_empty(), "{faulty:?}");
}
