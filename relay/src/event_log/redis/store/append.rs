//! One call of `append.lua`.

use super::{
    super::{
        entry::Undecodable,
        options::{limit, millis},
        scripts::{self, Answer},
    },
    Attempt, Batch, Portion, Store, StoreError,
};
use crate::{cursor::Epoch, event::Ending, event_log::Retention, redis::Session};
use std::{
    fmt::{Display, Write as _},
    io,
};

/// Texts that a script is given, one behind the other in one buffer: a call has hundreds.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn put(&mut self, text: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(text.as_ref());
        self.ends.push(self.bytes.len());
    }

    fn write(&mut self, value: impl Display) {
        io::Write::write_fmt(&mut self.bytes, format_args!("{value}"))
            .expect("memory takes all that is written");
        self.ends.push(self.bytes.len());
    }

    fn slices(&self) -> Vec<&[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let pairs = begins.zip(&self.ends);
        pairs
            .map(|(from, &until)| &self.bytes[from..until])
            .collect()
    }
}

/// What publishes of a call name by its number, which begins with 1.
#[derive(Default)]
struct Shared {
    keys: Vec<String>,
    retentions: Vec<Retention>,
    /// Which retention each batch has.
    of_batches: Vec<usize>,
}

impl Shared {
    fn retention(&mut self, retention: Retention) {
        let known = self.retentions.iter().position(|one| *one == retention);
        let at = known.unwrap_or_else(|| {
            self.retentions.push(retention);
            self.retentions.len() - 1
        });
        self.of_batches.push(at + 1);
    }
}

impl Store {
    /// Appends batches in one call, each of another channel, over one session whose primary's
    /// replication id is checked. `fresh` is the epoch of the log, should it begin with this. The
    /// answer has an outcome for each portion of each batch, in order.
    pub async fn append(
        &self,
        session: &Session,
        batches: &[Batch],
        attempt: Attempt,
        fresh: Epoch,
    ) -> Result<Answer, StoreError> {
        let keys = self.append_keys(batches);
        let arguments = self.append_arguments(session, batches, attempt, fresh);
        let reply = session
            .script(&scripts::APPEND, &keys.slices(), &arguments.slices())
            .await?;
        let portions: usize = batches.iter().map(|batch| batch.portions.len()).sum();
        match Answer::parse(&reply)? {
            Answer::Settled(outcomes) if outcomes.len() != portions => {
                Err(Undecodable::Damaged("a script's answer has another length").into())
            }
            answer => Ok(answer),
        }
    }

    fn append_keys(&self, batches: &[Batch]) -> Texts {
        let mut keys = Texts::default();
        for key in [
            self.keys.head(),
            self.keys.index(),
            self.keys.channels(),
            self.keys.names(),
        ] {
            keys.put(key);
        }
        for batch in batches {
            keys.put(self.keys.stream(batch.channel.as_str()));
        }
        let mut portions = batches.iter().flat_map(|batch| &batch.portions);
        if portions
            .clone()
            .any(|portion| portion.idempotency.is_some())
        {
            keys.put(self.keys.used_keys());
            keys.put(self.keys.outcomes());
        }
        if portions.any(|portion| portion.fence.is_some()) {
            keys.put(self.keys.fences());
        }
        keys
    }

    /// In the order that `append.lua` names.
    fn append_arguments(
        &self,
        session: &Session,
        batches: &[Batch],
        attempt: Attempt,
        fresh: Epoch,
    ) -> Texts {
        let options = &self.options;
        let shared = self.shared(batches);
        let mut arguments = Texts::default();
        arguments.write(fresh.get());
        arguments.put(session.replication_id().as_str());
        arguments.put(options.time.argument());
        arguments.put(&self.count);
        arguments.write(options.max_channels);
        arguments.put(self.keys.news());
        arguments.put(millis(options.longest_age.saturating_mul(2)));
        match attempt {
            Attempt::First => arguments.put(""),
            Attempt::Again(since) => arguments.write(since.get()),
        }
        arguments.put(millis(options.idempotency_window));
        arguments.write(options.max_idempotency_keys);
        arguments.write(batches.len());
        arguments.write(shared.keys.len());
        arguments.write(shared.retentions.len());
        for batch in batches {
            arguments.put(batch.channel.as_str());
        }
        for key in &shared.keys {
            arguments.put(key);
        }
        for retention in &shared.retentions {
            arguments.put(limit(retention.events));
            arguments.put(millis(retention.age));
            arguments.put(limit(retention.bytes));
        }
        let mut key = 0;
        for (batch, retention) in batches.iter().zip(&shared.of_batches) {
            arguments.put(self.keys.events(batch.channel.as_str()));
            arguments.write(retention);
            arguments.write(batch.portions.len());
            let last = batch.portions.len() - 1;
            for (index, portion) in batch.portions.iter().enumerate() {
                let ending = match batch.ends && index == last {
                    true => Ending::Ends,
                    false => Ending::Continues,
                };
                put_portion(portion, ending, &mut key, &mut arguments);
            }
        }
        arguments
    }

    fn shared(&self, batches: &[Batch]) -> Shared {
        let mut shared = Shared::default();
        for batch in batches {
            let channel = batch.channel.as_str();
            shared.retention(self.retention(channel));
            let keys = batch.portions.iter().filter_map(|portion| {
                // a key means nothing beyond its channel, whose name cannot contain a line end
                let key = portion.idempotency.as_ref()?;
                Some(format!("{channel}\n{}", key.key))
            });
            shared.keys.extend(keys);
        }
        shared
    }
}

/// `key` is the number of the last key that a publish before had.
fn put_portion(portion: &Portion, ending: Ending, key: &mut usize, arguments: &mut Texts) {
    arguments.write(format_args!(
        "{}{}{}{}",
        portion.events.len(),
        portion.idempotency.as_ref().map_or("", |_| "k"),
        portion.fence.as_ref().map_or("", |_| "f"),
        match ending {
            Ending::Ends => "e",
            Ending::Continues => "",
        }
    ));
    arguments.write(format_args!("{:x}", portion.token));
    if let Some(idempotency) = &portion.idempotency {
        *key += 1;
        arguments.write(*key);
        arguments.put(hex(&idempotency.fingerprint));
    }
    if let Some(fence) = &portion.fence {
        arguments.put(&*fence.name);
        arguments.write(fence.token);
    }
    for event in &portion.events {
        arguments.put(event);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all that is written");
            text
        })
}
