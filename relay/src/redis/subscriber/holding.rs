//! What one connection is subscribed to, and what its answers mean. Pure: no I/O, no clock.

use crate::redis::{CommandError, Slot, error::from_server};
use ::redis::{PushKind, Value};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Channels of one command.
const BATCH: usize = 100;
/// Commands that may wait for their confirmations: bounds what a server must buffer for us.
const MAX_OUTSTANDING: usize = 16;

/// Whether the channels of one command must be of one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grouping {
    BySlot,
    Any,
}

/// How far a channel is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Asked,
    Confirmed,
    /// It is being left. It may be wanted again meanwhile.
    Leaving,
}

/// A command whose answer is due. Answers come in the order of commands.
#[derive(Debug)]
enum Outstanding {
    Ping,
    Auth,
    Subscribe {
        channels: Vec<Arc<str>>,
        left: usize,
    },
    Unsubscribe {
        left: usize,
    },
}

/// The next command to send.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Batch {
    Subscribe(Vec<Arc<str>>),
    Unsubscribe(Vec<Arc<str>>),
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Step {
    Nothing,
    Message {
        channel: Arc<str>,
        payload: Bytes,
    },
    Confirmed(Arc<str>),
    /// The server ended it: the slot has moved.
    Lost(Arc<str>),
    Refused {
        channels: Vec<Arc<str>>,
        why: CommandError,
    },
    LoginRefused(CommandError),
    Broken(Box<str>),
}

/// What one connection is subscribed to.
pub(super) struct Holding {
    grouping: Grouping,
    held: HashMap<Arc<str>, State>,
    /// Channels to look at: subscribe, leave, or nothing.
    due: VecDeque<Arc<str>>,
    outstanding: VecDeque<Outstanding>,
}

impl Holding {
    pub(super) fn new(grouping: Grouping) -> Holding {
        Holding {
            grouping,
            held: HashMap::new(),
            due: VecDeque::new(),
            outstanding: VecDeque::new(),
        }
    }

    /// Channels whose wish may have changed.
    pub(super) fn look_at(&mut self, mut channels: Vec<Arc<str>>) {
        if self.grouping == Grouping::BySlot {
            channels.sort_by_cached_key(|channel| Slot::of(channel.as_bytes()));
        }
        self.due.extend(channels);
    }

    pub(super) fn pinged(&mut self) {
        self.outstanding.push_back(Outstanding::Ping);
    }

    pub(super) fn authenticated(&mut self) {
        self.outstanding.push_back(Outstanding::Auth);
    }

    /// The next command, unless enough are under way.
    pub(super) fn next(&mut self, wanted: impl Fn(&str) -> bool) -> Option<Batch> {
        if self.outstanding.len() >= MAX_OUTSTANDING {
            return None;
        }
        let (mut channels, mut kind) = (Vec::new(), None);
        while let Some(channel) = self.due.pop_front() {
            let Some(to) = self.goal(&channel, wanted(&channel)) else {
                continue;
            };
            let slot = match self.grouping {
                Grouping::BySlot => Some(Slot::of(channel.as_bytes())),
                Grouping::Any => None,
            };
            if *kind.get_or_insert((to, slot)) != (to, slot) || channels.len() == BATCH {
                self.due.push_front(channel);
                break;
            }
            self.held.insert(channel.clone(), to);
            channels.push(channel);
        }
        let left = channels.len();
        let (to, _) = kind?;
        if to == State::Asked {
            let waiting = channels.clone();
            self.outstanding.push_back(Outstanding::Subscribe {
                channels: waiting,
                left,
            });
            return Some(Batch::Subscribe(channels));
        }
        self.outstanding
            .push_back(Outstanding::Unsubscribe { left });
        Some(Batch::Unsubscribe(channels))
    }

    /// The state that a channel should go to, if it is to go anywhere now.
    fn goal(&self, channel: &str, wanted: bool) -> Option<State> {
        match (self.held.get(channel), wanted) {
            (None, true) => Some(State::Asked),
            (Some(State::Asked | State::Confirmed), false) => Some(State::Leaving),
            // When it has been left it is looked at again.
            (Some(State::Leaving), _) | (None, false) | (Some(_), true) => None,
        }
    }

    pub(super) fn is_confirmed(&self, channel: &str) -> bool {
        self.held.get(channel) == Some(&State::Confirmed)
    }

