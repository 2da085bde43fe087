//! How much askers may do, as the relay reads it.

use relay_config as config;

use super::Unread;
use crate::crd::{AttributeLimit, Bytes, Limit, Limits};

pub(super) fn limits(to: &mut config::Limits, from: &Limits, unread: &mut Unread) {
    for (path, limit, field) in [
        ("limits.total", &from.total, &mut to.total),
        ("limits.perSubject", &from.per_subject, &mut to.per_subject),
        ("limits.perAddress", &from.per_address, &mut to.per_address),
    ] {
        if let Some(limit) = limit {
            *field = one(path, limit, unread);
        }
    }
    to.auth_failures_per_second = count(from.auth_failures_per_second);
    let each = from.per_attribute.iter().enumerate();
    to.per_attribute = each
        .map(|(index, limit)| attribute(&format!("limits.perAttribute[{index}]"), limit, unread))
        .collect();
}

fn one(path: &str, from: &Limit, unread: &mut Unread) -> config::Limit {
    config::Limit {
        streams: count(from.streams),
        opens_per_second: count(from.opens_per_second),
        publishes_per_second: count(from.publishes_per_second),
        publish_bytes_per_second: bytes(path, &from.publish_bytes_per_second, unread),
    }
}

fn attribute(path: &str, from: &AttributeLimit, unread: &mut Unread) -> config::AttributeLimit {
    config::AttributeLimit {
        attribute: from.attribute.clone(),
        streams: count(from.streams),
        opens_per_second: count(from.opens_per_second),
        publishes_per_second: count(from.publishes_per_second),
        publish_bytes_per_second: bytes(path, &from.publish_bytes_per_second, unread),
    }
}

fn count(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

fn bytes(path: &str, from: &Option<Bytes>, unread: &mut Unread) -> Option<config::ByteSize> {
    let path = format!("{path}.publishBytesPerSecond");
    from.as_ref().map(|bytes| unread.bytes(&path, bytes))
}
