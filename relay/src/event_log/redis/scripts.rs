//! The log's Lua scripts, and what they answer. They stand in `scripts/`, one file each.

use super::entry::Undecodable;
use crate::{
    cursor::{Epoch, EventId},
    redis::{Reply, lua_script},
};

lua_script!(OPEN, "open.lua");
lua_script!(APPEND, "append.lua");
lua_script!(EPOCH, "epoch.lua");
lua_script!(WITNESS, "witness.lua");
lua_script!(ADOPT, "adopt.lua");
lua_script!(SWEEP, "sweep.lua");
lua_script!(PURGE, "purge.lua");
lua_script!(FENCE, "fence.lua");

/// What became of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Each of its publishes, in order.
    Settled(Vec<Outcome>),
    /// Nothing was written: the primary is not the one that the epoch was confirmed on.
    Recheck { epoch: Epoch, confirmed_on: String },
    /// The log has another number of partitions.
    OtherPartitions(u64),
}

/// What became of a publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The events are in the log.
    Appended {
        epoch: Epoch,
        first: EventId,
        last: EventId,
    },
    /// They were before, by the same publish.
    Repeated {
        epoch: Epoch,
        first: EventId,
        last: EventId,
    },
    /// The key was used for another publish.
    KeyReused,
    /// The channel has ended.
    Ended,
    /// The partition holds as many channels as it may.
    TooManyChannels,
    /// Somebody else holds its fence by now.
    Fenced,
    /// Too much came after a first attempt to find it.
    NotFound,
    /// A command failed in its channel, as Redis says; what was written there nobody knows.
    Failed(Box<str>),
}

/// What became of a purge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PurgeOutcome {
    Purged {
        epoch: Epoch,
        /// How many purges the partition has had, with this one.
        number: u64,
        until: EventId,
        events: u64,
    },
    /// The log knows nothing of the channel.
    Unknown,
    /// Nothing was dropped: the primary is not the one that the epoch was confirmed on.
    Recheck,
}

/// Whether an epoch began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    New,
    /// Another replica was first.
    Stale,
}

/// What became of an epoch that was to be made known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adoption {
    Known,
    /// It is the log's present one.
    Current,
    /// The log does not know the one before it, or knows as many as it may.
    Refused,
}

impl Adoption {
    pub fn parse(reply: &Reply) -> Result<Adoption, Undecodable> {
        match reply.text() {
            Some("known") => Ok(Adoption::Known),
            Some("current") => Ok(Adoption::Current),
            Some("unknown") => Ok(Adoption::Refused),
            _ => Err(strange()),
        }
    }
}

/// An answer of another shape than the script gives.
fn strange() -> Undecodable {
    Undecodable::Damaged("a script's answer has another shape")
}

impl Answer {
    pub fn parse(reply: &Reply) -> Result<Answer, Undecodable> {
        let [status, epoch, rest @ ..] = reply.list().unwrap_or_default() else {
            return Err(strange());
        };
        match (status.text(), rest) {
            (Some("settled"), outcomes) => {
                let epoch = parse_epoch(epoch)?;
                let outcomes = outcomes.iter().map(|reply| Outcome::parse(reply, epoch));
                Ok(Answer::Settled(outcomes.collect::<Result<_, _>>()?))
            }
            (Some("recheck"), [_, confirmed_on]) => Ok(Answer::Recheck {
                epoch: parse_epoch(epoch)?,
                confirmed_on: confirmed_on.text().ok_or_else(strange)?.to_owned(),
            }),
            (Some("partitions"), [theirs, _]) => {
                let theirs = theirs.integer().and_then(|n| u64::try_from(n).ok());
                Ok(Answer::OtherPartitions(theirs.ok_or_else(strange)?))
            }
            _ => Err(strange()),
        }
    }
}

impl Outcome {
    /// `epoch` is the one that the script appended in.
    fn parse(reply: &Reply, epoch: Epoch) -> Result<Outcome, Undecodable> {
        let text = reply.text().ok_or_else(strange)?;
        let (status, rest) = text.split_once(' ').unwrap_or((text, ""));
        Ok(match status {
            "ok" => {
                let [first, last] = ids(rest)?;
                Outcome::Appended { epoch, first, last }
            }
            "duplicate" => {
                let (epoch, rest) = rest.split_once(' ').ok_or_else(strange)?;
                let epoch = epoch.parse().map_err(|_| strange())?;
                let [first, last] = ids(rest)?;
                Outcome::Repeated {
                    epoch: Epoch::from_random(epoch),
                    first,
                    last,
                }
            }
            "conflict" => Outcome::KeyReused,
            "ended" => Outcome::Ended,
            "full" => Outcome::TooManyChannels,
            "fenced" => Outcome::Fenced,
            "unknown" => Outcome::NotFound,
            "failed" => Outcome::Failed(rest.into()),
            _ => return Err(strange()),
        })
    }
}

