//! Why a connection ended, as far as anybody knows.

use super::open::CloseReason;
use rustix::io::Errno;
use std::sync::OnceLock;

/// The reason of the streams on a connection that hyper carries. Whoever knows it first says it.
#[derive(Default, Debug)]
pub struct Parting(OnceLock<CloseReason>);

impl Parting {
    pub fn say(&self, reason: CloseReason) {
        let _ = self.0.set(reason); // the first reason is the cause of the others
    }

    /// The client's own will, unless something else was said.
    pub fn reason(&self) -> CloseReason {
        self.0.get().copied().unwrap_or(CloseReason::Client)
    }
}

/// What a socket's error says about its end: the system reports these when nothing comes back
/// (tcp(7), TCP_USER_TIMEOUT; RFC 1122, 4.2.3.5).
pub fn reason(error: Errno) -> CloseReason {
    match error {
        Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH => CloseReason::Unreachable,
        _ => CloseReason::Client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_holds() {
        let parting = Parting::default();
        assert_eq!(parting.reason(), CloseReason::Client);
        parting.say(CloseReason::Stalled);
        parting.say(CloseReason::Unreachable);
        assert_eq!(parting.reason(), CloseReason::Stalled);
    }

    #[test]
    fn silence_is_told_from_a_client_that_leaves() {
        assert_eq!(reason(Errno::TIMEDOUT), CloseReason::Unreachable);
        assert_eq!(reason(Errno::CONNRESET), CloseReason::Client);
        assert_eq!(reason(Errno::PIPE), CloseReason::Client);
    }
}
