//! Why a credential is refused.

use crate::label::labels;

/// Why nobody is known to have sent a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Whoever could tell cannot be asked now.
    #[error("the credential cannot be checked now: {0}; try again in a moment")]
    Unavailable(Unavailable),
}

/// Who it is that cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unavailable {
    #[error("the keys of its issuer could not be had yet")]
    Keys,
    #[error("the application that knows its users gave no answer")]
    Application,
}

/// Why a credential is refused: a closed set, since it is a label of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Refused {
    #[error("the Authorization header is not `Bearer TOKEN`, or there are two of them")]
    Malformed,
    #[error("the request has two different credentials; send one")]
    Several,
    #[error("the token is not known; was it replaced?")]
    Unknown,
    #[error("the token has expired; get a new one")]
    Expired,
    #[error("the credential was revoked")]
    Revoked,
    #[error("the ticket is not known, or not any more; get a new one")]
    TicketUnknown,
    #[error("the ticket was used by another client, or for another stream; get a new one")]
    TicketReused,
    #[error("the token has three parts as a JWT has, but they are not base64url and JSON")]
    NotJwt,
    #[error("nobody signed the token (its algorithm is none); sign it")]
    Unsigned,
    #[error("the token is signed with an algorithm that its issuer's keys are not for")]
    Algorithm,
    #[error("the token has the header crit: it asks for extensions that this relay does not have")]
    Critical,
    #[error("no issuer of such tokens is configured: look at the claim iss")]
    Issuer,
    #[error("the token is signed with a key (kid) that its issuer does not have here")]
    UnknownKey,
    #[error("the key of the token (kid) is not one for signatures")]
    KeyUse,
    #[error("the signature of the token is not its issuer's")]
    Signature,
    #[error("the token is for somebody else: look at the claim aud")]
    Audience,
    #[error("the token is not valid yet: look at the claim nbf, and at the clocks")]
    NotYetValid,
    #[error("the token never ends: its issuer must set the claim exp")]
    Endless,
    #[error("a claim of the token is missing, too long, or not of the form that is configured")]
    Claims,
    #[error("the application that was asked does not know who sends this; sign in again")]
    ForwardUnknown,
    #[error("the application that was asked forbids it")]
    ForwardForbidden,
}

labels!(Refused {
    Malformed => "malformed",
    Several => "several",
    Unknown => "unknown",
    Expired => "expired",
    Revoked => "revoked",
    TicketUnknown => "ticket-unknown",
    TicketReused => "ticket-reused",
    NotJwt => "not-jwt",
    Unsigned => "unsigned",
    Algorithm => "algorithm",
    Critical => "critical",
    Issuer => "issuer",
    UnknownKey => "unknown-key",
    KeyUse => "key-use",
    Signature => "signature",
    Audience => "audience",
    NotYetValid => "not-yet-valid",
    Endless => "endless",
    Claims => "claims",
    ForwardUnknown => "forward-unknown",
    ForwardForbidden => "forward-forbidden",
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;

    #[test]
    fn every_reason_can_stand_in_a_challenge() {
        for refused in Refused::ALL {
            let text = refused.to_string();
            // RFC 6750, 3: neither quotes nor backslashes
            let legal = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(text.bytes().all(legal), "{text}");
        }
    }
}
