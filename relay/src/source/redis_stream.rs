//! Redis Streams, read as one consumer of a group.
//!
//! All replicas are the same consumer, of which one is elected: what one has read and not acknowledged
//! is read again by the next, without waiting for it to be idle. An entry is acknowledged once the log
//! has it; its id recognises it when it comes again.

use super::{
    DropReason, Fault, FaultReason, Intake, Lag, Message, Promise, Source, Taken, redis_server,
};
use crate::{
    clock::unix_millis,
    redis::{Command, CommandError, Primary, Redis, Refusal, Reply, Session, Slot},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use relay_config::{Begin, RedisStreamSource};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Entries that are read at once.
const COUNT: u32 = 256;
/// How long a question for new entries waits for them; within the timeout of commands.
const BLOCK: Duration = Duration::from_secs(1);
/// How often the server is asked how much waits.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The source.
pub struct RedisStream {
    settings: RedisStreamSource,
    redis: Option<Redis>,
}

/// An entry of a stream, as the server gives it.
#[derive(PartialEq, Debug)]
struct Entry {
    stream: String,
    id: String,
    /// None of one that the stream does not have any more.
    fields: Option<Vec<(bytes::Bytes, bytes::Bytes)>>,
}

impl RedisStream {
    pub fn new(settings: RedisStreamSource) -> RedisStream {
        RedisStream {
            settings,
            redis: None,
        }
    }

    fn primary(&mut self) -> Result<Primary, Fault> {
        let mut slots = self
            .settings
            .streams
            .iter()
            .map(|key| Slot::of(key.as_bytes()));
        let slot = slots
            .next()
            .ok_or_else(|| Fault::new(FaultReason::Settings, "no stream is named"))?;
        if self.settings.redis.cluster.is_some() && slots.any(|other| other != slot) {
            return Err(Fault::new(
                FaultReason::Settings,
                "in a Cluster the streams of a source must be in one slot; give their keys a common tag, \
                 as in `{orders}:eu` and `{orders}:us`, or make a source of each",
            ));
        }
        let redis = match self.redis.take() {
            Some(redis) => redis,
            None => redis_server::start(&self.settings.redis)?,
        };
        let primary = redis.primary(slot);
        self.redis = Some(redis);
        Ok(primary)
    }

    async fn pull(&mut self, intake: &Intake) -> Result<(), Fault> {
        let primary = self.primary()?;
        let patience = self.settings.redis.connect_timeout.std();
        let reader = Reader {
            settings: &self.settings,
            consumer: intake.source(),
            session: primary.wait(patience).await?,
        };
        reader.make_groups().await?;
        intake.connected();
        reader.take_pending(intake).await?;
        let (mut looked, mut claimed) = (None::<Instant>, None::<Instant>);
        loop {
            if is_due(claimed, self.settings.claim_after.std()) {
                claimed = Some(Instant::now());
                reader.claim(intake).await?;
            }
            let entries = reader.read(&[">"], Some(BLOCK)).await?;
            let last = entries.last().and_then(|entry| millis_of(&entry.id));
            let full = entries.len() >= COUNT as usize;
            reader.take(intake, entries).await?;
            if is_due(looked, LOOK_EVERY) || full {
                looked = Some(Instant::now());
                let waiting = reader.waiting().await;
                let age = match (last, waiting) {
                    (_, Some(0)) | (None, _) => 0,
                    (Some(_), None) if !full => 0,
                    (Some(last), _) => unix_millis().saturating_sub(last),
                };
                intake.lag(Lag {
                    age: Duration::from_millis(age),
                    waiting,
                });
            }
        }
    }
}

/// Connects, and asks for the groups of each stream, which need not be there yet.
pub(super) async fn check(settings: &RedisStreamSource) -> Result<(), Fault> {
    let primary = RedisStream::new(settings.clone()).primary()?;
    let session = primary.wait(settings.redis.connect_timeout.std()).await?;
    for stream in &settings.streams {
        let groups = Command::new("XINFO GROUPS").arg(stream);
        match session.command(&groups).await {
            Err(CommandError::Refused { text, .. }) if text.contains("no such key") => {}
            answer => drop(answer?),
        }
    }
    Ok(())
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|at| at.elapsed() >= every)
}

impl Source for RedisStream {
    fn promise(&self) -> Promise {
        Promise::Acknowledged
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }

    fn leave(&mut self) -> BoxFuture<'_, ()> {
        self.redis = None; // no connection while another replica pulls
        Box::pin(std::future::ready(()))
    }
}

/// One connection, and what is read over it.
struct Reader<'r> {
    settings: &'r RedisStreamSource,
    consumer: &'r str,
    session: Arc<Session>,
}

