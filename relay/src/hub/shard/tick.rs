//! What happens by the clock: heartbeats, deadlines, the drain.

use super::{
    Connection, Shard,
    accept::Heads,
    reap::Reaper,
    stream::{Backlog, Then},
};
use crate::{
    clock::rfc3339,
    frame::{Frame, HeartbeatData},
    hub::{open::CloseReason, sink::Sent},
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
}

impl Ticker {
    /// On a runtime with a timer.
    pub fn new(heartbeat: Duration) -> Ticker {
        let mut interval = interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let period = (heartbeat.as_millis() / TICK.as_millis()).max(1) as usize;
        Ticker {
            interval,
            period,
            step: 0,
            heads: Heads::new(),
            reaper: Reaper::default(),
        }
    }
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
            self.expire_streams();
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

    /// Only a stream that has everything gets one: for the others the cursor would be ahead.
    fn heartbeat(&mut self, index: u32, frames: &mut HeartbeatFrames) {
        let Some(stream) = self.stream(index) else {
            return;
        };
        if stream.flow.is_blocked() {
            // should the kernel have had no memory, nothing tells when it has
            return self.pump(index);
        }
        let feed = self.feeds.get(stream.feed);
        if stream.backlog.is_some() || stream.cursor != feed.log.end() {
            return;
        }
        let (framing, at) = (feed.key.framing, feed.since.max(self.through));
        let interval = self.shared.config.heartbeat.interval.std();
        let log = &self.shared.log;
        let frame = frames.get(stream.heartbeat, at, || log.place(at).to_string(), interval);
        let bytes = frame.bytes(framing);
        match stream.sink.send(bytes) {
            Sent::All => {}
            Sent::Dead(reason) => self.close(index, reason),
            Sent::Part(n) => {
                let (rest, now) = (bytes[n..].to_vec(), self.now);
                self.set_backlog(index, Backlog::new(rest, 0, Then::Feed));
                if let Some(stream) = self.stream_mut(index) {
                    stream.flow = stream.flow.short(n, now);
                }
            }
        }
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

/// The heartbeats of one sweep: the same bytes for all streams that stand at the same place.
#[derive(Default)]
struct HeartbeatFrames {
    comment: Option<(crate::cursor::EventId, Frame)>,
    event: Option<(crate::cursor::EventId, Frame)>,
}

impl HeartbeatFrames {
    fn get(
        &mut self,
        kind: HeartbeatAs,
        at: crate::cursor::EventId,
        cursor: impl FnOnce() -> String,
        interval: Duration,
    ) -> Frame {
        let cached = match kind {
            HeartbeatAs::Comment => &mut self.comment,
            HeartbeatAs::Event => &mut self.event,
        };
        match cached {
            Some((known, frame)) if *known == at => frame.clone(),
            _ => {
                let frame = match kind {
                    HeartbeatAs::Comment => Frame::heartbeat_comment(&cursor()),
                    HeartbeatAs::Event => {
                        let time = rfc3339(SystemTime::now());
                        let data = HeartbeatData {
                            time,
                            interval_seconds: interval.as_secs_f64(),
                        };
                        Frame::control(Some(&cursor()), "heartbeat", &data)
                    }
                };
                *cached = Some((at, frame.clone()));
                frame
            }
        }
    }
}
