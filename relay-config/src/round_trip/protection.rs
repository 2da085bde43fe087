//! Any settings of what protects the relay.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{span, text};
use crate::{Cors, CorsMethod, ForwardedHeader, Plaintext, Proxies};

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
    (
        vec(text(), 0..3),
        prop::sample::select(headers),
        prop::sample::select(plaintext),
    )
        .prop_map(|(trusted, header, plaintext)| Proxies {
            trusted,
            header,
            plaintext,
        })
}