impl Reader<'_> {
    async fn make_groups(&self) -> Result<(), Fault> {
        let begin = match self.settings.begin {
            Begin::New => "$",
            Begin::Oldest => "0",
        };
        for stream in &self.settings.streams {
            let create = Command::new("XGROUP CREATE")
                .arg(stream)
                .arg(&self.settings.group)
                .arg(begin)
                .arg("MKSTREAM");
            match self.session.command(&create).await {
                Ok(_) => {}
                Err(CommandError::Refused { text, .. }) if text.starts_with("BUSYGROUP") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What was read before and not acknowledged, by whichever replica.
    async fn take_pending(&self, intake: &Intake) -> Result<(), Fault> {
        let mut after: HashMap<String, String> = HashMap::new();
        loop {
            let streams = self.settings.streams.iter();
            let from: Vec<&str> = streams
                .map(|stream| after.get(stream).map_or("0", String::as_str))
                .collect();
            let entries = self.read(&from, None).await?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in &entries {
                after.insert(entry.stream.clone(), entry.id.clone());
            }
            self.take(intake, entries).await?;
        }
    }

    /// Takes over what other consumers of the group have left.
    async fn claim(&self, intake: &Intake) -> Result<(), Fault> {
        let idle = self.settings.claim_after.std().as_millis();
        for stream in &self.settings.streams {
            let mut from = "0-0".to_owned();
            loop {
                let claim = Command::new("XAUTOCLAIM")
                    .args([stream, &self.settings.group, self.consumer])
                    .arg(idle.to_string())
                    .arg(&from)
                    .args(["COUNT", &COUNT.to_string()]);
                let reply = self.session.command(&claim).await?;
                let [next, entries, ..] = reply.list().unwrap_or_default() else {
                    return Err(strange());
                };
                self.take(intake, entries_of(stream, entries)?).await?;
                match next.text() {
                    Some("0-0") => break,
                    Some(next) => from = next.to_owned(),
                    None => return Err(strange()),
                }
            }
        }
        Ok(())
    }

    /// `from` is of each stream, or the same of all.
    async fn read(&self, from: &[&str], block: Option<Duration>) -> Result<Vec<Entry>, Fault> {
        let mut read = Command::new("XREADGROUP GROUP")
            .args([&*self.settings.group, self.consumer])
            .args(["COUNT", &COUNT.to_string()]);
        if let Some(block) = block {
            read = read.args(["BLOCK", &block.as_millis().to_string()]);
        }
        let streams = &self.settings.streams;
        read = read.arg("STREAMS").args(streams);
        for index in 0..streams.len() {
            read = read.arg(from.get(index).unwrap_or(&from[0]));
        }
        let reply = match self.session.command(&read).await {
            Err(CommandError::Refused {
                why: Refusal::Other,
                text,
                ..
            }) if text.starts_with("NOGROUP") => {
                return Err(Fault::new(
                    FaultReason::Refused,
                    "the consumer group is gone, with its stream or without; it is made again",
                ));
            }
            reply => reply?,
        };
        if reply.is_nil() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for part in reply.list().ok_or_else(strange)? {
            let [stream, part] = part.list().unwrap_or_default() else {
                return Err(strange());
            };
            let stream = stream.text().ok_or_else(strange)?;
            entries.extend(entries_of(stream, part)?);
        }
        Ok(entries)
    }

    /// Hands entries over, and acknowledges them.
    async fn take(&self, intake: &Intake, entries: Vec<Entry>) -> Result<(), Fault> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut done: HashMap<String, Vec<String>> = HashMap::new();
        let mut messages = Vec::with_capacity(entries.len());
        for entry in entries {
            let ids = done.entry(entry.stream.clone()).or_default();
            ids.push(entry.id.clone());
            match message(entry, self.settings.field.as_deref()) {
                Ok(message) => messages.push(message),
                Err((reason, detail)) => {
                    let _: Taken = intake.refuse(reason, detail);
                }
            }
        }
        intake.append_all(messages).await;
        let commands: Vec<Command> = done
            .iter()
            .map(|(stream, ids)| {
                Command::new("XACK")
                    .args([stream, &self.settings.group])
                    .args(ids)
            })
            .collect();
        for reply in self.session.pipeline(&commands).await? {
            reply?;
        }
        Ok(())
    }

    /// How many entries the group has not read, if the server tells.
    async fn waiting(&self) -> Option<u64> {
        let commands = self
            .settings
            .streams
            .iter()
            .map(|stream| Command::new("XINFO GROUPS").arg(stream));
        let commands: Vec<Command> = commands.collect();
        let replies = self.session.pipeline(&commands).await.ok()?;
        let mut total = 0;
        for reply in replies {
            total += lag_of(&reply.ok()?, &self.settings.group)?;
        }
        Some(total)
    }
}

/// `lag` of a group in the answer to `XINFO GROUPS`: Redis 7.0 and later, where it knows.
fn lag_of(reply: &Reply, group: &str) -> Option<u64> {
    let field = |facts: &[Reply], name: &str| {
        let mut pairs = facts.chunks_exact(2);
        let pair = pairs.find(|pair| pair[0].text() == Some(name))?;
        Some(pair[1].clone())
    };
    let groups = reply.list()?.iter().filter_map(Reply::list);
    let mut ours = groups.filter(|facts| {
        let name = field(facts, "name");
        name.is_some_and(|name| name.text() == Some(group))
    });
    let lag = field(ours.next()?, "lag")?;
    lag.integer().and_then(|lag| u64::try_from(lag).ok())
}

fn strange() -> Fault {
    Fault::new(
        FaultReason::Protocol,
        "the server's answer has another shape than that of Redis",
    )
}

fn entries_of(stream: &str, reply: &Reply) -> Result<Vec<Entry>, Fault> {
    let mut entries = Vec::new();
    for entry in reply.list().ok_or_else(strange)? {
        if entry.is_nil() {
            continue; // servers before 7.0 tell so of entries that are gone when they are claimed
        }
        let [id, fields] = entry.list().unwrap_or_default() else {
            return Err(strange());
        };
        let fields = fields.list().map(|fields| {
            let pairs = fields.chunks_exact(2);
            let pairs =
                pairs.filter_map(|pair| Some((pair[0].bytes()?.clone(), pair[1].bytes()?.clone())));
            pairs.collect()
        });
        entries.push(Entry {
            stream: stream.to_owned(),
            id: id.text().ok_or_else(strange)?.to_owned(),
            fields,
        });
    }
    Ok(entries)
}

/// What an entry says, or why it is no message.
fn message(entry: Entry, field: Option<&str>) -> Result<Message, (DropReason, String)> {
    let Entry { stream, id, fields } = entry;
    let Some(fields) = fields else {
        let why = "its entry was trimmed or deleted before it was appended";
        return Err((DropReason::Gone, why.to_owned()));
    };
    let text = |bytes: bytes::Bytes| {
        String::from_utf8(bytes.into())
            .map_err(|_| (DropReason::NotText, "a field is no UTF-8".to_owned()))
    };
    let attributes = fields
        .into_iter()
        .map(|(name, value)| Ok((text(name)?, text(value)?)));
    let attributes: Vec<(String, String)> = attributes.collect::<Result<_, _>>()?;
    let body = match field {
        Some(field) => {
            let found = attributes.iter().find(|(name, _)| name == field);
            let found = found.map(|(_, value)| value.clone());
            found.ok_or_else(|| {
                let why = format!("its entry has no field `{field}`");
                (DropReason::NoData, why)
            })?
        }
        None => object(&attributes),
    };
    let time = millis_of(&id).and_then(|millis| i64::try_from(millis).ok());
    Ok(Message {
        origin: stream,
        time: time.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        id: Some(id),
        kind: None,
        body,
        attributes,
    })
}

/// A JSON object of texts, in the order of the entry; of a field that is there twice, the last.
fn object(fields: &[(String, String)]) -> String {
    let members = fields
        .iter()
        .map(|(name, value)| (name.clone(), serde_json::Value::from(value.as_str())));
    serde_json::Value::Object(members.collect()).to_string()
}

/// The time in the id of an entry.
fn millis_of(id: &str) -> Option<u64> {
    id.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&'static str, &'static [u8])]) -> Entry {
        let pair = |(name, value): &(&'static str, &'static [u8])| {
            ((*name).into(), bytes::Bytes::from_static(value))
        };
        Entry {
            stream: "orders".into(),
            id: "1700000000123-4".into(),
            fields: Some(fields.iter().map(pair).collect()),
        }
    }

    #[test]
    fn an_entry_is_an_object_of_its_fields_or_one_of_them() {
        let whole = message(entry(&[("b", b"1"), ("a", b"\"")]), None).unwrap();
        assert_eq!(whole.body, r#"{"a":"\"","b":"1"}"#);
        assert_eq!(
            (whole.id.as_deref(), whole.time.unwrap().as_millisecond()),
            (Some("1700000000123-4"), 1_700_000_000_123)
        );
        let one = message(entry(&[("b", b"1"), ("a", b"x")]), Some("a")).unwrap();
        assert_eq!((one.body.as_str(), one.attributes.len()), ("x", 2));
    }

    #[test]
    fn an_entry_that_is_no_message_says_why() {
        let reason = |entry, field| message(entry, field).unwrap_err().0;
        assert_eq!(reason(entry(&[("a", b"\xff")]), None), DropReason::NotText);
        assert_eq!(reason(entry(&[("a", b"x")]), Some("b")), DropReason::NoData);
        let gone = Entry {
            fields: None,
            ..entry(&[])
        };
        assert_eq!(reason(gone, None), DropReason::Gone);
    }

    #[test]
    fn how_much_waits_is_read_from_what_the_server_tells_of_its_group() {
        let text = |text: &'static str| Reply::Bytes(text.into());
        let group = |name, lag| Reply::List(vec![text("name"), text(name), text("lag"), lag]);
        let reply = Reply::List(vec![
            group("other", Reply::Integer(3)),
            group("ours", Reply::Integer(7)),
            group("unknown", Reply::Nil),
        ]);
        assert_eq!(lag_of(&reply, "ours"), Some(7));
        assert_eq!(lag_of(&reply, "unknown"), None);
        assert_eq!(lag_of(&reply, "missing"), None);
        assert_eq!(lag_of(&text("x"), "ours"), None);
    }
}
