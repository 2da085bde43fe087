//! What streams want of a source that can bring any channel: only that is listened to.
//!
//! Each replica knows what its own streams want. The one that pulls is told by the others, asks its
//! server, and says when it hears a channel; the stream's first block waits for that, but not for ever.
//! A want of another replica ends unless it is said again.

use super::{Health, health::Standing};
use crate::{
    channel::ChannelName,
    fleet::{
        Fleet,
        message::{Answer, Order, Question},
    },
};
use parking_lot::Mutex;
use relay_config::ChannelPattern;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    mem::take,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

/// How long a stream waits until its channels are listened to. Then it begins without.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long the replica that pulls may take until it answers another one; less than
/// [`crate::fleet::ANSWER_TIME`].
const CONFIRM_TIME: Duration = Duration::from_millis(1_200);
/// How long a channel is listened to after its last stream.
const LINGER: Duration = Duration::from_secs(30);
/// How often a replica says again what its streams want, and how long that holds.
const SAY_AGAIN: Duration = Duration::from_secs(20);
const HOLDS: Duration = Duration::from_secs(60);
/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Channels that one question carries.
const NAMES: usize = 500;
/// Between two log lines about channels that cannot be listened to.
const QUIET: Duration = Duration::from_secs(10);
/// Channels that a source listens to at most because streams want them.
pub const MAX_CHANNELS: usize = 65_536;

/// What streams want of one source.
pub struct Demand {
    pub source: String,
    patterns: Vec<ChannelPattern>,
    state: Mutex<State>,
    /// Grows with each change.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// How many want a channel in this process.
    here: HashMap<ChannelName, usize>,
    /// Nobody wants them here any more; until when they are listened to all the same.
    lingering: HashMap<ChannelName, Instant>,
    /// Until when other replicas want them.
    elsewhere: HashMap<ChannelName, Instant>,
    /// This replica pulls, and hears them.
    heard: HashSet<String>,
    /// The server will not have it.
    refused: HashSet<String>,
    /// Another replica pulls, and hears them.
    told: HashSet<ChannelName>,
    /// When the log was told last of one that is refused.
    complained: Option<Instant>,
}

impl State {
    fn len(&self) -> usize {
        self.here.len() + self.lingering.len() + self.elsewhere.len()
    }

    fn is_wanted(&self, channel: &str) -> bool {
        self.here.contains_key(channel)
            || self.lingering.contains_key(channel)
            || self.elsewhere.contains_key(channel)
    }

    /// Forgets what became of channels that nobody wants any more: who wants one again waits again.
    fn forget_unwanted(&mut self) {
        let (mut heard, mut refused) = (take(&mut self.heard), take(&mut self.refused));
        heard.retain(|channel| self.is_wanted(channel));
        refused.retain(|channel| self.is_wanted(channel));
        (self.heard, self.refused) = (heard, refused);
    }

    fn is_settled(&self, channel: &ChannelName) -> bool {
        let name = channel.as_str();
        self.heard.contains(name) || self.refused.contains(name) || self.told.contains(channel)
    }
}

/// Tells when something has changed.
pub struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Resolves when something has changed since it was asked last.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await; // the process ends
        }
    }
}

/// For whoever pulls.
impl Demand {
    /// Channels that streams want by now, of any replica.
    pub fn channels(&self) -> BTreeSet<String> {
        let state = self.state.lock();
        let all = state.here.keys().chain(state.lingering.keys());
        let all = all.chain(state.elsewhere.keys());
        all.map(|channel| channel.as_str().to_owned()).collect()
    }

    pub fn changes(&self) -> Changes {
        Changes(self.changes.subscribe())
    }

    /// What comes to these from here on is heard: streams that wait for it begin.
    pub fn heard<'n>(&self, channels: impl IntoIterator<Item = &'n str>) {
        let mut state = self.state.lock();
        let mut changed = false;
        for channel in channels {
            state.refused.remove(channel);
            if !state.heard.contains(channel) {
                changed |= state.heard.insert(channel.to_owned());
            }
        }
        drop(state);
        if changed {
            self.change();
        }
    }

    /// It cannot be listened to, and why. Who waits begins without. Said again, it changes nothing.
    pub fn refused(&self, channel: &str, why: &str) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.refused.len() >= MAX_CHANNELS || !state.refused.insert(channel.to_owned()) {
            return;
        }
        // whoever may subscribe could fill the log
        let is_quiet = state.complained.is_some_and(|at| now - at < QUIET);
        if !is_quiet {
            state.complained = Some(now);
        }
        drop(state);
        if !is_quiet {
            tracing::warn!(event = "source.refused", source = %self.source, channel, "a channel that a stream wants cannot be listened to: {why}");
        }
        self.change();
    }

    /// Nothing is heard any more.
    pub fn deaf(&self) {
        let mut state = self.state.lock();
        state.heard.clear();
        state.refused.clear();
        drop(state);
        self.change();
    }
}

