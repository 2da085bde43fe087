//! From a message to an event, as the configuration says. Pure.

use super::{Message, health::DropReason};
use crate::{
    channel::ChannelName,
    dialect::{fill, json},
    event::{
        Attributes, Data, Ending, Event, EventError, EventType, MAX_ATTRIBUTE_VALUE, MAX_TYPE,
    },
};
use relay_config::{Expect, Language, Scope, Template, TemplateFault};
use sha2::{Digest, Sha256};

/// The longest id by which a message is recognised, in bytes.
const MAX_ID: usize = 4_096;

/// What of a message becomes an event.
#[derive(Debug)]
pub struct Mapping {
    expect: Expect,
    keys: Box<[Box<str>]>,
    channel: Template,
    kind: Template,
    key: Template,
    attributes: Vec<(String, Template)>,
    data: Template,
}

/// An event, and where it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    pub channel: ChannelName,
    pub event: Event,
    /// By which the same message is recognised: a hash, since a foreign id may be anything.
    pub key: Option<[u8; 32]>,
}

/// A message that becomes no event, and what to tell about it. It holds nothing of the message's
/// data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    pub reason: DropReason,
    pub detail: String,
}

impl Misfit {
    fn new(reason: DropReason, detail: impl Into<String>) -> Misfit {
        Misfit {
            reason,
            detail: detail.into(),
        }
    }
}

