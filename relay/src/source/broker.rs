//! What sources that are clients of message brokers share: the way there, and who they are.

mod dial;
mod login;
mod text;
mod wire;

pub(super) use dial::dial;
pub(super) use login::Login;
pub(super) use text::{MAX_MESSAGE, Unreadable, body_text, told};
pub(super) use wire::{Quiet, Wire};

use super::Lag;
use jiff::Timestamp;

/// How far a source is behind whose last message, of several behind which more may wait, was sent at
/// this time.
pub(super) fn lag_behind(sent: Option<Timestamp>) -> Lag {
    let age = sent.map(|sent| Timestamp::now().duration_since(sent));
    Lag {
        age: age.and_then(|age| age.try_into().ok()).unwrap_or_default(),
        waiting: None,
    }
}
