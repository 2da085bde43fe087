//! The task that keeps the archive: connects, brings the tables to this version, and writes while this
//! replica is the one that does. It ends when the log is closed, after it has written what there is.

use super::{
    Archive, Past,
    error::ArchiveError,
    migrating,
    stats::Operation,
    store,
    writer::{Round, Writer},
};
use crate::{
    event_log::EventLog,
    postgres::{ConnectError, Session},
};
use rand::RngExt;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Who writes keeps the right to for so long, and renews it before half of that is over.
const LEASE: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(3);
/// How often who does not write asks whether it may, and whether PostgreSQL still answers.
const ASK: Duration = Duration::from_secs(2);
/// How often tables are looked at that are too old.
const DROP_EVERY: Duration = Duration::from_secs(60);
/// First and longest pause before a connection is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the task is told to finish.
pub type Stop = watch::Receiver<bool>;

/// Keeps the archive until it is told to stop.
pub async fn keep(archive: Arc<Archive>, log: Arc<dyn EventLog>, mut stop: Stop) {
    let mut writer = Writer::new(archive.clone(), log, archive.began);
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let ended = keep_once(&archive, &mut writer, &mut stop).await;
        archive.stats().connected.set(0);
        archive.stats().writing.set(0);
        archive.decided();
        writer.forget();
        match ended {
            Ok(()) => return,
            Err((operation, error)) => archive.failed(operation, &error),
        }
        if *stop.borrow() {
            return; // what is not written by now stays in the log, if that is kept
        }
        pause = match began.elapsed() > LONGEST_PAUSE {
            true => FIRST_PAUSE,
            false => (pause * 2).min(LONGEST_PAUSE),
        };
        let jitter = rand::rng().random_range(0.5..1.0);
        let _ = tokio::time::timeout(pause.mul_f64(jitter), stopped(&mut stop)).await;
    }
}

type Failed = (Operation, ArchiveError);

/// With one connection; `Ok` when it was told to stop.
async fn keep_once(archive: &Archive, writer: &mut Writer, stop: &mut Stop) -> Result<(), Failed> {
    let failed = |operation| move |error: ArchiveError| (operation, error);
    let mut session = connect(archive).await.map_err(failed(Operation::Connect))?;
    *archive.epochs.lock() = store::epochs(&session)
        .await
        .map_err(failed(Operation::Connect))?;
    archive.ready();
    let mut led: Option<Instant> = None;
    let mut dropped: Option<Instant> = None;
    loop {
        let stopping = *stop.borrow();
        if led.is_none_or(|at| at.elapsed() >= RENEW) {
            let term = store::lead(&session, &archive.holder, LEASE).await;
            let ours = term.map_err(failed(Operation::Write))?.is_some();
            archive.stats().connected.set(1);
            let leads = led.is_some();
            if ours != leads {
                tracing::info!(
                    event = "archive.writer",
                    writes = ours,
                    "who writes the archive has changed"
                );
                writer.forget();
            }
            archive.stats().writing.set(u64::from(ours));
            led = ours.then(Instant::now);
        }
        if led.is_none() {
            archive.stats().lag.set(0); // another replica tells it
            if stopping && archive.past == Past::Kept {
                return Ok(());
            }
            if stopping {
                // nobody else will ever have it; whoever leads now is gone soon
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            let _ = tokio::time::timeout(ASK, stopped(stop)).await;
            continue;
        }
        match writer.write(&mut session).await {
            Ok(Round::More) => {}
            Ok(Round::CaughtUp) if stopping => {
                if archive.past == Past::Forgotten {
                    let closed = store::close_spans(&session).await;
                    closed.map_err(failed(Operation::Write))?;
                }
                let resigned = store::resign(&session, &archive.holder).await;
                return resigned.map_err(failed(Operation::Write));
            }
            Ok(Round::CaughtUp) => {
                if dropped.is_none_or(|at| at.elapsed() >= DROP_EVERY) {
                    dropped = Some(Instant::now());
                    writer.drop_expired(&mut session).await;
                }
                let pause = archive.settings.interval.std().min(RENEW);
                let _ = tokio::time::timeout(pause, stopped(stop)).await;
            }
            // it is read again from where the archive stands
            Err(ArchiveError::Displaced) => {
                writer.forget();
                led = None;
            }
            Err(ArchiveError::Log(why)) if !stopping => {
                tracing::debug!(event = "archive.waits", why, "the log is not read now");
                let _ = tokio::time::timeout(FIRST_PAUSE, stopped(stop)).await;
            }
            Err(error) => return Err((Operation::Write, error)),
        }
    }
}

async fn connect(archive: &Archive) -> Result<Session, ArchiveError> {
    let mut session = archive.postgres.connect().await?;
    migrating::migrate(&mut session, &archive.settings.schema).await?;
    if session.is_over() {
        return Err(ArchiveError::Connect(ConnectError::Timeout(
            session.within(),
        )));
    }
    Ok(session)
}

/// Ready when the task is to stop.
async fn stopped(stop: &mut Stop) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await // nobody is left who could say it
    }
}
