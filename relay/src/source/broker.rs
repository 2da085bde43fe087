//! What sources that are clients of message brokers share: the way there, and who they are.

mod dial;
mod login;
mod text;
mod wire;

pub(super) use dial::dial;
pub(super) use login::Login;
pub(super) use text::{MAX_MESSAGE, Unreadable, body_text, told};
pub(super) use wire::{Quiet, Wire};

use super::{Fault, FaultReason, Lag};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

/// What is done with a broker until it is connected, as long as it takes no longer than configured.
pub(super) async fn in_time<T>(
    within: Duration,
    connecting: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(within, connecting).await.unwrap_or_else(|_| {
        let text = "the broker does not answer within `broker.connectTimeout`";
        Err(Fault::new(FaultReason::Unreachable, text))
    })
}

/// How far a source is behind whose last message, of several behind which more may wait, was sent at
/// this time.
pub(super) fn lag_behind(sent: Option<Timestamp>) -> Lag {
    let age = sent.map(|sent| Timestamp::now().duration_since(sent));
    Lag {
        age: age.and_then(|age| age.try_into().ok()).unwrap_or_default(),
        waiting: None,
    }
}
