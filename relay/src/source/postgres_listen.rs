//! Notifications of PostgreSQL, over one connection: of named channels, or of those that streams want.

mod names;

use self::names::{Names, Unheard, listened};
use super::{DropReason, Fault, FaultReason, Intake, Message, Promise, Source, demand::Demand};
use crate::postgres::{Postgres, Session, SqlError, quoted};
use futures_util::future::BoxFuture;
use relay_config::PostgresListenSource;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::sleep;
use tokio_postgres::{Notification, error::SqlState};

/// Notifications that are handed over at once.
const COUNT: usize = 256;
/// Names of one round trip.
const NAMES: usize = 200;
/// A connection on which nothing comes for so long is asked whether it still lives.
const QUIET: Duration = Duration::from_secs(10);

/// What is listened to by who only wants to know whether that is possible.
const CHECKED: &str = "sse-relay check";

/// The source.
pub struct PostgresListen {
    settings: PostgresListenSource,
    postgres: Postgres,
}

/// One connection, and what is listened to there.
struct Listening<'l> {
    settings: &'l PostgresListenSource,
    intake: &'l Intake,
    session: Session,
    names: Names,
    /// Names that the server cannot have, as long as they are wanted.
    foreign: BTreeSet<String>,
}

impl PostgresListen {
    /// # Errors
    /// Settings that are wrong in themselves.
    pub fn new(settings: &PostgresListenSource) -> Result<PostgresListen, Fault> {
        Ok(PostgresListen {
            postgres: super::postgres::server(&settings.postgres)?,
            settings: settings.clone(),
        })
    }

    async fn pull(&self, intake: &Intake) -> Result<(), Fault> {
        let mut listening = Listening {
            settings: &self.settings,
            intake,
            session: self.postgres.connect().await?,
            names: Names::new(),
            foreign: BTreeSet::new(),
        };
        listening.listen().await
    }
}

/// Connects, and listens to what is named.
pub(super) async fn check(settings: &PostgresListenSource) -> Result<(), Fault> {
    let source = PostgresListen::new(settings)?;
    let session = source.postgres.connect().await?;
    let (names, _) = listened(
        settings.names,
        &settings.channels,
        &BTreeSet::new(),
        &Names::new(),
    );
    // a standby says so to any name
    let names = names.into_keys().chain([CHECKED.to_owned()]);
    for name in names {
        session.run(&statements("LISTEN", &[&name])).await?;
    }
    Ok(())
}

impl Source for PostgresListen {
    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }
}

impl Listening<'_> {
    async fn listen(&mut self) -> Result<(), Fault> {
        let demand = self.intake.demand();
        let mut changes = demand.map(Demand::changes);
        self.want(demand).await?;
        self.intake.connected();
        loop {
            let change = async {
                match &mut changes {
                    Some(changes) => changes.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = self.session.notifications.recv() => match heard {
                    Some(first) => self.take(first).await,
                    None => return Err(Fault::new(FaultReason::Closed, "the connection has ended")),
                },
                () = change => self.want(demand).await?,
                () = sleep(QUIET) => self.session.run("SELECT 1").await?,
            }
        }
    }

    /// Listens to what is named and what streams want by now, and to nothing else.
    async fn want(&mut self, demand: Option<&Demand>) -> Result<(), Fault> {
        let wanted = demand.map(Demand::channels).unwrap_or_default();
        let settings = self.settings;
        let (names, unheard) = listened(settings.names, &settings.channels, &wanted, &self.names);
        self.foreign.retain(|name| names.contains_key(name));
        let begin: Vec<&String> = names
            .keys()
            .filter(|name| !self.names.contains_key(*name))
            .collect();
        let end: Vec<&String> = self
            .names
            .keys()
            .filter(|name| !names.contains_key(*name))
            .collect();
        for chunk in begin.chunks(NAMES) {
            let foreign = listen_to(&self.session, chunk).await?;
            self.foreign.extend(foreign);
        }
        for chunk in end.chunks(NAMES) {
            self.session.run(&statements("UNLISTEN", chunk)).await?;
        }
        self.names = names;
        let Some(demand) = demand else {
            return self.all_named();
        };
        for (channel, why) in unheard {
            demand.refused(&channel, &why.to_string());
        }
        for channel in self
            .foreign
            .iter()
            .filter_map(|name| self.names.get(name))
            .flatten()
        {
            demand.refused(channel, &Unheard::NoSuchLetters.to_string());
        }
        let heard = self
            .names
            .iter()
            .filter(|(name, _)| !self.foreign.contains(*name));
        demand.heard(heard.flat_map(|(_, channels)| channels).map(String::as_str));
        self.all_named()
    }

    /// # Errors
    /// The database cannot have a name of the configuration.
    fn all_named(&self) -> Result<(), Fault> {
        let settings = self.settings;
        let mut named = settings.channels.iter();
        match named.find(|name| self.foreign.contains(&settings.names.of(name))) {
            None => Ok(()),
            Some(name) => {
                let why = format!("`{}`: {}", name.escape_debug(), Unheard::NoSuchLetters);
                Err(Fault::new(FaultReason::Settings, why))
            }
        }
    }

    /// Hands over a notification, and those that came with it.
    async fn take(&mut self, first: Notification) {
        let mut messages = self.messages(&first);
        while messages.len() < COUNT
            && let Ok(next) = self.session.notifications.try_recv()
        {
            messages.extend(self.messages(&next));
        }
        self.intake.append_all(messages).await;
        for _ in 0..self.session.overflowed() {
            let why = "more notifications came than were appended";
            self.intake.refuse(DropReason::Overflow, why);
        }
    }

    /// One for each channel of the relay. What was given up meanwhile is for nobody.
    fn messages(&self, notification: &Notification) -> Vec<Message> {
        let channels = self.names.get(notification.channel());
        let message = |channel: &String| Message {
            origin: channel.clone(),
            body: notification.payload().to_owned(),
            ..Message::default()
        };
        channels.into_iter().flatten().map(message).collect()
    }
}

/// Whatever a name holds, it is one.
fn statements(word: &str, names: &[&String]) -> String {
    names
        .iter()
        .map(|name| format!("{word} {};", quoted(name)))
        .collect()
}

/// The names that the database cannot have: they hold up none of the others.
async fn listen_to(session: &Session, names: &[&String]) -> Result<Vec<String>, SqlError> {
    match session.run(&statements("LISTEN", names)).await {
        Err(error) if is_foreign(&error) => {}
        other => return other.map(|()| Vec::new()),
    }
    let mut foreign = Vec::new();
    for name in names {
        match session.run(&statements("LISTEN", &[name])).await {
            Err(error) if is_foreign(&error) => foreign.push((*name).clone()),
            other => other?,
        }
    }
    Ok(foreign)
}

fn is_foreign(error: &SqlError) -> bool {
    error.code() == Some(&SqlState::UNTRANSLATABLE_CHARACTER)
}
