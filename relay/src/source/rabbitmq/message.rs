//! From a delivery to a message. Pure.

use crate::source::{
    Message,
    broker::{Unreadable, body_text},
};
use jiff::Timestamp;
use lapin::{
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

/// What a delivery of a queue says.
///
/// # Errors
/// It is no text, or too much of it.
pub(super) fn read(queue: &str, delivery: Delivery) -> Result<Message, Unreadable> {
    let Delivery {
        exchange,
        routing_key,
        properties,
        data,
        ..
    } = delivery;
    let text = |value: &Option<ShortString>| value.as_ref().map(|value| value.as_str().to_owned());
    let known = [
        ("exchange", Some(exchange.as_str().to_owned())),
        ("routing_key", Some(routing_key.as_str().to_owned())),
        ("content_type", text(properties.content_type())),
        ("correlation_id", text(properties.correlation_id())),
        ("user_id", text(properties.user_id())),
        ("app_id", text(properties.app_id())),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    // what the broker says comes first: a header of the same name does not count
    let attributes = known.chain(properties.headers().iter().flat_map(headers));
    let time = properties.timestamp().and_then(|seconds| {
        let seconds = i64::try_from(seconds).ok()?;
        Timestamp::from_second(seconds).ok()
    });
    Ok(Message {
        origin: queue.to_owned(),
        id: text(properties.message_id()).filter(|id| !id.is_empty()),
        kind: text(properties.kind()).filter(|kind| !kind.is_empty()),
        attributes: attributes.collect(),
        time,
        body: body_text(data)?,
    })
}

fn headers(table: &FieldTable) -> impl Iterator<Item = (String, String)> {
    let pairs = table.inner().iter();
    pairs.filter_map(|(name, value)| Some((name.as_str().to_owned(), shown(value)?)))
}

/// Headers that have a plain text. Tables, arrays and bytes have none.
fn shown(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        AMQPValue::ShortString(value) => value.as_str().to_owned(),
        AMQPValue::LongString(value) => str::from_utf8(value.as_bytes()).ok()?.to_owned(),
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::DropReason;
    use lapin::BasicProperties;

    fn delivery(properties: BasicProperties, body: &[u8]) -> Delivery {
        let mut delivery = Delivery::mock(1, "events".into(), "key".into(), false, body.to_vec());
        delivery.properties = properties;
        delivery
    }

    fn attribute<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
        let mut known = message.attributes.iter();
        known
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn properties_and_headers_are_kept_and_no_header_takes_the_brokers_place() {
        let mut headers = FieldTable::default();
        headers.insert("n".into(), AMQPValue::LongInt(-5));
        headers.insert("region".into(), AMQPValue::LongString("eu".into()));
        headers.insert("raw".into(), AMQPValue::LongString(b"\xff".to_vec().into()));
        headers.insert("routing_key".into(), AMQPValue::LongString("forged".into()));
        headers.insert("none".into(), AMQPValue::Void);
        let properties = BasicProperties::default()
            .with_message_id("m-1".into())
            .with_type("new_incident".into())
            .with_timestamp(1_795_287_867)
            .with_content_type("application/json".into())
            .with_headers(headers);
        let message = read("sdmis_api", delivery(properties, b"{}")).expect("text");
        assert_eq!(message.origin, "sdmis_api");
        assert_eq!(message.id.as_deref(), Some("m-1"));
        assert_eq!(message.kind.as_deref(), Some("new_incident"));
        assert_eq!(
            message.time.map(|time| time.as_second()),
            Some(1_795_287_867)
        );
        assert_eq!(attribute(&message, "routing_key"), Some("key"));
        assert_eq!(attribute(&message, "exchange"), Some("events"));
        assert_eq!(
            attribute(&message, "content_type"),
            Some("application/json")
        );
        assert_eq!(attribute(&message, "n"), Some("-5"));
        assert_eq!(attribute(&message, "region"), Some("eu"));
        assert_eq!(attribute(&message, "raw"), None);
        assert_eq!(attribute(&message, "none"), None);
    }

    #[test]
    fn a_message_without_properties_has_no_id_and_bytes_are_no_message() {
        let message = read("q", delivery(BasicProperties::default(), b"x")).expect("text");
        assert_eq!((message.id, message.kind, message.time), (None, None, None));
        let bad = read("q", delivery(BasicProperties::default(), b"\xff"));
        assert_eq!(bad.expect_err("bytes").0, DropReason::NotText);
        let late = BasicProperties::default().with_timestamp(u64::MAX);
        assert_eq!(read("q", delivery(late, b"x")).expect("text").time, None);
    }
}