    /// Everything that was confirmed.
    pub(super) fn confirmed(&self) -> Vec<Arc<str>> {
        let confirmed = self
            .held
            .iter()
            .filter(|(_, state)| **state == State::Confirmed);
        confirmed.map(|(channel, _)| channel.clone()).collect()
    }

    pub(super) fn answer(&mut self, value: Value) -> Step {
        match value {
            Value::Push { kind, data } => self.push(&kind, data),
            Value::ServerError(error) => self.error(from_server(error.code(), error.details())),
            _ => match self.outstanding.pop_front() {
                Some(Outstanding::Ping | Outstanding::Auth) => Step::Nothing,
                _ => Step::Broken("an answer to nothing that was asked".into()),
            },
        }
    }

    fn push(&mut self, kind: &PushKind, data: Vec<Value>) -> Step {
        let mut data = data.into_iter();
        let (Some(Value::BulkString(channel)), second) = (data.next(), data.next()) else {
            return match kind {
                PushKind::SMessage | PushKind::SSubscribe | PushKind::SUnsubscribe => {
                    Step::Broken("a push without a channel".into())
                }
                _ => Step::Nothing,
            };
        };
        let name = std::str::from_utf8(&channel).unwrap_or_default();
        let Some((channel, state)) = self.held.get_key_value(name) else {
            if *kind == PushKind::SUnsubscribe {
                self.left();
            }
            return Step::Nothing;
        };
        let (channel, state) = (channel.clone(), *state);
        match (kind, second) {
            (PushKind::SMessage, Some(Value::BulkString(payload))) if state == State::Confirmed => {
                Step::Message {
                    channel,
                    payload: payload.into(),
                }
            }
            (PushKind::SSubscribe, _) => self.subscribed(channel, state),
            (PushKind::SUnsubscribe, _) => self.unsubscribed(channel, state),
            _ => Step::Nothing,
        }
    }

    fn subscribed(&mut self, channel: Arc<str>, state: State) -> Step {
        if let Some(Outstanding::Subscribe { left, .. }) = self.outstanding.front_mut() {
            *left -= 1;
            if *left == 0 {
                self.outstanding.pop_front();
            }
        }
        // Left again before it was confirmed.
        if state == State::Leaving {
            return Step::Nothing;
        }
        self.held.insert(channel.clone(), State::Confirmed);
        Step::Confirmed(channel)
    }

    fn unsubscribed(&mut self, channel: Arc<str>, state: State) -> Step {
        self.held.remove(&channel);
        // Wanted again, perhaps.
        self.due.push_back(channel.clone());
        if state == State::Leaving {
            self.left();
            return Step::Nothing;
        }
        Step::Lost(channel)
    }

    /// A confirmation of a channel that was left. One that the server ended just before counts
    /// once too often; the next answer puts that right, since it belongs to a later command.
    fn left(&mut self) {
        if let Some(Outstanding::Unsubscribe { left }) = self.outstanding.front_mut() {
            *left -= 1;
            if *left == 0 {
                self.outstanding.pop_front();
            }
        }
    }