/// Two ids.
fn ids(words: &str) -> Result<[EventId; 2], Undecodable> {
    let mut words = words.split(' ');
    let mut id = || {
        let number = words.next()?.parse().ok()?;
        EventId::new(number)
    };
    let both = [id().ok_or_else(strange)?, id().ok_or_else(strange)?];
    match words.next() {
        None => Ok(both),
        Some(_) => Err(strange()),
    }
}

impl PurgeOutcome {
    pub fn parse(reply: &Reply) -> Result<PurgeOutcome, Undecodable> {
        let [status, epoch, number, until, events] = reply.list().unwrap_or_default() else {
            return Err(strange());
        };
        Ok(match status.text() {
            Some("ok") => PurgeOutcome::Purged {
                epoch: parse_epoch(epoch)?,
                number: parse_count(number)?,
                until: parse_id(until)?,
                events: parse_count(events)?,
            },
            Some("unknown") => PurgeOutcome::Unknown,
            Some("recheck") => PurgeOutcome::Recheck,
            _ => return Err(strange()),
        })
    }
}

impl Begun {
    pub fn parse(reply: &Reply) -> Result<Begun, Undecodable> {
        match reply.list().and_then(|items| items.first()?.text()) {
            Some("new") => Ok(Begun::New),
            Some("stale") => Ok(Begun::Stale),
            _ => Err(strange()),
        }
    }
}

pub fn parse_epoch(reply: &Reply) -> Result<Epoch, Undecodable> {
    let number = reply
        .integer()
        .and_then(|number| u32::try_from(number).ok());
    number.map(Epoch::from_random).ok_or_else(strange)
}

pub fn parse_count(reply: &Reply) -> Result<u64, Undecodable> {
    let number = reply.integer();
    number
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(strange)
}

pub fn parse_id(reply: &Reply) -> Result<EventId, Undecodable> {
    let number = reply
        .integer()
        .and_then(|number| u64::try_from(number).ok());
    number.and_then(EventId::new).ok_or_else(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_say_what_they_are_in_their_first_line() {
        for script in [
            &OPEN, &APPEND, &EPOCH, &WITNESS, &ADOPT, &SWEEP, &PURGE, &FENCE,
        ] {
            assert!(
                script.source().starts_with("#!lua\n"),
                "Redis 7 checks declared keys then"
            );
        }
    }

    #[test]
    fn answers_of_another_shape_are_refused() {
        let text = |text: &'static str| Reply::Bytes(text.into());
        let reply = |texts: &[&'static str]| Reply::List(texts.iter().copied().map(text).collect());
        let settled = |outcome| reply(&["settled", "5", outcome]);
        let appended = Outcome::Appended {
            epoch: Epoch::from_random(5),
            first: EventId::new(100).unwrap(),
            last: EventId::new(101).unwrap(),
        };
        assert_eq!(
            Answer::parse(&settled("ok 100 101")),
            Ok(Answer::Settled(vec![appended]))
        );
        let why = "WRONGTYPE it is of another kind";
        assert_eq!(
            Answer::parse(&settled("failed WRONGTYPE it is of another kind")),
            Ok(Answer::Settled(vec![Outcome::Failed(why.into())]))
        );
        for strange in [
            Reply::Nil,
            text("settled"),
            reply(&["settled"]),
            reply(&["settled", "-5", "ok 100 101"]),
            reply(&["recheck", "5", "1"]),
            reply(&["partitions", "5", "x", ""]),
            Reply::List(vec![text("settled"), text("5"), reply(&["ok"])]),
            settled("ok"),
            settled("ok 100"),
            settled("ok x 101"),
            settled("ok 100 101 102"),
            settled("duplicate 100 101"),
            settled("duplicate -5 100 101"),
            settled("perhaps 100 101"),
            settled("ok 100 9007199254740992"),
        ] {
            assert!(Answer::parse(&strange).is_err(), "{strange:?}");
        }
    }
}
