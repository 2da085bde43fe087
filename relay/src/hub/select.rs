//! Which streams are meant: by whom they belong to and what they receive.

use super::open::StreamInfo;
use crate::{channel::ChannelName, subject::Subject};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Streams to which all that is said applies. What says nothing means all streams.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StreamSelector {
    /// A stream's id, as `/v1/connections` lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// The name that the client gave itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Name of the token that opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Id of the signed token that opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// A channel that it receives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl StreamSelector {
    pub fn connection(id: &str) -> StreamSelector {
        StreamSelector {
            connection: Some(id.to_owned()),
            ..StreamSelector::default()
        }
    }

    /// Whether it says nothing.
    pub fn is_everything(&self) -> bool {
        *self == StreamSelector::default()
    }

    /// Takes itself apart without `..`, so that nothing that is said is forgotten.
    pub fn matches(&self, stream: &StreamInfo) -> bool {
        let StreamSelector {
            connection,
            subject,
            client,
            token,
            jti,
            channel,
            address,
        } = self;
        let text = |wanted: &Option<String>, is: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| is.is_some_and(|is| is == wanted))
        };
        let id = connection.is_some().then(|| stream.id());
        text(connection, id.as_deref())
            && text(client, stream.client.as_deref())
            && text(token, stream.who.token())
            && text(jti, stream.who.jti())
            && (subject.is_none() || *subject == stream.who.subject)
            && address.is_none_or(|address| {
                stream
                    .remote
                    .is_some_and(|remote| remote.ip() == address.to_canonical())
            })
            && channel
                .as_ref()
                .is_none_or(|channel| stream.channels.iter().any(|s| s.matches(channel)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Evidence, channel::Selector, hub::open::Transport, who::Who};
    use std::{net::SocketAddr, sync::Arc, time::SystemTime};

    fn stream() -> StreamInfo {
        StreamInfo {
            number: 7,
            replica: "replica".into(),
            client: Some("web".into()),
            who: Who {
                subject: Subject::parse("ann").ok(),
                evidence: Evidence::Token("page".into()),
            },
            remote: "[::ffff:10.0.0.1]:4000"
                .parse::<SocketAddr>()
                .ok()
                .map(Into::into),
            user_agent: None,
            transport: Transport::Http11,
            opened: SystemTime::UNIX_EPOCH,
            channels: Arc::new([Selector::parse("orders.*").unwrap()]),
            filter: Arc::default(),
            voice: None,
        }
    }

    #[test]
    fn all_that_is_said_must_apply() {
        let one = |json: serde_json::Value| {
            let selector: StreamSelector = serde_json::from_value(json).unwrap();
            selector.matches(&stream())
        };
        for (name, is, is_not) in [
            ("connection", "replica-7", "replica-70"),
            ("subject", "ann", "Ann"),
            ("client", "web", "we"),
            ("token", "page", "ann"),
            ("channel", "orders.eu", "orders"),
            ("address", "10.0.0.1", "10.0.0.2"),
        ] {
            assert!(one(serde_json::json!({ name: is })), "{name}");
            assert!(!one(serde_json::json!({ name: is_not })), "{name}");
            let both = serde_json::json!({ name: is, "client": "other" });
            assert_eq!(one(both), name == "client" && is == "other", "{name}");
        }
        assert!(one(serde_json::json!({})), "what says nothing means all");
    }

    #[test]
    fn who_showed_nothing_has_neither_token_nor_subject() {
        let mut nobody = stream();
        nobody.who = Who {
            subject: None,
            evidence: Evidence::Anonymous,
        };
        let subject = StreamSelector {
            subject: Subject::parse("ann").ok(),
            ..StreamSelector::default()
        };
        let token = StreamSelector {
            token: Some("page".into()),
            ..StreamSelector::default()
        };
        assert!(!subject.matches(&nobody) && !token.matches(&nobody));
        assert!(StreamSelector::default().is_everything() && !subject.is_everything());
    }
}
