//! What must hold of `limits`.

use super::{MAX_INTERVAL, Problems};
use crate::limits::{Limit, Limits};
use crate::timespan::Timespan;

/// The most attributes with bounds: each is looked up for each request.
const MAX_ATTRIBUTES: usize = 10;

pub(super) fn check(problems: &mut Problems, limits: &Limits, max_connections: Option<usize>) {
    let room = |streams: u32| {
        max_connections.is_none_or(|max| usize::try_from(streams).is_ok_and(|n| n < max))
    };
    problems.add_if(
        limits.total.streams.is_some_and(|streams| !room(streams)),
        "limits.total.streams",
        "leaves publishers no connection; write less than `stream.maxConnections`, or raise that",
    );
    check_limit(problems, "limits.total", limits.total);
    check_limit(problems, "limits.perSubject", limits.per_subject);
    check_limit(problems, "limits.perAddress", limits.per_address);
    if let Some(failures) = limits.auth_failures_per_second {
        problems.count("limits.authFailuresPerSecond", u64::from(failures));
    }
    for (index, rule) in limits.per_attribute.iter().enumerate() {
        let path = format!("limits.perAttribute[{index}]");
        problems.name(&format!("{path}.attribute"), &rule.attribute);
        let twice = limits.per_attribute[..index]
            .iter()
            .any(|earlier| earlier.attribute == rule.attribute);
        problems.add_if(
            twice,
            &path,
            "has the attribute of an earlier entry; write each attribute once",
        );
        problems.add_if(
            rule.limit().is_none(),
            &path,
            "bounds nothing; say how much is allowed, or remove the entry",
        );
        check_limit(problems, &path, rule.limit());
    }
    problems.add_if(
        limits.per_attribute.len() > MAX_ATTRIBUTES,
        "limits.perAttribute",
        "has more than 10 entries; bound fewer attributes",
    );
    problems.add_if(
        !(8..=32).contains(&limits.ipv4_prefix),
        "limits.ipv4Prefix",
        "write a number from 8 to 32; 32 is each address for itself",
    );
    problems.add_if(
        !(16..=128).contains(&limits.ipv6_prefix),
        "limits.ipv6Prefix",
        "write a number from 16 to 128; 64 is each network for itself",
    );
    problems.time(
        "limits.burst",
        limits.burst,
        Timespan::default()..=MAX_INTERVAL,
    );
    problems.size("limits.maxTracked", limits.max_tracked);
}

fn check_limit(problems: &mut Problems, path: &str, limit: Limit) {
    for (name, value) in [
        ("streams", limit.streams),
        ("opensPerSecond", limit.opens_per_second),
        ("publishesPerSecond", limit.publishes_per_second),
    ] {
        if let Some(value) = value {
            problems.count(&format!("{path}.{name}"), u64::from(value));
        }
    }
    if let Some(bytes) = limit.publish_bytes_per_second {
        problems.bytes(&format!("{path}.publishBytesPerSecond"), bytes);
    }
}
