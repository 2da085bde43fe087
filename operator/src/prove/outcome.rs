//! What came of a proof, and what it means.

use std::time::Duration;

use crate::crd::{ConditionStatus as Holds, ConditionType as About, Reason};
use crate::status::Finding;

/// What came of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The event came out, and the stream lasted for as long as it was watched.
    Streams {
        /// From the publish to its coming out.
        delay: Duration,
        /// How long the stream was watched.
        lasted: Duration,
    },
    /// The event did not come out in time, or not even the answer's beginning.
    Buffered {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The stream ended without the relay's doing.
    Cut {
        /// So long after it was opened.
        after: Duration,
    },
    /// It answers something else than a stream.
    NoStream {
        /// The status of the answer.
        status: u16,
    },
    /// It leads elsewhere, which is not followed.
    Redirected {
        /// Where to, without what stands after the path.
        to: String,
    },
    /// Its certificate is not believed.
    Untrusted,
    /// There was no answer.
    Unreached(Unreached),
    /// A replica did not do its part.
    Inside {
        /// The status of its answer, if there was one.
        status: Option<u16>,
    },
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    /// The host has no address that may be reached.
    #[error("its host has no address that the operator may reach")]
    Host,
    /// No connection, or it broke before there was an answer.
    #[error("no connection to it can be made")]
    Connection,
    /// No connection in time.
    #[error("no connection to it was there in time")]
    Timeout,
}

impl Outcome {
    /// What it means for the relay whose subscribers come to `url`.
    #[must_use]
    pub fn finding(&self, url: &str) -> Finding {
        let (holds, reason, message) = self.verdict(url);
        Finding::new(About::StreamingVerified, holds, reason, &message)
    }

    fn verdict(&self, url: &str) -> (Holds, Reason, String) {
        match self {
            Self::Streams { delay, lasted } => (
                Holds::True,
                Reason::AsAsked,
                format!(
                    "an event that was published inside came out at {url} after {}ms, and the stream lasted the {}s that it was watched",
                    delay.as_millis(),
                    lasted.as_secs()
                ),
            ),
            Self::Buffered { waited } => (
                Holds::False,
                Reason::Buffered,
                format!(
                    "an event that was published inside did not come out at {url} within {}s: something on the way holds answers back; turn off buffering and compression of answers there, for /v1/events at least",
                    waited.as_secs()
                ),
            ),
            Self::Cut { after } => (
                Holds::False,
                Reason::StreamCut,
                format!(
                    "twice a stream at {url} was cut, last after {}s, and not by the relay: something on the way ends answers; raise its limit for the duration of a request",
                    after.as_secs()
                ),
            ),
            Self::NoStream { status } => (
                Holds::False,
                Reason::NotAStream,
                format!(
                    "{url}/v1/events answers {status} and no stream: the address does not lead to this relay; look at what serves it, and at its DNS"
                ),
            ),
            Self::Redirected { to } => (
                Holds::False,
                Reason::Redirected,
                format!(
                    "{url} leads on to {to}, which the operator does not follow; let clients use that address, or take the redirect away"
                ),
            ),
            Self::Untrusted => (
                Holds::Unknown,
                Reason::CertificateNotTrusted,
                format!(
                    "the operator does not believe the certificate of {url}; renew it, or let the operator trust its authority (the chart's value trust.configMap)"
                ),
            ),
            Self::Unreached(why) => (
                Holds::Unknown,
                Reason::UrlNotReachable,
                format!(
                    "the operator cannot tell whether {url} streams: {why}; that may be so only from inside of the cluster. Try it outside with `curl -N`, or turn spec.streamingCheck off"
                ),
            ),
            Self::Inside { status } => {
                let answer = status.map_or_else(
                    || "does not answer".to_owned(),
                    |status| format!("answers {status}"),
                );
                (
                    Holds::Unknown,
                    Reason::ProbeFailed,
                    format!(
                        "the operator cannot tell whether {url} streams: a replica {answer} on port 8080, where it publishes an event for that; let it reach the pods (spec.networkPolicy.from), or turn spec.streamingCheck off. It is tried again"
                    ),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_to_stream_is_verified_and_all_else_says_what_to_do() {
        let second = Duration::from_secs(1);
        let all = [
            (
                Outcome::Streams {
                    delay: second / 20,
                    lasted: 65 * second,
                },
                Holds::True,
                "after 50ms",
            ),
            (
                Outcome::Buffered {
                    waited: 10 * second,
                },
                Holds::False,
                "turn off buffering",
            ),
            (
                Outcome::Cut { after: 30 * second },
                Holds::False,
                "last after 30s",
            ),
            (
                Outcome::NoStream { status: 404 },
                Holds::False,
                "answers 404",
            ),
            (
                Outcome::Redirected {
                    to: "https://b.example.com/".into(),
                },
                Holds::False,
                "leads on to https://b",
            ),
            (Outcome::Untrusted, Holds::Unknown, "trust.configMap"),
            (
                Outcome::Unreached(Unreached::Host),
                Holds::Unknown,
                "curl -N",
            ),
            (
                Outcome::Inside { status: Some(401) },
                Holds::Unknown,
                "answers 401",
            ),
            (
                Outcome::Inside { status: None },
                Holds::Unknown,
                "does not answer",
            ),
        ];
        for (outcome, holds, says) in all {
            let finding = outcome.finding("https://a.example.com");
            assert_eq!(finding.holds, holds, "{outcome:?}");
            assert!(finding.message.contains(says), "{}", finding.message);
        }
    }
}
