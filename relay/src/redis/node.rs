//! One server, and the connection to it that is kept alive.

use super::{CommandError, ConnectError, NotSent, Session, connect::Connector, login::Login};
use relay_config::RedisAddress;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

/// How often the replication id of a quiet connection is read again.
const VERIFY_EVERY: Duration = Duration::from_secs(1);
/// Time before the second attempt to connect. It doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type State = Result<Arc<Session>, Arc<ConnectError>>;

/// One server. Its task connects, watches the connection, and connects anew.
pub(super) struct Node {
    address: RedisAddress,
    state: watch::Receiver<State>,
    keeper: JoinHandle<()>,
}

impl Node {
    pub(super) fn start(address: RedisAddress, connector: Arc<Connector>) -> Arc<Node> {
        let (sender, state) = watch::channel(Err(Arc::new(ConnectError::Starting)));
        let keeper = tokio::spawn(keep(address.clone(), connector, sender));
        Arc::new(Node {
            address,
            state,
            keeper,
        })
    }

    pub(super) fn address(&self) -> &RedisAddress {
        &self.address
    }

    pub(super) fn session(&self) -> Result<Arc<Session>, CommandError> {
        opened(&self.state.borrow())
    }

    /// Resolves when there is a session.
    pub(super) async fn connected(&self) {
        let mut state = self.state.clone();
        // The keeper runs as long as this node does.
        let _ = state.wait_for(|state| opened(state).is_ok()).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.keeper.abort();
        if let Ok(session) = &*self.state.borrow() {
            session.end(ConnectError::Retired);
        }
    }
}

fn opened(state: &State) -> Result<Arc<Session>, CommandError> {
    let why = match state {
        // The keeper may not have seen its end yet.
        Ok(session) => match session.why_ended() {
            None => return Ok(session.clone()),
            Some(why) => why,
        },
        Err(why) => why.clone(),
    };
    Err(CommandError::NotSent(NotSent::NoConnection(why)))
}

async fn keep(address: RedisAddress, connector: Arc<Connector>, state: watch::Sender<State>) {
    let mut failures = 0;
    loop {
        match connector.session(&address).await {
            Ok((session, mut login)) => {
                failures = 0;
                let session = Arc::new(session);
                tracing::info!(%address, replication_id = %session.replication_id(), "connected to Redis");
                set(&state, Ok(session.clone()));
                let why = hold(&session, &connector, &mut login).await;
                tracing::warn!(%address, reason = why.reason(), "the connection to Redis has ended: {why}");
                set(&state, Err(why));
                connector.trouble.notify_one();
            }
            Err(error) => {
                if changed(&state, &error) {
                    tracing::warn!(%address, reason = error.reason(), "no connection to Redis: {error}");
                }
                set(&state, Err(Arc::new(error)));
                sleep(pause(failures, rand::random())).await;
                failures += 1;
            }
        }
    }
}

/// Also with nobody waiting for it.
fn set(state: &watch::Sender<State>, now: State) {
    state.send_modify(|state| *state = now);
}

/// Until the session ends.
async fn hold(session: &Session, connector: &Connector, login: &mut Login) -> Arc<ConnectError> {
    let mut ticks = interval(VERIFY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            why = session.ended() => return why,
            _ = ticks.tick() => {
                // Whatever is wrong shows in the session: it ends, or the next tick asks again.
                let _ = session.verify().await;
                if let Err(error) = connector.renew(session, login).await {
                    tracing::warn!(
                        reason = error.reason(),
                        "Redis refuses the new password; the connection keeps the old one: {error}"
                    );
                }
            }
        }
    }
}

/// One log line for each kind of failure, not one for each attempt.
fn changed(state: &watch::Sender<State>, error: &ConnectError) -> bool {
    match &*state.borrow() {
        Ok(_) => true,
        Err(before) => before.reason() != error.reason(),
    }
}

/// The pause after so many failures in a row, between half and all of it: `spread` is 0 to 1.
pub(super) fn pause(failures: u32, spread: f64) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(1 << failures.min(10))
        .min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + spread / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(pause(0, 1.0), FIRST_PAUSE);
        assert_eq!(pause(1, 1.0), FIRST_PAUSE * 2);
        assert_eq!(pause(1, 0.0), FIRST_PAUSE);
        assert_eq!(pause(u32::MAX, 1.0), LONGEST_PAUSE);
    }
}
