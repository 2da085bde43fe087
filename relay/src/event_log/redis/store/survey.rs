//! What a partition holds: lists, figures, and the sweep that drops what is too old.

use super::{Replies, Store, StoreError, limit, millis, next, parse_id};
use crate::{
    channel::ChannelName,
    cursor::{EventId, Place, UnixMillis},
    event::Ending,
    event_log::{
        ChannelInfo, LogTotals,
        redis::{
            entry::{OVERHEAD, Undecodable, parse_stored, parse_stream_id},
            keys::channel_named,
            scripts,
        },
    },
    redis::{Command, Reply},
};

/// Channels that one sweep looks at.
pub const SWEEP_STEP: usize = 256;
/// Channels that totals are counted over; past it they are an estimate.
const COUNTED: usize = 100;
/// Memory of a rate, in milliseconds; as the embedded log has it.
const RATE_MEMORY: f64 = 10_000.0;

/// What is kept of a channel (`read_channel` in the scripts).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    pub last: EventId,
    /// Bytes that were ever appended.
    bytes: u64,
    /// In thousandths of an event a second, at the last event.
    rate: u64,
    pub ending: Ending,
}

impl Kept {
    fn parse(text: &str) -> Result<Kept, Undecodable> {
        let strange = || Undecodable::Damaged("what is kept of a channel has another shape");
        let words: Vec<&str> = text.split(' ').collect();
        let [last, bytes, rate, ended] = words[..] else {
            return Err(strange());
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| strange());
        Ok(Kept {
            last: EventId::new(number(last)?).ok_or_else(strange)?,
            bytes: number(bytes)?,
            rate: number(rate)?,
            ending: match ended {
                "0" => Ending::Continues,
                "1" => Ending::Ends,
                _ => return Err(strange()),
            },
        })
    }

    fn rate_at(&self, now: UnixMillis) -> f64 {
        let quiet = now.saturating_sub(self.last.unix_millis()) as f64;
        self.rate as f64 / 1000.0 * (-quiet / RATE_MEMORY).exp()
    }
}

impl Store {
    /// Channels that moved after an id, in the order of their last ids, and whether there may be more.
    pub async fn index_after(
        &self,
        after: EventId,
        limit: usize,
    ) -> Result<(Vec<(String, EventId)>, bool), StoreError> {
        let command = Command::new("ZRANGEBYSCORE")
            .arg(self.keys.index())
            .arg(format!("({}", after.get()))
            .args(["+inf", "WITHSCORES", "LIMIT", "0"])
            .arg(limit.to_string());
        let mut replies = self.primary.pipeline(&[command]).await?.into_iter();
        let reply = next(&mut replies)?;
        let pairs = reply.list().unwrap_or_default().chunks_exact(2);
        let mut page = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let name = pair[0]
                .text()
                .ok_or(Undecodable::Damaged("a name is not UTF-8"))?;
            let last = score_of(&pair[1])?.ok_or(Undecodable::Damaged("a channel has no id"))?;
            page.push((name.to_owned(), last));
        }
        let full = page.len() == limit;
        Ok((page, full))
    }

    pub(super) fn kept_command(&self, channels: &[ChannelName]) -> Command {
        let names = channels.iter().map(ChannelName::as_str);
        Command::new("HMGET").arg(self.keys.channels()).args(names)
    }

    /// Names after one, in order, at most `limit`. They begin with `start`.
    pub async fn names(
        &self,
        start: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let from = match after {
            Some(after) if after >= start => format!("({after}"),
            _ => format!("[{start}"),
        };
        let command = Command::new("ZRANGEBYLEX")
            .arg(self.keys.names())
            .arg(from)
            // no UTF-8 has the byte 0xff, so this is above all that begin so
            .arg(if start.is_empty() {
                b"+".to_vec()
            } else {
                [b"[", start.as_bytes(), b"\xff"].concat()
            })
            .args(["LIMIT", "0"])
            .arg(limit.to_string());
        let mut replies = self.primary.pipeline(&[command]).await?.into_iter();
        let reply = next(&mut replies)?;
        let names = reply.list().unwrap_or_default().iter();
        let names = names.map(|name| {
            name.text()
                .map(str::to_owned)
                .ok_or(Undecodable::Damaged("a name is not UTF-8"))
        });
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// What these channels hold; without those that the log does not know. `now` is for their rates,
    /// and `place` makes ids places.
    pub async fn describe(
        &self,
        names: &[ChannelName],
        now: UnixMillis,
        place: impl Fn(EventId) -> Place,
    ) -> Result<Vec<ChannelInfo>, StoreError> {
        let mut commands = Vec::with_capacity(names.len() * 3);
        for name in names {
            let stream = self.keys.stream(name.as_str());
            commands.extend([
                Command::new("HGET")
                    .arg(self.keys.channels())
                    .arg(name.as_str()),
                Command::new("XLEN").arg(&stream),
                Command::new("XRANGE")
                    .arg(&stream)
                    .args(["-", "+", "COUNT", "1"]),
            ]);
        }
        let mut replies = self.primary.pipeline(&commands).await?.into_iter();
        let mut infos = Vec::with_capacity(names.len());
        for name in names {
            let held = Held::take(&mut replies)?;
            if let Some(Held {
                kept,
                events,
                first,
            }) = held
            {
                infos.push(ChannelInfo {
                    name: name.clone(),
                    events,
                    bytes: first
                        .map_or(0, |(_, before)| kept.bytes.saturating_sub(before) as usize),
                    first: first.map(|(id, _)| place(id)),
                    last: Some(place(kept.last)),
                    last_at: Some(kept.last.unix_millis()),
                    rate: kept.rate_at(now),
                    ending: kept.ending,
                });
            }
        }
        Ok(infos)
    }

    /// Channels, events and bytes. Past a hundred channels, events and bytes are an estimate from
    /// the first hundred names.
    pub async fn totals(&self) -> Result<LogTotals, StoreError> {
        let command = Command::new("ZCARD").arg(self.keys.names());
        let mut replies = self.primary.pipeline(&[command]).await?.into_iter();
        let channels = next(&mut replies)?.integer().unwrap_or(0).unsigned_abs() as usize;
        let names = self.names("", None, COUNTED).await?;
        let names: Vec<ChannelName> = names
            .iter()
            .filter_map(|name| channel_named(name))
            .collect();
        let nowhere = |id| Place {
            partition: self.partition,
            epoch: crate::cursor::Epoch::from_random(0),
            id,
        };
        let infos = self.describe(&names, 0, nowhere).await?;
        let sum = |of: fn(&ChannelInfo) -> usize| -> usize {
            let counted: usize = infos.iter().map(of).sum();
            match infos.len() {
                0 => 0,
                known if known < channels => {
                    (counted as f64 * channels as f64 / known as f64) as usize
                }
                _ => counted,
            }
        };
        Ok(LogTotals {
            channels,
            events: sum(|info| info.events),
            bytes: sum(|info| info.bytes),
        })
    }

    /// Looks at the channels that follow `from` in the order of their last ids: brings them within
    /// their limits and forgets those that are idle. Where the next sweep goes on.
    pub async fn sweep(&self, from: EventId) -> Result<EventId, StoreError> {
        let (channels, full) = self.index_after(from, SWEEP_STEP).await?;
        let session = self.primary.session()?;
        let calls = channels.iter().map(|(channel, _)| async {
            let retention = self.retention(channel);
            let arguments = [
                channel.clone(),
                self.options.time.argument(),
                limit(retention.events),
                millis(retention.age),
                limit(retention.bytes),
            ];
            let keys = [
                self.keys.head(),
                self.keys.index(),
                self.keys.channels(),
                self.keys.names(),
                self.keys.stream(channel),
                self.keys.purges(),
            ];
            let keys = keys.each_ref().map(|key| key.as_bytes());
            let arguments = arguments.each_ref().map(|argument| argument.as_bytes());
            session.script(&scripts::SWEEP, &keys, &arguments).await
        });
        for answer in futures_util::future::join_all(calls).await {
            answer?;
        }
        let last = channels.last().map(|(_, last)| *last);
        Ok(last.filter(|_| full).unwrap_or(EventId::ZERO))
    }
}

