//! What happens by the clock: heartbeats, deadlines, the drain.

use super::{Connection, Shard, accept::Heads, reap::Reaper, stream::Stream, voices::Wheel};
use crate::{
    clock::rfc3339,
    cursor::Places,
    dialect::Beat,
    frame::{Frame, HeartbeatData},
    hub::open::CloseReason,
};
use relay_config::HeartbeatAs;
use std::{
    task::Context,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Heartbeats are spread over their interval in steps of this.
pub const TICK: Duration = Duration::from_millis(100);

/// A wheel that sweeps over all slots once per heartbeat interval. It costs a stream nothing.
pub struct Ticker {
    interval: Interval,
    /// Ticks in a heartbeat interval, and how many of them have passed.
    period: usize,
    step: usize,
    pub heads: Heads,
    pub reaper: Reaper,
    /// For the streams of routes.
    pub wheels: Vec<Wheel>,
}

impl Ticker {
    /// Streams of this rhythm are to be visited too.
    pub fn also_beat(&mut self, beat: Beat) {
        if !self.wheels.iter().any(|wheel| wheel.is_of(beat)) {
            self.wheels.push(Wheel::new(beat));
        }
    }

    pub fn beat_every(&mut self, heartbeat: Duration) {
        self.period = period(heartbeat);
        self.step %= self.period;
    }

    /// On a runtime with a timer.
    pub fn new(heartbeat: Duration) -> Ticker {
        let mut interval = interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ticker {
            interval,
            period: period(heartbeat),
            step: 0,
            heads: Heads::new(),
            reaper: Reaper::default(),
            wheels: Vec::new(),
        }
    }
}

/// Ticks in a heartbeat interval.
fn period(heartbeat: Duration) -> usize {
    (heartbeat.as_millis() / TICK.as_millis()).max(1) as usize
}

/// Whether streams are being sent away.
pub enum Draining {
    No,
    /// Since when, for how long, and how many streams there were.
    Since {
        started: Instant,
        window: Duration,
        streams: usize,
        closed: usize,
    },
}

impl Shard {
    pub(super) fn poll_tick(&mut self, cx: &mut Context<'_>) {
        while self.ticker.interval.poll_tick(cx).is_ready() {
            self.now = Instant::now();
            self.expire_heads();
            self.heartbeats();
            self.beat();
            self.expire_streams();
            self.try_again();
            self.reap();
            self.drain_step();
        }
    }

    fn heartbeats(&mut self) {
        let (period, step) = (self.ticker.period, self.ticker.step);
        self.ticker.step = (step + 1) % period;
        let mut frames = HeartbeatFrames::default();
        for index in (step..self.slots.capacity()).step_by(period) {
            if let Some(slot) = self.slots.get(index)
                && matches!(slot.connection, Connection::Stream(_))
            {
                self.heartbeat(index as u32, &mut frames);
            }
        }
    }

    /// A stream that is behind gets none; one that waits for the log gets one without a cursor.
    fn heartbeat(&mut self, index: u32, frames: &mut HeartbeatFrames) {
        let voiced = |stream: &Stream| stream.info.voice.is_some();
        if self.stream(index).is_none_or(voiced) {
            return; // those of routes have a rhythm of their own
        }
        self.remind(index);
        let Some(stream) = self.stream(index) else {
            return;
        };
        if stream.flow.is_blocked() {
            // should the kernel have had no memory, nothing tells when it has
            return self.pump(index);
        }
        let feed = self.feeds.get(stream.feed);
        if !stream.is_at_rest(feed.log.end()) {
            return;
        }
        let has_everything = stream.has_joined() && stream.backlog.is_none();
        let at = if has_everything {
            feed.standing(&self.through)
        } else {
            Places::default()
        };
        let interval = self.shared.config.heartbeat.interval.std();
        let frame = frames.get(stream.heartbeat, &at, interval);
        let bytes = frame.bytes(feed.key.framing);
        self.whisper(index, bytes);
    }

    /// Closes what is open, spread over a time; nothing new is accepted.
    pub(super) fn drain(&mut self, window: Duration) {
        self.stop_accepting();
        let streams = self
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot.connection, Connection::Stream(_)))
            .count();
        self.draining = Draining::Since {
            started: self.now,
            window,
            streams,
            closed: 0,
        };
        self.drain_step();
    }

    fn drain_step(&mut self) {
        let Draining::Since {
            started,
            window,
            streams,
            closed,
        } = self.draining
        else {
            return;
        };
        let elapsed = self.now.saturating_duration_since(started).as_secs_f64();
        let share = (elapsed / window.as_secs_f64().max(0.001)).min(1.0);
        let due = (streams as f64 * share).ceil() as usize;
        let over = share >= 1.0;
        let wanted = if over {
            usize::MAX
        } else {
            due.saturating_sub(closed)
        };
        let open: Vec<u32> = self
            .slots
            .iter()
            .filter(|(_, slot)| match &slot.connection {
                // who is on its way out has until the end of the window for it
                Connection::Stream(stream) => over || !stream.is_closing(),
                Connection::Head(_) => false,
            })
            .take(wanted)
            .map(|(index, _)| index as u32)
            .collect();
        let wanted = open.len();
        open.into_iter()
            .for_each(|index| self.finish(index, CloseReason::Draining));
        if over {
            self.drop_silent_heads();
        }
        self.draining = Draining::Since {
            started,
            window,
            streams,
            closed: closed + wanted,
        };
    }
}

/// The heartbeats of one sweep: the same bytes for all streams that stand at the same places.
#[derive(Default)]
struct HeartbeatFrames(Vec<(Places, HeartbeatAs, Frame)>);

/// Heartbeats that are kept for the rest of a sweep.
const MAX_FRAMES: usize = 32;

impl HeartbeatFrames {
    fn get(&mut self, kind: HeartbeatAs, at: &Places, interval: Duration) -> Frame {
        let mut known = self.0.iter();
        let known = known.find(|(places, of, _)| *of == kind && places == at);
        if let Some((.., frame)) = known {
            return frame.clone();
        }
        let cursor = at.text();
        let frame = match kind {
            HeartbeatAs::Comment => Frame::heartbeat_comment(cursor.as_deref()),
            HeartbeatAs::Event => {
                let data = HeartbeatData {
                    time: rfc3339(SystemTime::now()),
                    interval_seconds: interval.as_secs_f64(),
                };
                Frame::control(cursor.as_deref(), "heartbeat", &data)
            }
        };
        if self.0.len() < MAX_FRAMES {
            self.0.push((at.clone(), kind, frame.clone()));
        }
        frame
    }
}
