//! Notifications of PostgreSQL, over one connection.

use super::{DropReason, Fault, FaultReason, Intake, Message, Promise, Source};
use crate::postgres::{Postgres, Session, quoted};
use futures_util::future::BoxFuture;
use relay_config::PostgresListenSource;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::Notification;

/// Notifications that are handed over at once.
const COUNT: usize = 256;
/// A connection on which nothing comes for so long is asked whether it still lives.
const QUIET: Duration = Duration::from_secs(10);

/// The source.
pub struct PostgresListen {
    settings: PostgresListenSource,
    postgres: Postgres,
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
        let mut session = self.postgres.connect().await?;
        for name in &self.settings.channels {
            listen(&session, &self.settings.names.of(name)).await?;
        }
        intake.connected();
        loop {
            match timeout(QUIET, session.notifications.recv()).await {
                Ok(Some(first)) => {
                    let messages = waiting(first, &mut session);
                    intake.append_all(messages).await;
                    tell_overflow(intake, &session);
                }
                Ok(None) => {
                    return Err(Fault::new(FaultReason::Closed, "the connection has ended"));
                }
                Err(_) => session.run("SELECT 1").await?,
            }
        }
    }
}

async fn listen(session: &Session, channel: &str) -> Result<(), Fault> {
    Ok(session.run(&format!("LISTEN {}", quoted(channel))).await?)
}

/// One notification, and those that came with it.
fn waiting(first: Notification, session: &mut Session) -> Vec<Message> {
    let mut messages = vec![message(&first)];
    while messages.len() < COUNT
        && let Ok(next) = session.notifications.try_recv()
    {
        messages.push(message(&next));
    }
    messages
}

fn message(notification: &Notification) -> Message {
    Message {
        origin: notification.channel().to_owned(),
        body: notification.payload().to_owned(),
        ..Message::default()
    }
}

fn tell_overflow(intake: &Intake, session: &Session) {
    for _ in 0..session.overflowed() {
        intake.refuse(
            DropReason::Overflow,
            "more notifications came than were appended",
        );
    }
}

impl Source for PostgresListen {
    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Fault> {
        Box::pin(async move {
            match self.pull(intake).await {
                Ok(()) => Fault::new(FaultReason::Closed, "the source ended"),
                Err(fault) => fault,
            }
        })
    }
}