impl Mapping {
    /// # Errors
    /// Templates that validation refuses.
    pub fn new(settings: &relay_config::Mapping) -> Result<Mapping, TemplateFault> {
        let template = |text: &str| Template::parse(text, Language::Text, Scope::Message);
        let attributes = settings
            .attributes
            .iter()
            .map(|(name, text)| Ok((name.clone(), template(text)?)));
        Ok(Mapping {
            expect: settings.expect,
            keys: settings
                .keys
                .iter()
                .map(|key| key.as_str().into())
                .collect(),
            channel: template(&settings.channel)?,
            kind: template(&settings.r#type)?,
            key: template(&settings.idempotency_key)?,
            attributes: attributes.collect::<Result<_, _>>()?,
            data: template(&settings.data)?,
        })
    }

    /// What becomes of a message. `max_bytes` bounds its data.
    ///
    /// # Errors
    /// Why nothing does.
    pub fn map(&self, message: &Message, max_bytes: usize) -> Result<Mapped, Misfit> {
        self.check(message)?;
        let channel = fill(&self.channel, message, crate::channel::MAX_NAME);
        let channel = channel.ok_or_else(|| {
            Misfit::new(
                DropReason::NoChannel,
                "it has not what `mapping.channel` asks for, or the name would be too long",
            )
        })?;
        let channel = ChannelName::parse(&channel)
            .map_err(|error| Misfit::new(DropReason::BadChannel, error.to_string()))?;
        let kind = fill(&self.kind, message, MAX_TYPE).unwrap_or_default();
        let kind = EventType::parse(&kind)
            .map_err(|error| Misfit::new(DropReason::BadType, error.to_string()))?;
        let data = fill(&self.data, message, max_bytes).ok_or_else(|| {
            if message.body.len() > max_bytes {
                let why = format!("it has more than the {max_bytes} bytes of an event");
                return Misfit::new(DropReason::TooLarge, why);
            }
            let why = "it has not what `mapping.data` asks for, or too much of it";
            Misfit::new(DropReason::NoData, why)
        })?;
        let key = fill(&self.key, message, MAX_ID).filter(|key| !key.is_empty());
        Ok(Mapped {
            channel,
            event: Event {
                kind,
                data: Some(Data::text(&data)),
                attributes: self.attributes(message)?,
                retry: None,
                time: message.time,
                ending: Ending::Continues,
            },
            key: key.map(|key| identity(&message.origin, &key)),
        })
    }

    fn check(&self, message: &Message) -> Result<(), Misfit> {
        match self.expect {
            Expect::Text => Ok(()),
            Expect::Json if json::is_json(&message.body) => Ok(()),
            Expect::Json => Err(Misfit::new(DropReason::NotJson, "it is no JSON")),
            Expect::Object => {
                let keys = json::keys(&message.body)
                    .ok_or_else(|| Misfit::new(DropReason::NotJson, "it is no JSON object"))?;
                let known = |key: &String| self.keys.iter().any(|known| **known == **key);
                match self.keys.is_empty() || keys.iter().all(known) {
                    true => Ok(()),
                    false => Err(Misfit::new(
                        DropReason::UnknownKey,
                        "it has keys that `mapping.keys` does not name",
                    )),
                }
            }
        }
    }

    fn attributes(&self, message: &Message) -> Result<Attributes, Misfit> {
        let bad = |error: EventError| Misfit::new(DropReason::BadAttribute, error.to_string());
        let pairs = self.attributes.iter().filter_map(|(name, template)| {
            // one byte more than is legal, so that a value that is too long is not left out
            let value = fill(template, message, MAX_ATTRIBUTE_VALUE + 1)?;
            Some((name.clone(), value))
        });
        Attributes::new(pairs).map_err(bad)
    }
}

/// What a message is recognised by, whatever its origin and its id look like.
fn identity(origin: &str, id: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((origin.len() as u64).to_le_bytes());
    hash.update(origin.as_bytes());
    hash.update(id.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mapping(change: impl FnOnce(&mut relay_config::Mapping)) -> Mapping {
        let mut settings = relay_config::Mapping::default();
        change(&mut settings);
        Mapping::new(&settings).unwrap()
    }

    fn message(body: &str) -> Message {
        Message {
            origin: "orders".into(),
            id: Some("7-0".into()),
            body: body.into(),
            attributes: vec![("region".into(), "eu".into())],
            ..Message::default()
        }
    }

    fn reason(mapping: &Mapping, message: &Message) -> DropReason {
        mapping.map(message, 100).unwrap_err().reason
    }

    #[test]
    fn by_default_a_message_goes_as_it_is_to_the_channel_of_its_name() {
        let mapped = mapping(|_| {}).map(&message("{\"a\": 1}"), 100).unwrap();
        assert_eq!(mapped.channel.as_str(), "orders");
        assert_eq!(mapped.event.kind.as_str(), "message");
        assert_eq!(mapped.event.data.unwrap().as_str(), "{\"a\": 1}");
        assert!(mapped.event.attributes.is_empty() && mapped.key.is_some());
    }

    #[test]
    fn templates_choose_channel_type_key_attributes_and_data() {
        let mapping = mapping(|settings| {
            settings.channel = "orders.${attributes.region}".into();
            settings.r#type = "${data.kind}".into();
            settings.idempotency_key = "${data.n}".into();
            settings.data = "${data.body}".into();
            settings.attributes = [("n", "${data.n}"), ("missing", "${data.none}")]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into();
        });
        let body = r#"{"kind": "new", "n": 5, "body": {"x": [1, 2]}}"#;
        let mapped = mapping.map(&message(body), 100).unwrap();
        assert_eq!(mapped.channel.as_str(), "orders.eu");
        assert_eq!(mapped.event.kind.as_str(), "new");
        assert_eq!(mapped.event.data.unwrap().as_str(), r#"{"x":[1,2]}"#);
        assert_eq!(mapped.event.attributes.get("n"), Some("5"));
        assert_eq!(
            mapped.event.attributes.len(),
            1,
            "what is missing is left out"
        );
        let again = mapping.map(&message(body), 100).unwrap();
        assert_eq!(mapped.key, again.key);
        let elsewhere = Message {
            origin: "order".into(),
            ..message(body)
        };
        assert_ne!(mapping.map(&elsewhere, 100).unwrap().key, mapped.key);
    }

    #[test]
    fn a_message_that_looks_like_a_template_is_text_and_leads_nowhere() {
        let mapping = mapping(|settings| {
            settings.channel = "${data.to}".into();
            settings.data = "${data.say}".into();
        });
        // filled in again, each would be filled in by the other for ever
        let body = r#"{"to": "${data.say}", "say": "${data.to}"}"#;
        let mapped = mapping.map(&message(body), 100).unwrap();
        assert_eq!(mapped.channel.as_str(), "${data.say}");
        assert_eq!(mapped.event.data.unwrap().as_str(), "${data.to}");
        for nested in ["${data.${type}}", "${${data}}"] {
            let settings = relay_config::Mapping {
                data: nested.into(),
                ..relay_config::Mapping::default()
            };
            assert!(Mapping::new(&settings).is_err(), "{nested}");
        }
    }

    #[test]
    fn a_message_that_fits_nowhere_says_why() {
        let of = |change: fn(&mut relay_config::Mapping)| mapping(change);
        let any = of(|_| {});
        let channel = of(|settings| settings.channel = "${data.to}".into());
        assert_eq!(reason(&channel, &message("{}")), DropReason::NoChannel);
        assert_eq!(reason(&channel, &message("no json")), DropReason::NoChannel);
        for bad in [
            r#"{"to": "@subject/eve"}"#,
            r#"{"to": "a\nb"}"#,
            r#"{"to": ""}"#,
            r#"{"to": "*"}"#,
        ] {
            assert_eq!(
                reason(&channel, &message(bad)),
                DropReason::BadChannel,
                "{bad}"
            );
        }
        let long = format!(r#"{{"to": "{}"}}"#, "x".repeat(201));
        assert_eq!(reason(&channel, &message(&long)), DropReason::NoChannel);
        let kind = of(|settings| settings.r#type = "${data.type}".into());
        for bad in [r#"{"type": "gap"}"#, r#"{"type": "a\rb"}"#] {
            assert_eq!(reason(&kind, &message(bad)), DropReason::BadType, "{bad}");
        }
        let data = of(|settings| settings.data = "${data.body}".into());
        assert_eq!(reason(&data, &message("{}")), DropReason::NoData);
        assert_eq!(
            reason(&any, &message(&"x".repeat(101))),
            DropReason::TooLarge
        );
        let attribute = of(|settings| {
            settings.attributes = [("a".to_owned(), "${data.a}".to_owned())].into();
        });
        assert_eq!(
            reason(&attribute, &message(r#"{"a": "\u0000"}"#)),
            DropReason::BadAttribute
        );
    }

    #[test]
    fn what_is_not_meant_is_told_by_its_shape() {
        let json = mapping(|settings| settings.expect = Expect::Json);
        assert_eq!(reason(&json, &message("no json")), DropReason::NotJson);
        assert!(json.map(&message("[1]"), 100).is_ok());
        let object = mapping(|settings| {
            settings.expect = Expect::Object;
            settings.keys = vec!["data".into(), "event".into()];
        });
        for bad in ["no json", "[1]", "null", "5", "{} x"] {
            assert_eq!(reason(&object, &message(bad)), DropReason::NotJson, "{bad}");
        }
        assert_eq!(
            reason(&object, &message(r#"{"dat": 1}"#)),
            DropReason::UnknownKey
        );
        assert!(object.map(&message(r#"{"data": 1}"#), 100).is_ok());
        assert!(object.map(&message("{}"), 100).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_comes_there_is_an_event_or_a_reason(body in "(?s).{0,60}|\\{\"a\": ?.{0,20}\\}", id in ".{0,20}", origin in ".{0,30}") {
            let mapping = mapping(|settings| {
                settings.channel = "${data.a|channel}".into();
                settings.r#type = "${data.a|'x'}".into();
                settings.attributes = [("a".to_owned(), "${data.a}".to_owned())].into();
            });
            let message = Message { origin, id: Some(id), body, ..Message::default() };
            if let Ok(mapped) = mapping.map(&message, 40) {
                prop_assert!(mapped.event.data.unwrap().as_str().len() <= 40);
            }
        }
    }
}
