//! What the feeds of a shard get of one event: written once for all that get the same.

use super::feeds::Feed;
use crate::{
    cursor::Places,
    dialect::{Dialect, Rendition},
    event::Ending,
    frame::Frame,
    hub::{
        inbox::Delivery,
        voice::{Voice, Written},
    },
};
use std::sync::Arc;

/// The frames of one event: that of its partition, and those of feeds of several partitions, whose
/// streams get the cursor of all of them. Most such feeds stand at the same places.
#[derive(Default)]
pub struct Frames {
    joined: Vec<(Places, Part, Frame)>,
    renditions: Vec<(Places, Arc<Dialect>, Arc<Rendition>)>,
    end: Option<Frame>,
}

/// What a stream gets of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Event,
    /// Its filter rejects the event that ends a channel.
    End,
}

impl Frames {
    /// What the streams of a feed get, which has all events up to `through`.
    pub fn of(&mut self, delivery: &Delivery, feed: &Feed, through: &Places) -> Written {
        if let Some(voice) = &feed.key.voice {
            return self.voiced(delivery, feed, through, voice);
        }
        let entry = &delivery.entry;
        let part = match (feed.accepts(entry), entry.event.ending) {
            (true, _) => Part::Event,
            (false, Ending::Ends) => Part::End,
            (false, Ending::Continues) => return Written::Filtered,
        };
        let end = |id: &[u8]| Frame::end(id, entry.channel.as_str());
        if feed.is_of_one_partition() {
            return Written::Frame(match part {
                Part::Event => delivery.frame.clone(),
                Part::End => self
                    .end
                    .get_or_insert_with(|| end(&delivery.place.text()))
                    .clone(),
            });
        }
        let at = feed.standing(through);
        let mut known = self.joined.iter();
        if let Some((.., frame)) = known.find(|(known, of, _)| *of == part && *known == at) {
            return Written::Frame(frame.clone());
        }
        let id = at.to_string();
        let frame = match part {
            Part::Event => Frame::event(id.as_bytes(), entry.channel.as_str(), &entry.event),
            Part::End => end(id.as_bytes()),
        };
        self.joined.push((at, part, frame.clone()));
        Written::Frame(frame)
    }

    fn voiced(
        &mut self,
        delivery: &Delivery,
        feed: &Feed,
        through: &Places,
        voice: &Voice,
    ) -> Written {
        let entry = &delivery.entry;
        if !feed.accepts(entry) && entry.event.ending == Ending::Continues {
            return Written::Filtered;
        }
        // a place's text is ASCII
        let own = delivery.place.text();
        let own = std::str::from_utf8(&own).unwrap_or_default();
        if let (true, Some(shared)) = (feed.is_of_one_partition(), &delivery.renditions) {
            let rendition = shared.of(&voice.dialect, own, entry);
            return feed.key.said(voice, &rendition, own, entry);
        }
        let at = feed.standing(through);
        let id = if feed.is_of_one_partition() {
            own.to_owned()
        } else {
            at.to_string()
        };
        let mut known = self.renditions.iter();
        let known = known.find(|(known, of, _)| *of == voice.dialect && *known == at);
        let rendition = match known {
            Some((.., rendition)) => rendition.clone(),
            None => {
                let rendition = Arc::new(Rendition::new(&voice.dialect, &id, entry));
                self.renditions
                    .push((at, voice.dialect.clone(), rendition.clone()));
                rendition
            }
        };
        feed.key.said(voice, &rendition, &id, entry)
    }
}
