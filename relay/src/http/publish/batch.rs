//! Several events in one request: the legal ones are appended together, the others reported by line.

use super::{Limits, body, cloudevents, envelope};
use crate::{
    event::{Ending, Event},
    http::problem::{Kind, Problem},
};
use serde_json::value::RawValue;

/// What became of a line, numbered from 1.
pub enum Line {
    Event { number: usize },
    Refused { number: usize, problem: Problem },
}

#[derive(Default)]
pub struct Batch {
    events: Vec<Event>,
    lines: Vec<Line>,
}

impl Batch {
    /// NDJSON: an envelope on each line; blank lines count for the numbers only.
    pub fn of_lines(bytes: &[u8], limits: &Limits) -> Result<Batch, Problem> {
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let filled = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        Batch::collect(
            filled.map(|(index, line)| (index + 1, envelope::parse(line.trim_ascii()))),
            limits,
        )
    }

    /// A JSON array of CloudEvents; its elements are numbered as lines.
    pub fn of_cloud_events(bytes: &[u8], limits: &Limits) -> Result<Batch, Problem> {
        let events: Vec<&RawValue> = serde_json::from_str(body::text(bytes)?).map_err(|error| {
            Problem::new(
                Kind::InvalidJson,
                format!("{error}; expected an array of CloudEvents"),
            )
        })?;
        let parsed = events
            .iter()
            .enumerate()
            .map(|(index, event)| (index + 1, cloudevents::structured(event.get().as_bytes())));
        Batch::collect(parsed, limits)
    }

    /// How many events there are, right or wrong.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    fn collect(
        parsed: impl Iterator<Item = (usize, Result<Event, Problem>)>,
        limits: &Limits,
    ) -> Result<Batch, Problem> {
        let mut batch = Batch::default();
        for (number, event) in parsed {
            if batch.lines.len() == limits.max_events {
                let detail = format!(
                    "a batch has at most {} events; send several",
                    limits.max_events
                );
                return Err(Problem::new(Kind::BatchTooLarge, detail));
            }
            let ended = batch
                .events
                .last()
                .is_some_and(|event| event.ending == Ending::Ends);
            let event = if ended {
                Err(Problem::new(
                    Kind::ChannelEnded,
                    "an event before it ends the channel",
                ))
            } else {
                event.and_then(|event| limits.check(event))
            };
            match event {
                Ok(event) => {
                    batch.events.push(event);
                    batch.lines.push(Line::Event { number });
                }
                Err(problem) => batch.lines.push(Line::Refused { number, problem }),
            }
        }
        if batch.lines.is_empty() {
            return Err(Problem::new(
                Kind::InvalidBatch,
                "the body has no events; send one on each line",
            ));
        }
        Ok(batch)
    }

    pub fn into_parts(self) -> (Vec<Event>, Vec<Line>) {
        (self.events, self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let config = relay_config::Config::default();
        Limits {
            max_event_bytes: config.event.max_bytes.as_usize(),
            max_attributes: 64,
            max_events: 3,
            target: super::super::Target::Channel,
        }
    }

    fn refused(batch: &Batch) -> Vec<usize> {
        let numbers = batch.lines.iter().filter_map(|line| match line {
            Line::Refused { number, .. } => Some(*number),
            Line::Event { .. } => None,
        });
        numbers.collect()
    }

    #[test]
    fn each_line_is_judged_by_itself_and_keeps_its_number() {
        let batch =
            Batch::of_lines(b"{\"data\":1}\r\n\n{\"dat\":2}\n{\"data\":3}", &limits()).unwrap();
        assert_eq!((batch.events.len(), refused(&batch)), (2, vec![3]));
    }

    #[test]
    fn nothing_comes_after_the_end_of_the_channel() {
        let batch = Batch::of_lines(b"{\"end\":true}\n{\"data\":3}", &limits()).unwrap();
        assert_eq!((batch.events.len(), refused(&batch)), (1, vec![2]));
    }

    #[test]
    fn an_empty_or_too_long_batch_is_refused_whole() {
        assert_eq!(
            Batch::of_lines(b"\n \n", &limits()).err().unwrap().kind,
            Kind::InvalidBatch
        );
        let four = b"{\"data\":1}\n".repeat(4);
        assert_eq!(
            Batch::of_lines(&four, &limits()).err().unwrap().kind,
            Kind::BatchTooLarge
        );
    }

    #[test]
    fn cloud_events_come_as_an_array() {
        let json =
            br#"[{"specversion":"1.0","id":"1","source":"s","type":"t","data":1},{"id":"2"}]"#;
        let batch = Batch::of_cloud_events(json, &limits()).unwrap();
        assert_eq!((batch.events.len(), refused(&batch)), (1, vec![2]));
        assert_eq!(
            Batch::of_cloud_events(b"{}", &limits()).err().unwrap().kind,
            Kind::InvalidJson
        );
    }
}
