//! Any settings of what protects the relay.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{span, text};
use crate::{Cors, CorsMethod};

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