/// A score of the index: an id. Redis writes integers below 2^53 without a fraction or an exponent.
pub(super) fn score_of(reply: &Reply) -> Result<Option<EventId>, Undecodable> {
    if reply.is_nil() {
        return Ok(None);
    }
    parse_id(reply).map(Some)
}

/// Of an answer to [`Store::kept_command`]; `None` for channels that the log does not know.
pub(super) fn parse_all_kept(reply: &Reply) -> Result<Vec<Option<Kept>>, Undecodable> {
    reply
        .list()
        .unwrap_or_default()
        .iter()
        .map(parse_kept)
        .collect()
}

fn parse_kept(reply: &Reply) -> Result<Option<Kept>, Undecodable> {
    if reply.is_nil() {
        return Ok(None);
    }
    Kept::parse(reply.text().unwrap_or_default()).map(Some)
}

/// What a channel holds; its first event with the bytes that were appended before it.
struct Held {
    kept: Kept,
    events: usize,
    first: Option<(EventId, u64)>,
}

impl Held {
    fn take(replies: &mut Replies) -> Result<Option<Held>, StoreError> {
        let (kept, events, first) = (next(replies)?, next(replies)?, next(replies)?);
        let Some(kept) = parse_kept(&kept)? else {
            return Ok(None);
        };
        Ok(Some(Held {
            kept,
            events: events.integer().unwrap_or(0).unsigned_abs() as usize,
            first: first
                .list()
                .unwrap_or_default()
                .first()
                .and_then(|item| first_of(item, &kept)),
        }))
    }
}

fn first_of(item: &Reply, kept: &Kept) -> Option<(EventId, u64)> {
    let [id, fields] = item.list()? else {
        return None;
    };
    let id = parse_stream_id(id.bytes()?)?;
    // one that cannot be read still stands there; what it counts for is not known
    let before = match fields.list()? {
        [_, field] => parse_stored(field.bytes()?)
            .ok()
            .map(|stored| stored.bytes_before),
        _ => None,
    };
    Some((
        id,
        before.unwrap_or(kept.bytes.saturating_sub(OVERHEAD as u64)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_decays_from_the_last_event() {
        let kept = Kept::parse("4096000 100 2000 0").unwrap();
        let at = kept.last.unix_millis();
        assert!((kept.rate_at(at) - 2.0).abs() < 1e-9);
        assert!((0.7..0.8).contains(&kept.rate_at(at + 10_000)));
        assert_eq!(kept.ending, Ending::Continues);
        assert_eq!(Kept::parse("1 2 3 1").unwrap().ending, Ending::Ends);
        for other in ["", "1 2 3", "1 2 3 4", "x 2 3 0", "9007199254740992 0 0 0"] {
            assert!(Kept::parse(other).is_err(), "{other}");
        }
    }
}
