//! What replicas say to each other, as text. Releases N and N−1 understand each other: an order that
//! a replica does not know is refused by it as a whole, and the one who asked is told.

use crate::{
    channel::ChannelName,
    control::{Command, Outcome, command::Undecodable},
    hub::select::StreamSelector,
    listing::{ClientRow, RouteStreams, Streams},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Grows when a message changes its meaning. What is added as a field of its own is no change.
pub const VERSION: u16 = 1;

/// What a replica wants of others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    Command(Command),
    Question(Question),
}

/// What a replica asks others about their streams.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "camelCase", deny_unknown_fields)]
pub enum Question {
    /// Streams in the order in which they opened, after the one with a number.
    Streams {
        after: u64,
        limit: usize,
        streams: StreamSelector,
    },
    /// Receivers that gave themselves a name, in the order of the names, after one.
    Clients { after: Option<String>, limit: usize },
    /// What streams of the one who asks want of a source that the other pulls from.
    Listen {
        source: String,
        channels: Vec<ChannelName>,
    },
    /// Streams of the route whose first path is this one.
    Route { path: String },
    /// How many streams receive each of these.
    Count { channels: Vec<ChannelName> },
}

/// What a replica says to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    Outcome(Outcome),
    Streams(Streams),
    Clients(Vec<ClientRow>),
    Route(RouteStreams),
    Count(Vec<usize>),
    /// Of those that were asked for, what is heard from here on.
    Listening(Vec<ChannelName>),
    /// It does not understand it, or cannot do it.
    Refused(String),
}

#[derive(Debug)]
pub struct Message {
    /// The replica that sent it.
    pub from: String,
    /// What the replica that asks tells its orders apart by; an answer has that of the order.
    pub number: u64,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    Order(Order),
    /// An order that this release does not understand.
    Strange(Undecodable),
    Answer(Answer),
}

#[derive(Serialize)]
struct Envelope<'a> {
    version: u16,
    from: &'a str,
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'a Question>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a Answer>,
}

/// The same, as far as it can be read of any version.
#[derive(Deserialize)]
struct Opened {
    version: u16,
    from: String,
    number: u64,
    command: Option<Box<RawValue>>,
    question: Option<Box<RawValue>>,
    answer: Option<Box<RawValue>>,
}

pub fn order(from: &str, number: u64, order: &Order) -> Vec<u8> {
    let (command, question) = match order {
        Order::Command(command) => (Some(raw(command)), None),
        Order::Question(question) => (None, Some(question)),
    };
    write(&Envelope {
        version: VERSION,
        from,
        number,
        command,
        question,
        answer: None,
    })
}

pub fn answer(from: &str, number: u64, answer: &Answer) -> Vec<u8> {
    write(&Envelope {
        version: VERSION,
        from,
        number,
        command: None,
        question: None,
        answer: Some(answer),
    })
}

fn raw(command: &Command) -> Box<RawValue> {
    let text = String::from_utf8(command.encode()).expect("JSON is UTF-8");
    RawValue::from_string(text).expect("a command is written as JSON")
}

fn write(envelope: &Envelope<'_>) -> Vec<u8> {
    serde_json::to_vec(envelope).expect("structs of text with string keys")
}

impl Message {
    /// # Errors
    /// What does not even say from whom it is.
    pub fn decode(message: &[u8]) -> Result<Message, Undecodable> {
        let opened: Opened = serde_json::from_slice(message).map_err(|_| Undecodable::Malformed)?;
        let body = match (opened.command, opened.question, opened.answer) {
            _ if opened.version > VERSION => Body::Strange(Undecodable::Newer(opened.version)),
            (Some(command), None, None) => match Command::decode(command.get().as_bytes()) {
                Ok(command) => Body::Order(Order::Command(command)),
                Err(error) => Body::Strange(error),
            },
            (None, Some(question), None) => match serde_json::from_str(question.get()) {
                Ok(question) => Body::Order(Order::Question(question)),
                Err(_) => Body::Strange(Undecodable::Malformed),
            },
            (None, None, Some(answer)) => Body::Answer(
                serde_json::from_str(answer.get())
                    .unwrap_or_else(|_| Answer::Refused("it cannot be read".to_owned())),
            ),
            _ => Body::Strange(Undecodable::Malformed),
        };
        Ok(Message {
            from: opened.from,
            number: opened.number,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hub::open::EndReason, listing::StreamRow};

    fn decode(text: &str) -> Body {
        Message::decode(text.as_bytes()).unwrap().body
    }

    #[test]
    fn orders_and_answers_are_the_same_after_the_way() {
        let question = Question::Streams {
            after: 7,
            limit: 10,
            streams: StreamSelector::connection("r-1"),
        };
        let end = Command::End {
            streams: StreamSelector::connection("r-1"),
            reason: EndReason::Replaced,
        };
        for sent in [Order::Question(question), Order::Command(end)] {
            let message = Message::decode(&order("me", 3, &sent)).unwrap();
            assert_eq!((message.from.as_str(), message.number), ("me", 3));
            assert!(matches!(message.body, Body::Order(got) if got == sent));
        }
        let row = StreamRow {
            id: "r-1".into(),
            row: RawValue::from_string(r#"{"id":"r-1","new":1.0}"#.to_owned()).unwrap(),
        };
        let streams = Answer::Streams(Streams {
            rows: vec![row],
            more: true,
        });
        let message = Message::decode(&answer("me", 4, &streams)).unwrap();
        let Body::Answer(Answer::Streams(streams)) = message.body else {
            panic!("{message:?}");
        };
        assert_eq!(
            streams.rows[0].row.get(),
            r#"{"id":"r-1","new":1.0}"#,
            "a row of another release goes on as it came"
        );
    }

    #[test]
    fn what_is_not_known_is_told_apart_from_what_is_no_message() {
        let newer = r#"{"version":2,"from":"a","number":1,"wish":{}}"#;
        assert!(matches!(
            decode(newer),
            Body::Strange(Undecodable::Newer(2))
        ));
        for text in [
            r#"{"version":1,"from":"a","number":1}"#,
            r#"{"version":1,"from":"a","number":1,"question":{"about":"love"}}"#,
            r#"{"version":1,"from":"a","number":1,"command":{"version":1,"command":"dance"}}"#,
        ] {
            assert!(
                matches!(decode(text), Body::Strange(Undecodable::Malformed)),
                "{text}"
            );
        }
        let command =
            r#"{"version":1,"from":"a","number":1,"command":{"version":9,"command":"x"}}"#;
        assert!(matches!(
            decode(command),
            Body::Strange(Undecodable::Newer(9))
        ));
        let answer = r#"{"version":1,"from":"a","number":1,"answer":{"dance":1}}"#;
        assert!(matches!(decode(answer), Body::Answer(Answer::Refused(_))));
        for text in ["", "{}", r#"{"version":1}"#] {
            assert!(Message::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
