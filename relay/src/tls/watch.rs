//! Notices new certificates. The files are read rather than watched: a Secret's mount swaps links two
//! directories away, network file systems send no events, and reading a few kilobytes costs nothing.

use super::{Reloaded, ServerTls, TlsError};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

/// How often the files are read.
pub const LOOK: Duration = Duration::from_secs(5);

/// Reads the files again every now and then, and at each SIGHUP; it never ends.
pub fn watch(all: Vec<Arc<ServerTls>>) -> io::Result<impl Future<Output = ()> + Send> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let mut every = interval(LOOK);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = vec![None; all.len()];
        loop {
            let asked = tokio::select! {
                _ = every.tick() => Asked::ByTheClock,
                _ = hangup.recv() => Asked::BySignal,
            };
            for (tls, told) in all.iter().zip(&mut told) {
                let reading = tls.clone();
                // a disk may be slow; the admin port answers on this thread
                if let Ok(reloaded) = tokio::task::spawn_blocking(move || reading.reload()).await {
                    tell(reloaded, asked, told);
                }
            }
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    ByTheClock,
    BySignal,
}

/// A failure is told once, and to each who asks.
fn tell(reloaded: Result<Reloaded, TlsError>, asked: Asked, told: &mut Option<TlsError>) {
    match reloaded {
        Ok(reloaded) => {
            if asked == Asked::BySignal && reloaded == Reloaded::Same {
                tracing::info!(
                    event = "tls.unchanged",
                    "the certificate's files are the same"
                );
            }
            *told = None;
        }
        Err(error) => {
            if asked == Asked::BySignal || told.as_ref() != Some(&error) {
                tracing::error!(
                    event = "tls.refused",
                    %error,
                    "the new certificate is not used; the old one goes on"
                );
            }
            *told = Some(error);
        }
    }
}
