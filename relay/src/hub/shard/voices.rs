//! What streams of routes are told besides events: their first blocks, and signs of life.

use super::{Connection, Shard, tick::TICK};
use crate::{
    clock::timestamp,
    cursor::Places,
    dialect::{
        Beat,
        facts::{GreetingFacts, HeartbeatFacts},
    },
    event_log::{cursor_of, resume::Start},
    frame::Frame,
    hub::{open::Opening, voice::Voice},
};
use relay_config::BeatWhen;

/// Looks at a stream in an interval of nothing: after the last of them it has been idle that long.
const LOOKS: u8 = 4;
/// Signs of life that are kept for the rest of a sweep.
const MAX_FRAMES: usize = 32;

/// A wheel over all slots for the streams of one rhythm, as that of heartbeats.
pub struct Wheel {
    beat: Beat,
    /// Ticks of a turn, and how many of them have passed.
    period: usize,
    step: usize,
    /// Streams that the turn has met.
    met: usize,
}

impl Wheel {
    pub fn new(beat: Beat) -> Wheel {
        let turn = match beat.when {
            BeatWhen::Always => beat.interval,
            BeatWhen::Idle => beat.interval / u32::from(LOOKS),
        };
        Wheel {
            beat,
            period: (turn.as_millis() / TICK.as_millis()).max(1) as usize,
            step: 0,
            met: 1,
        }
    }

    pub fn is_of(&self, beat: Beat) -> bool {
        self.beat == beat
    }
}

/// The signs of life of one sweep: the same for all who stand at the same places and want the same.
#[derive(Default)]
struct Beats(Vec<(Places, Voice, Option<Frame>)>);

impl Beats {
    fn get(&mut self, voice: &Voice, at: &Places) -> Option<Frame> {
        let mut known = self.0.iter();
        if let Some((.., frame)) = known.find(|(places, of, _)| places == at && of == voice) {
            return frame.clone();
        }
        let cursor = at.text();
        let frame = voice.dialect.heartbeat(&HeartbeatFacts {
            id: cursor.as_deref(),
            now: timestamp(),
            wanted: &voice.wanted,
            clients: voice.dialect.census.everywhere(),
        });
        if self.0.len() < MAX_FRAMES {
            self.0.push((at.clone(), voice.clone(), frame.clone()));
        }
        frame
    }
}

impl Shard {
    /// The first blocks of a stream of a route.
    pub(super) fn greet_as(
        &mut self,
        bytes: &mut Vec<u8>,
        voice: &Voice,
        start: &Start,
        opening: &Opening,
    ) {
        let framing = opening.key.framing;
        let cursor = cursor_of(&start.from).to_string();
        // no client has the cursor that has passed a gap without the gap
        let told_by_gap = start.lost.is_some() && voice.dialect.tells_gaps();
        let greeting = voice.dialect.greeting(&GreetingFacts {
            id: (!told_by_gap).then_some(&*cursor),
            now: timestamp(),
            retry: self.retry(),
            info: &opening.info,
            wanted: &voice.wanted,
            clients: voice.dialect.census.everywhere(),
        });
        let gap = start
            .lost
            .as_ref()
            .and_then(|lost| self.lost_frame(&opening.key, lost, &cursor));
        for frame in [greeting, gap].into_iter().flatten() {
            bytes.extend_from_slice(frame.bytes(framing));
        }
    }

    /// One step of each wheel. One that met nobody for a turn is taken away.
    pub(super) fn beat(&mut self) {
        let mut wheels = std::mem::take(&mut self.ticker.wheels);
        wheels.retain_mut(|wheel| {
            if wheel.step == 0 && std::mem::take(&mut wheel.met) == 0 {
                return self.is_awaited(wheel.beat);
            }
            let mut beats = Beats::default();
            for index in (wheel.step..self.slots.capacity()).step_by(wheel.period) {
                wheel.met += usize::from(self.visit(index, wheel.beat, &mut beats));
            }
            wheel.step = (wheel.step + 1) % wheel.period;
            true
        });
        self.ticker.wheels.append(&mut wheels);
    }

    /// Whether some feed has this rhythm.
    fn is_awaited(&self, beat: Beat) -> bool {
        self.feeds.iter().any(|(_, feed)| {
            let voice = feed.key.voice.as_ref();
            voice.is_some_and(|voice| voice.dialect.beat == beat)
        })
    }

    /// Looks at a slot; true if its stream has this rhythm.
    fn visit(&mut self, index: usize, beat: Beat, beats: &mut Beats) -> bool {
        let Some(slot) = self.slots.get_mut(index) else {
            return false;
        };
        let Connection::Stream(stream) = &mut slot.connection else {
            return false;
        };
        let feed = self.feeds.get(stream.feed);
        let Some(voice) = feed.key.voice.as_ref().filter(|v| v.dialect.beat == beat) else {
            return false;
        };
        let index = index as u32;
        if stream.flow.is_blocked() {
            // should the kernel have had no memory, nothing tells when it has
            self.pump(index);
            return true;
        }
        if beat.when == BeatWhen::Idle {
            let cursor = stream.cursor as u32;
            let quiet = stream.idle.cursor == cursor;
            stream.idle.cursor = cursor;
            stream.idle.looks = if quiet { stream.idle.looks + 1 } else { 0 };
            if stream.idle.looks < LOOKS {
                return true;
            }
            stream.idle.looks = 0;
        }
        if !stream.is_at_rest(feed.log.end()) {
            return true;
        }
        let has_everything = stream.has_joined() && stream.backlog.is_none();
        let at = if has_everything {
            feed.standing(&self.through)
        } else {
            Places::default()
        };
        if let Some(frame) = beats.get(voice, &at) {
            let bytes = frame.bytes(feed.key.framing);
            self.whisper(index, bytes);
        }
        true
    }
}
