//! Any settings of what protects the relay.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::{bytes, span, text};
use crate::{
    AttributeLimit, Cors, CorsMethod, ForwardedHeader, Limit, Limits, Plaintext, Proxies,
    ProxyProtocol, ToBrowsers,
};

pub(super) fn cors() -> impl Strategy<Value = Cors> {
    use CorsMethod::{Delete, Get, Head, Post};
    let methods = prop::sample::select(vec![Get, Head, Post, Delete]);
    (
        vec(text(), 0..3),
        vec(methods, 0..4),
        vec(text(), 0..3),
        vec(text(), 0..3),
        any::<bool>(),
        span(),
    )
        .prop_map(
            |(origins, methods, headers, exposed_headers, credentials, max_age)| Cors {
                origins,
                methods,
                headers,
                exposed_headers,
                credentials,
                max_age,
            },
        )
}

pub(super) fn proxies() -> impl Strategy<Value = Proxies> {
    let headers = vec![ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded];
    let plaintext = vec![Plaintext::Allow, Plaintext::Refuse, Plaintext::Redirect];
    let protocol = vec![
        ProxyProtocol::Off,
        ProxyProtocol::Accept,
        ProxyProtocol::Require,
    ];
    (
        vec(text(), 0..3),
        prop::sample::select(headers),
        prop::sample::select(plaintext),
        prop::sample::select(protocol),
        any::<bool>(),
    )
        .prop_map(
            |(trusted, header, plaintext, proxy_protocol, trust_unix_sockets)| Proxies {
                trusted,
                trust_unix_sockets,
                header,
                plaintext,
                proxy_protocol,
            },
        )
}

fn limit() -> impl Strategy<Value = Limit> {
    (
        of(any::<u32>()),
        of(any::<u32>()),
        of(any::<u32>()),
        of(bytes()),
    )
        .prop_map(
            |(streams, opens_per_second, publishes_per_second, publish_bytes_per_second)| Limit {
                streams,
                opens_per_second,
                publishes_per_second,
                publish_bytes_per_second,
            },
        )
}

pub(super) fn limits() -> impl Strategy<Value = Limits> {
    let rule = (text(), limit()).prop_map(|(attribute, limit)| AttributeLimit {
        attribute,
        streams: limit.streams,
        opens_per_second: limit.opens_per_second,
        publishes_per_second: limit.publishes_per_second,
        publish_bytes_per_second: limit.publish_bytes_per_second,
    });
    let answers = prop::sample::select(vec![ToBrowsers::Retry, ToBrowsers::Status]);
    (
        (limit(), limit(), limit(), vec(rule, 0..3)),
        (any::<u8>(), any::<u8>(), span()),
        (any::<usize>(), answers, of(any::<u32>())),
    )
        .prop_map(
            |(
                (total, per_subject, per_address, per_attribute),
                (ipv4_prefix, ipv6_prefix, burst),
                (max_tracked, to_browsers, auth_failures_per_second),
            )| Limits {
                total,
                per_subject,
                per_address,
                auth_failures_per_second,
                per_attribute,
                ipv4_prefix,
                ipv6_prefix,
                burst,
                max_tracked,
                to_browsers,
            },
        )
}