impl Demand {
    /// `patterns` are the channels that may be wanted.
    pub fn new(source: &str, patterns: Vec<ChannelPattern>) -> Demand {
        Demand {
            source: source.to_owned(),
            patterns,
            state: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    fn change(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Whether the source can bring a channel.
    pub fn concerns(&self, channel: &ChannelName) -> bool {
        self.patterns.iter().any(|pattern| channel.is_in(pattern))
    }

    /// A stream of this process wants a channel.
    pub fn want(&self, channel: &ChannelName) {
        let mut state = self.state.lock();
        state.lingering.remove(channel);
        if !state.here.contains_key(channel) && state.len() >= MAX_CHANNELS {
            drop(state);
            tracing::warn!(event = "source.full", source = %self.source, "streams want more channels of the source than it listens to; one begins without");
            return;
        }
        let count = state.here.entry(channel.clone()).or_default();
        *count += 1;
        let first = *count == 1;
        drop(state);
        if first {
            self.change();
        }
    }

    /// One that wanted it does not any more.
    pub fn want_no_more(&self, channel: &ChannelName) {
        let mut state = self.state.lock();
        if let Some(count) = state.here.get_mut(channel) {
            *count -= 1;
            if *count == 0 {
                state.here.remove(channel);
                let until = Instant::now() + LINGER;
                state.lingering.insert(channel.clone(), until);
            }
        }
    }

    /// Waits until a channel is listened to, or cannot be, or it has taken too long.
    pub async fn settled(&self, channel: &ChannelName) {
        let deadline = Instant::now() + PATIENCE;
        let mut changes = self.changes();
        while !self.state.lock().is_settled(channel) {
            if timeout_at(deadline, changes.next()).await.is_err() {
                tracing::debug!(event = "source.late", source = %self.source, "a stream begins before its channel is listened to");
                return;
            }
        }
    }

    /// Another replica's streams want these; those of them that are heard within the time for an
    /// answer.
    pub async fn of_another(&self, channels: &[ChannelName]) -> Vec<ChannelName> {
        let now = Instant::now();
        {
            let mut state = self.state.lock();
            for channel in channels {
                if state.elsewhere.contains_key(channel) || state.len() < MAX_CHANNELS {
                    state.elsewhere.insert(channel.clone(), now + HOLDS);
                }
            }
        }
        let mut changes = self.changes();
        self.change();
        let settled = |channel: &&ChannelName| {
            let state = self.state.lock();
            state.heard.contains(channel.as_str()) || state.refused.contains(channel.as_str())
        };
        let all = async {
            while !channels.iter().all(|channel| settled(&channel)) {
                changes.next().await;
            }
        };
        let _ = timeout(CONFIRM_TIME, all).await; // those that are heard count
        channels.iter().filter(settled).cloned().collect()
    }

    /// Forgets what is due by now.
    fn sweep(&self, now: Instant) {
        let mut state = self.state.lock();
        let before = state.len();
        state.lingering.retain(|_, until| *until > now);
        state.elsewhere.retain(|_, until| *until > now);
        let changed = state.len() != before;
        if changed {
            state.forget_unwanted();
        }
        drop(state);
        if changed {
            self.change();
        }
    }

    /// What this replica's streams want and the one that pulls has not said that it hears.
    fn unsaid(&self) -> Vec<ChannelName> {
        let state = self.state.lock();
        let wanted = state.here.keys();
        let unsaid = wanted.filter(|channel| !state.told.contains(*channel));
        unsaid.cloned().collect()
    }

    fn told(&self, channels: Vec<ChannelName>) {
        let mut state = self.state.lock();
        for channel in channels {
            if state.here.contains_key(&channel) {
                state.told.insert(channel);
            }
        }
        drop(state);
        self.change();
    }

    fn forget_told(&self) {
        self.state.lock().told.clear();
    }
}

/// Until the process ends: forgets what nobody wants, and tells the replica that pulls what streams
/// here want.
pub async fn keep(demand: Arc<Demand>, health: Arc<Health>, fleet: Option<Arc<Fleet>>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes = demand.changes();
    let mut holder = health.holder();
    let mut said_again = Instant::now();
    loop {
        tokio::select! {
            _ = looks.tick() => demand.sweep(Instant::now()),
            () = changes.next() => {}
            changed = holder.changed() => {
                if changed.is_err() {
                    return; // the process ends
                }
                demand.forget_told(); // whoever pulls now was told nothing
            }
        }
        let Some(fleet) = &fleet else { continue };
        let to = holder.borrow().clone();
        let Some(to) = to.filter(|_| health.standing() == Standing::Elsewhere) else {
            continue;
        };
        if said_again.elapsed() > SAY_AGAIN {
            said_again = Instant::now();
            demand.forget_told();
        }
        for channels in demand.unsaid().chunks(NAMES) {
            let order = Order::Question(Question::Listen {
                source: demand.source.clone(),
                channels: channels.to_vec(),
            });
            match fleet.ask(&to, &order).await {
                Ok(Answer::Listening(heard)) => demand.told(heard),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(event = "source.unheard", source = %demand.source, %error, "the replica that pulls from the source was not told what streams want");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text).unwrap()
    }

    fn demand() -> Demand {
        Demand::new("page", vec!["page.*".parse().unwrap()])
    }

    #[test]
    fn only_what_the_source_can_bring_concerns_it() {
        let demand = demand();
        assert!(demand.concerns(&name("page.a")) && !demand.concerns(&name("other")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_is_wanted_as_long_as_anybody_does_and_a_while_longer() {
        let demand = demand();
        let a = name("page.a");
        for _ in 0..2 {
            demand.want(&a);
        }
        demand.want_no_more(&a);
        assert_eq!(demand.channels().len(), 1);
        demand.want_no_more(&a);
        demand.sweep(Instant::now());
        assert_eq!(demand.channels().len(), 1, "it lingers");
        demand.sweep(Instant::now() + LINGER);
        assert!(demand.channels().is_empty());
        demand.want_no_more(&a);
        demand.want(&a);
        assert_eq!(
            demand.channels().len(),
            1,
            "an end too many counts for nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_waits_until_its_channel_is_heard_or_refused_but_not_for_ever() {
        let demand = Arc::new(demand());
        let a = name("page.a");
        demand.want(&a);
        let began = Instant::now();
        demand.settled(&a).await;
        assert_eq!(began.elapsed(), PATIENCE);
        for settle in [
            |demand: &Demand| demand.heard(["page.a"]),
            |demand: &Demand| demand.refused("page.a", "no"),
        ] {
            demand.deaf();
            let waiting = tokio::spawn({
                let (demand, a) = (demand.clone(), a.clone());
                async move { demand.settled(&a).await }
            });
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            settle(&demand);
            let began = Instant::now();
            waiting.await.unwrap();
            assert_eq!(began.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_replica_wants_ends_unless_it_is_said_again() {
        let demand = Arc::new(demand());
        let (a, b) = (name("page.a"), name("page.b"));
        demand.heard(["page.a"]);
        let heard = demand.of_another(&[a.clone(), b]).await;
        assert_eq!(heard, [a], "the other one is not heard in time");
        assert_eq!(demand.channels().len(), 2);
        demand.sweep(Instant::now() + HOLDS);
        assert!(demand.channels().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_a_channel_again_after_it_was_given_up_waits_for_the_server_again() {
        let demand = demand();
        let (a, b) = (name("page.a"), name("page.b"));
        demand.want(&a);
        demand.want(&b);
        demand.heard(["page.a"]);
        demand.refused("page.b", "no");
        demand.want_no_more(&a);
        demand.want_no_more(&b);
        demand.sweep(Instant::now() + LINGER);
        for channel in [&a, &b] {
            demand.want(channel);
            assert!(!demand.state.lock().is_settled(channel), "{channel}");
        }
    }

    #[tokio::test]
    async fn what_is_refused_again_is_no_change() {
        let demand = demand();
        demand.refused("page.a", "no");
        let mut changes = demand.changes();
        demand.refused("page.a", "no");
        assert!(!changes.0.has_changed().unwrap());
        demand.refused("page.b", "no");
        changes.next().await;
    }

    #[tokio::test]
    async fn past_the_bound_streams_begin_without() {
        let demand = demand();
        for index in 0..=MAX_CHANNELS {
            demand.want(&name(&format!("page.{index}")));
        }
        assert_eq!(demand.channels().len(), MAX_CHANNELS);
    }
}
