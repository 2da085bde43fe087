//! From a message of AMQP 1.0 to one of ours. Pure.

use crate::source::{
    DropReason, Message,
    broker::{Unreadable, body_text},
};
use fe2o3_amqp::types::{
    messaging::{self, AmqpValue, ApplicationProperties, Body, MessageId, Properties},
    primitives::{SimpleValue, Symbol, Value},
};
use jiff::Timestamp;

/// What a message from an address says.
///
/// # Errors
/// It is no text, or too much of it.
pub(super) fn read(
    address: &str,
    message: messaging::Message<Body<Value>>,
) -> Result<Message, Unreadable> {
    let properties = message.properties.unwrap_or_default();
    let time = properties.creation_time.as_ref();
    let time = time.and_then(|time| Timestamp::from_millisecond(time.milliseconds()).ok());
    let own = message.application_properties;
    let attributes = known(&properties).chain(own.iter().flat_map(chosen));
    Ok(Message {
        origin: address.to_owned(),
        id: properties.message_id.as_ref().and_then(id),
        kind: properties.subject.clone().filter(|kind| !kind.is_empty()),
        attributes: attributes.collect(),
        time,
        body: text(message.body)?,
    })
}

/// An id with its type: a number is no text that looks like it.
fn id(id: &MessageId) -> Option<String> {
    Some(match id {
        MessageId::String(id) => id.clone(),
        MessageId::Ulong(id) => format!("ulong:{id}"),
        MessageId::Uuid(id) => format!("uuid:{}", hex(id.as_ref())),
        MessageId::Binary(id) => format!("binary:{}", hex(id)),
    })
    .filter(|id| !id.is_empty())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn known(properties: &Properties) -> impl Iterator<Item = (String, String)> {
    let symbol = |value: Option<&Symbol>| value.map(|value| value.to_string());
    let pairs = [
        ("to", properties.to.clone()),
        ("subject", properties.subject.clone()),
        ("reply_to", properties.reply_to.clone()),
        (
            "correlation_id",
            properties.correlation_id.as_ref().and_then(id),
        ),
        ("content_type", symbol(properties.content_type.as_ref())),
        ("group_id", properties.group_id.clone()),
    ];
    let pairs = pairs.into_iter();
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// What the sender has chosen to say beside the body.
fn chosen(own: &ApplicationProperties) -> impl Iterator<Item = (String, String)> {
    let pairs = own.0.iter();
    pairs.filter_map(|(name, value)| Some((name.clone(), shown(value)?)))
}

/// Values that have a plain text.
fn shown(value: &SimpleValue) -> Option<String> {
    Some(match value {
        SimpleValue::Bool(value) => value.to_string(),
        SimpleValue::Ubyte(value) => value.to_string(),
        SimpleValue::Ushort(value) => value.to_string(),
        SimpleValue::Uint(value) => value.to_string(),
        SimpleValue::Ulong(value) => value.to_string(),
        SimpleValue::Byte(value) => value.to_string(),
        SimpleValue::Short(value) => value.to_string(),
        SimpleValue::Int(value) => value.to_string(),
        SimpleValue::Long(value) => value.to_string(),
        SimpleValue::Float(value) => value.to_string(),
        SimpleValue::Double(value) => value.to_string(),
        SimpleValue::String(value) => value.clone(),
        SimpleValue::Symbol(value) => value.to_string(),
        _ => return None,
    })
}

fn text(body: Body<Value>) -> Result<String, Unreadable> {
    let odd = |what: &str| Err((DropReason::Undecodable, format!("its body is {what}")));
    match body {
        Body::Value(AmqpValue(Value::String(text))) => body_text(text.into_bytes()),
        Body::Value(AmqpValue(Value::Binary(bytes))) => body_text(bytes.into_vec()),
        Body::Data(sections) => {
            let sections = sections.into_iter().map(|section| section.0.into_vec());
            body_text(sections.collect::<Vec<_>>().concat())
        }
        Body::Empty => Ok(String::new()),
        Body::Value(_) => odd("neither text nor bytes"),
        Body::Sequence(_) => odd("a sequence of values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp::types::{
        messaging::{Batch, Data},
        primitives::Binary,
    };

    fn of(body: Body<Value>) -> messaging::Message<Body<Value>> {
        messaging::Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: None,
            application_properties: None,
            body,
            footer: None,
        }
    }

    fn value(value: Value) -> Body<Value> {
        Body::Value(AmqpValue(value))
    }

    fn data(parts: &[&[u8]]) -> Body<Value> {
        let parts = parts.iter().map(|part| Data(Binary::from(part.to_vec())));
        Body::Data(Batch::new(parts.collect::<Vec<_>>()))
    }

    #[test]
    fn text_and_bytes_are_read_and_other_values_are_dropped() {
        let said = |body| read("a", of(body)).map(|message| message.body);
        assert_eq!(said(value(Value::String("x".into()))), Ok("x".to_owned()));
        assert_eq!(said(data(&[b"a", b"b"])), Ok("ab".to_owned()));
        assert_eq!(said(Body::Empty), Ok(String::new()));
        let reason = |body| said(body).map_err(|(reason, _)| reason);
        assert_eq!(reason(data(&[b"\xff"])), Err(DropReason::NotText));
        assert_eq!(reason(value(Value::Int(5))), Err(DropReason::Undecodable));
    }

    #[test]
    fn properties_become_id_type_time_and_attributes() {
        let mut message = of(Body::Empty);
        message.properties = Some(Properties {
            message_id: Some(MessageId::Ulong(7)),
            subject: Some("price".into()),
            creation_time: Some(1_795_287_867_680_i64.into()),
            to: Some("prices".into()),
            ..Properties::default()
        });
        let own = ApplicationProperties::builder()
            .insert("region", "eu")
            .build();
        message.application_properties = Some(own);
        let message = read("prices", message).expect("text");
        assert_eq!(message.id.as_deref(), Some("ulong:7"));
        assert_eq!(message.kind.as_deref(), Some("price"));
        assert_eq!(
            message.time.map(|time| time.as_millisecond()),
            Some(1_795_287_867_680)
        );
        assert!(message.attributes.contains(&("region".into(), "eu".into())));
        assert!(message.attributes.contains(&("to".into(), "prices".into())));
    }

    #[test]
    fn ids_of_different_types_are_different() {
        let ids = [
            MessageId::String("7".into()),
            MessageId::Ulong(7),
            MessageId::Binary(Binary::from(vec![7])),
        ];
        let ids: Vec<_> = ids.iter().map(id).collect();
        assert_eq!(
            ids,
            [
                Some("7".into()),
                Some("ulong:7".into()),
                Some("binary:07".into())
            ]
        );
        assert_eq!(id(&MessageId::String(String::new())), None);
    }
}
