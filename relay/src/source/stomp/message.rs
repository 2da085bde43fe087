//! From a `MESSAGE` to a message. Pure.

use super::{
    frame::{Body, Frame, Headers, Version},
    negotiation::{Agreed, Brand},
};
use crate::source::{
    DropReason, Message,
    broker::{Unreadable, body_text},
};
use jiff::Timestamp;

/// What an `ACK` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ticket {
    /// The header `ack`, since 1.2.
    Ack(String),
    Message {
        id: String,
        subscription: String,
    },
}

/// A message, or why it is none, and how to acknowledge it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub message: Result<Message, Unreadable>,
    pub ticket: Ticket,
}

/// Subscriptions are numbered as the destinations are.
///
/// # Errors
/// A message that cannot be acknowledged: what is wrong with it.
pub(super) fn read(
    frame: Frame,
    agreed: &Agreed,
    destinations: &[String],
) -> Result<Read, &'static str> {
    let Frame { headers, body, .. } = frame;
    let ticket = ticket(&headers, agreed.version)?;
    let origin = headers
        .get("subscription")
        .and_then(|number| destinations.get(number.parse::<usize>().ok()?))
        .ok_or("a message of a subscription that there is not")?;
    let message = match headers.fault() {
        Some(fault) => Err((DropReason::Undecodable, fault.to_string())),
        None => text(body).map(|body| Message {
            origin: origin.clone(),
            id: id(&headers, agreed.broker),
            kind: headers.get("type").map(str::to_owned),
            body,
            attributes: headers
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            time: time(&headers),
        }),
    };
    Ok(Read { message, ticket })
}

fn text(body: Body) -> Result<String, Unreadable> {
    match body {
        Body::Whole(body) => body_text(body.into()),
        Body::TooLong(length) => Err((DropReason::TooLarge, format!("it has {length} bytes"))),
    }
}

fn ticket(headers: &Headers, version: Version) -> Result<Ticket, &'static str> {
    let needed = |name| {
        let value = headers.get(name).map(str::to_owned);
        value.ok_or("a message that cannot be acknowledged")
    };
    match version {
        Version::V1_2 => Ok(Ticket::Ack(needed("ack")?)),
        Version::V1_1 => Ok(Ticket::Message {
            id: needed("message-id")?,
            subscription: needed("subscription")?,
        }),
    }
}

/// What is the same when a message comes again over another connection. Artemis puts the number of
/// the consumer before that of the message. A broker that lost its disk counts from the beginning:
/// the time at which a message was sent tells its numbers from those before.
fn id(headers: &Headers, broker: Brand) -> Option<String> {
    let id = headers.get("message-id")?;
    let id = match (broker, id.rsplit_once(',')) {
        (Brand::Artemis, Some((_, own))) => own,
        _ => id,
    };
    Some(match headers.get("timestamp") {
        Some(sent) => format!("{id}@{sent}"),
        None => id.to_owned(),
    })
}

fn time(headers: &Headers) -> Option<Timestamp> {
    let millis = headers.get("timestamp")?.parse().ok()?;
    Timestamp::from_millisecond(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::super::codec::Codec;
    use super::*;
    use bytes::BytesMut;
    use tokio_util::codec::Decoder;

    fn frame(text: &str) -> Frame {
        let mut bytes = BytesMut::from(format!("MESSAGE\n{text}\0").as_str());
        let frame = Codec::new(10).decode(&mut bytes).expect("a frame");
        frame.expect("a whole one")
    }

    fn agreed(version: Version, broker: Brand) -> Agreed {
        Agreed {
            version,
            broker,
            beat: None,
            beaten: None,
        }
    }

    fn read_it(text: &str, version: Version, broker: Brand) -> Result<Read, &'static str> {
        let destinations = ["/topic/a".to_owned(), "/topic/b".to_owned()];
        read(frame(text), &agreed(version, broker), &destinations)
    }

    const HEAD: &str = "subscription:1\nmessage-id:7,16\nack:a9\ntimestamp:1795287867680\n";

    #[test]
    fn the_same_message_over_another_connection_has_the_same_id_at_artemis() {
        let other = HEAD.replace("7,16", "25,16");
        let [first, second] = [HEAD, &other].map(|head| {
            let read = read_it(&format!("{head}\nx"), Version::V1_2, Brand::Artemis);
            read.expect("it can be acknowledged").message.expect("text")
        });
        assert_eq!(first.id.as_deref(), Some("16@1795287867680"));
        assert_eq!(first.id, second.id);
        assert_eq!(first.origin, "/topic/b");
        assert_eq!(
            first.time.map(|time| time.as_millisecond()),
            Some(1_795_287_867_680)
        );
    }

    #[test]
    fn other_brokers_have_ids_that_are_kept_whole() {
        let text = "subscription:0\nmessage-id:ID\\ca,1\nack:x\n\nx";
        let read = read_it(text, Version::V1_2, Brand::Other).expect("it can be acknowledged");
        assert_eq!(read.message.expect("text").id.as_deref(), Some("ID:a,1"));
        assert_eq!(read.ticket, Ticket::Ack("x".to_owned()));
    }

    #[test]
    fn before_1_2_a_message_is_acknowledged_by_its_own_id() {
        let read = read_it(&format!("{HEAD}\nx"), Version::V1_1, Brand::Artemis);
        let ticket = Ticket::Message {
            id: "7,16".to_owned(),
            subscription: "1".to_owned(),
        };
        assert_eq!(read.expect("it can be acknowledged").ticket, ticket);
    }

    #[test]
    fn what_is_no_text_or_too_long_or_has_a_bad_header_is_dropped_and_can_be_acknowledged() {
        let cases = [
            (format!("{HEAD}\n{}", "x".repeat(11)), DropReason::TooLarge),
            (format!("{HEAD}bad\n\nx"), DropReason::Undecodable),
        ];
        for (text, reason) in cases {
            let read = read_it(&text, Version::V1_2, Brand::Artemis).expect("a ticket");
            assert_eq!(read.message.expect_err("no message").0, reason);
            assert_eq!(read.ticket, Ticket::Ack("a9".to_owned()));
        }
        let mut binary = frame(&format!("{HEAD}\nx"));
        binary.body = Body::Whole(bytes::Bytes::from_static(b"\xff"));
        let read = read(
            binary,
            &agreed(Version::V1_2, Brand::Other),
            &["a".into(), "b".into()],
        );
        let read = read.expect("a ticket");
        assert_eq!(read.message.expect_err("no message").0, DropReason::NotText);
    }

    #[test]
    fn what_cannot_be_acknowledged_ends_the_connection() {
        for text in [
            "subscription:1\n\n",
            "ack:1\n\n",
            "ack:1\nsubscription:2\n\n",
        ] {
            assert!(
                read_it(text, Version::V1_2, Brand::Other).is_err(),
                "{text}"
            );
        }
    }
}
