//! The loop: something changed → look at that relay → say how it went, and when to look again.

mod backoff;
mod kinds;
mod pace;
mod reconcile;
mod relays;
mod rivals;
mod told;
mod watch;

pub use relays::{Relays, Watched};
pub(crate) use told::{tell, tell_scaled};
pub use watch::{Scope, run};

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use parking_lot::Mutex;

use crate::crd::Pinned;
use crate::health::Shown;
use crate::names::OPERATOR;
use crate::observe::Asker;
use crate::upgrade::Turn;
use backoff::Backoff;
use kinds::Kinds;
use rivals::Rivals;

/// What every reconcile may use.
pub struct Context {
    client: Client,
    recorder: Recorder,
    shown: Arc<Shown>,
    own: Pinned,
    backoff: Mutex<Backoff>,
    kinds: Mutex<Kinds>,
    rivals: Mutex<Rivals>,
    turn: Mutex<Turn>,
    asker: Asker,
    observe_every: Duration,
}

impl Context {
    /// `own` is the relay that this operator brings; its replicas are asked about themselves with
    /// `asker`, this often.
    #[must_use]
    pub fn new(
        client: Client,
        own: Pinned,
        shown: Arc<Shown>,
        asker: Asker,
        observe_every: Duration,
    ) -> Self {
        let reporter = Reporter {
            controller: OPERATOR.to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            shown,
            own,
            backoff: Mutex::default(),
            kinds: Mutex::default(),
            rivals: Mutex::default(),
            turn: Mutex::default(),
            asker,
            observe_every,
        }
    }
}

/// A relay that is as it must be is looked at again after about this time: drift of what is not
/// watched is healed then.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// A relay whose pods are on their way: pods are not watched.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// Looks again after `time`, up to a tenth earlier, so that not all relays are looked at together.
fn after(time: Duration) -> Action {
    Action::requeue(time.mul_f64(1.0 - 0.1 * rand::random::<f64>()))
}
