//! A ticket as replicas keep it for each other: text, with its version first. Pure.
//!
//! `1 CONNECTION IDLE JSON`: the stream that it opened last and since when that is over, each `-` if
//! there is none, where a script can change them; and the rest, which begins with how often it was
//! changed, where a script can see it.

use super::ticket::{Fingerprint, Shape, Ticket, Use};
use crate::{
    auth::{Evidence, Minted, TicketId, patterns},
    cursor::UnixMillis,
    filter::Filter,
    grant::Grant,
    subject::Subject,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    #[serde(default)]
    changes: u64,
    subscribe: Vec<String>,
    filters: Filter,
    subject: Option<Subject>,
    attributes: BTreeMap<Box<str>, Box<str>>,
    expires: Option<UnixMillis>,
    by: Evidence,
    redeem_before: UnixMillis,
    user: Option<User>,
}

/// Whose it is since its first use.
#[derive(Serialize, Deserialize)]
struct User {
    client: Fingerprint,
    shape: Shape,
}

/// What stands for no connection, and for no end of it.
const NONE: &str = "-";

pub fn encode(ticket: &Ticket) -> String {
    let grant = &ticket.grant;
    let rest = Rest {
        changes: ticket.changes,
        subscribe: grant.subscribe.iter().map(ToString::to_string).collect(),
        filters: grant.filters.clone(),
        subject: grant.subject.clone(),
        attributes: grant.attributes.clone(),
        expires: grant.expires,
        by: ticket.minted.by.clone(),
        redeem_before: ticket.redeem_before,
        user: ticket.used.as_ref().map(|used| User {
            client: used.client,
            shape: used.shape,
        }),
    };
    let rest = serde_json::to_string(&rest).expect("a struct with keys of text");
    let connection = ticket.used.as_ref().map_or(NONE, |used| &used.connection);
    let idle = ticket.used.as_ref().and_then(|used| used.idle_since);
    let idle = idle.map_or(NONE.to_owned(), |since| since.to_string());
    format!("1 {connection} {idle} {rest}")
}

/// `None` for what this release does not understand.
pub fn decode(id: TicketId, record: &str) -> Option<Ticket> {
    let mut words = record.strip_prefix("1 ")?.splitn(3, ' ');
    let (connection, idle, rest) = (words.next()?, words.next()?, words.next()?);
    let rest: Rest = serde_json::from_str(rest).ok()?;
    let idle_since = match idle {
        NONE => None,
        since => Some(since.parse().ok()?),
    };
    let grant = Grant {
        subscribe: patterns(&rest.subscribe),
        filters: rest.filters,
        subject: rest.subject,
        attributes: rest.attributes,
        expires: rest.expires,
        ..Grant::default()
    };
    let minted = Minted { id, by: rest.by };
    let mut ticket = Ticket::new(grant, minted, rest.redeem_before);
    ticket.changes = rest.changes;
    ticket.used = rest.user.map(|user| Use {
        client: user.client,
        shape: user.shape,
        connection: connection.into(),
        idle_since,
    });
    Some(ticket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::{ChannelPattern, TicketBinding};

    #[test]
    fn a_ticket_is_the_same_after_the_way_to_another_replica() {
        let mut filters = Filter::default();
        filters.accept("tenant", ["a b".into()]);
        let grant = Grant {
            subscribe: vec![ChannelPattern::parse("orders.*").unwrap()],
            filters,
            subject: Subject::parse("ann").ok(),
            attributes: [("team".into(), "x y".into())].into(),
            expires: Some(99),
            ..Grant::default()
        };
        let id = TicketId::of("sseticket_x");
        let by = Evidence::Token("page".into());
        let mut ticket = Ticket::new(grant, Minted { id, by }, 30);
        assert_eq!(decode(id, &encode(&ticket)), Some(ticket.clone()));
        ticket.changes = 3;
        let client = Fingerprint::of(&[TicketBinding::UserAgent], None, Some("a"));
        for idle_since in [None, Some(7)] {
            ticket.used = Some(Use {
                client,
                shape: Shape::of(&[], &Filter::default()),
                connection: "r-1".into(),
                idle_since,
            });
            assert_eq!(decode(id, &encode(&ticket)), Some(ticket.clone()));
        }
        assert!(
            encode(&ticket).starts_with("1 r-1 7 {\"changes\":3,"),
            "as scripts change it, and see whether it is the later one"
        );
    }

    #[test]
    fn what_a_later_release_wrote_opens_nothing() {
        for record in ["", "2 - - {}", "1 - -", "1 - - {}", "1 - x {}"] {
            assert_eq!(decode(TicketId::of("x"), record), None, "{record}");
        }
    }
}