    fn error(&mut self, why: CommandError) -> Step {
        match self.outstanding.pop_front() {
            Some(Outstanding::Subscribe { channels, .. }) => {
                for channel in &channels {
                    self.held.remove(channel);
                }
                Step::Refused { channels, why }
            }
            Some(Outstanding::Auth) => Step::LoginRefused(why),
            _ => Step::Broken(why.to_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<Arc<str>> {
        (0..count).map(|n| Arc::from(format!("{{p}}{n}"))).collect()
    }

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    fn push(kind: PushKind, channel: &str, second: Value) -> Value {
        let channel = Value::BulkString(channel.as_bytes().to_vec());
        Value::Push {
            kind,
            data: vec![channel, second],
        }
    }

    fn subscribed(channel: &str) -> Value {
        push(PushKind::SSubscribe, channel, Value::Int(1))
    }

    fn unsubscribed(channel: &str) -> Value {
        push(PushKind::SUnsubscribe, channel, Value::Int(0))
    }

    fn message(channel: &str) -> Value {
        push(
            PushKind::SMessage,
            channel,
            Value::BulkString(b"m".to_vec()),
        )
    }

    #[test]
    fn commands_have_a_hundred_channels_and_so_many_are_under_way() {
        let mut holding = Holding::new(Grouping::Any);
        holding.look_at(names(BATCH * (MAX_OUTSTANDING + 1)));
        for _ in 0..MAX_OUTSTANDING {
            let Some(Batch::Subscribe(batch)) = holding.next(|_| true) else {
                panic!("there is more to subscribe to");
            };
            assert_eq!(batch.len(), BATCH);
        }
        assert_eq!(holding.next(|_| true), None);

        for channel in names(BATCH) {
            holding.answer(subscribed(&channel));
        }

        assert!(holding.next(|_| true).is_some());
        assert_eq!(holding.confirmed().len(), BATCH);
    }

    #[test]
    fn channels_of_two_slots_are_two_commands_in_a_cluster() {
        let mut holding = Holding::new(Grouping::BySlot);
        holding.look_at(["{a}1", "{b}1", "{a}2"].map(name).to_vec());
        let sizes = [(); 3].map(|()| match holding.next(|_| true) {
            Some(Batch::Subscribe(batch)) => batch.len(),
            _ => 0,
        });
        assert_eq!(sizes.iter().sum::<usize>(), 3);
        assert_eq!(sizes[2], 0);
    }

    #[test]
    fn a_message_counts_from_the_confirmation_to_the_leaving() {
        let mut holding = Holding::new(Grouping::Any);
        holding.look_at(vec![name("a")]);
        holding.next(|_| true);
        assert!(matches!(holding.answer(message("a")), Step::Nothing));
        assert!(matches!(
            holding.answer(subscribed("a")),
            Step::Confirmed(_)
        ));
        assert!(matches!(holding.answer(message("a")), Step::Message { .. }));
        assert!(matches!(holding.answer(message("other")), Step::Nothing));

        holding.look_at(vec![name("a")]);
        assert_eq!(
            holding.next(|_| false),
            Some(Batch::Unsubscribe(vec![name("a")]))
        );
        assert!(matches!(holding.answer(message("a")), Step::Nothing));
        assert!(holding.confirmed().is_empty());
    }

    #[test]
    fn a_channel_that_is_wanted_again_while_it_is_left_comes_back() {
        let mut holding = Holding::new(Grouping::Any);
        holding.look_at(vec![name("a")]);
        holding.next(|_| true);
        holding.look_at(vec![name("a")]);
        assert!(matches!(
            holding.next(|_| false),
            Some(Batch::Unsubscribe(_))
        ));
        holding.look_at(vec![name("a")]);
        assert_eq!(holding.next(|_| true), None, "it is still being left");

        assert!(matches!(holding.answer(subscribed("a")), Step::Nothing));
        assert!(matches!(holding.answer(unsubscribed("a")), Step::Nothing));

        assert_eq!(
            holding.next(|_| true),
            Some(Batch::Subscribe(vec![name("a")]))
        );
        assert!(matches!(
            holding.answer(subscribed("a")),
            Step::Confirmed(_)
        ));
    }

    #[test]
    fn what_the_server_ends_is_lost_and_tried_again() {
        let mut holding = Holding::new(Grouping::Any);
        holding.look_at(vec![name("a")]);
        holding.next(|_| true);
        holding.answer(subscribed("a"));
        holding.pinged();

        assert!(matches!(holding.answer(unsubscribed("a")), Step::Lost(_)));

        assert!(holding.confirmed().is_empty());
        assert!(matches!(
            holding.answer(Value::SimpleString("PONG".into())),
            Step::Nothing
        ));
        assert!(matches!(holding.next(|_| true), Some(Batch::Subscribe(_))));
    }

    #[test]
    fn an_error_belongs_to_the_oldest_command() {
        let mut holding = Holding::new(Grouping::Any);
        holding.pinged();
        holding.look_at(vec![name("a")]);
        holding.next(|_| true);
        holding.answer(Value::SimpleString("PONG".into()));
        let error = ::redis::parse_redis_value(b"-MOVED 1 host:1\r\n").unwrap();

        let step = holding.answer(error);

        let Step::Refused {
            channels,
            why: CommandError::NotExecuted { .. },
        } = step
        else {
            panic!("{step:?}");
        };
        assert_eq!(channels, [name("a")]);
        holding.look_at(channels);
        assert!(
            holding.next(|_| true).is_some(),
            "it is nowhere and may be tried again"
        );
    }

    #[test]
    fn an_answer_to_nothing_breaks_the_connection() {
        let mut holding = Holding::new(Grouping::Any);
        assert!(matches!(holding.answer(Value::Okay), Step::Broken(_)));
    }
}
