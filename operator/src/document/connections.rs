//! How soon lost connections are noticed, how long revocations hold, and where spans are sent, as the
//! relay reads it.

use relay_config as config;

use super::{Unread, set};
use crate::crd::{Revocations, Tcp, Traces};
use crate::references::path_in_pod;
use crate::references::tls::{TRACES_CA, TRACES_HEADERS};

pub(super) fn tcp(to: &mut config::Tcp, from: &Tcp, unread: &mut Unread) {
    if let Some(time) = &from.keep_alive {
        to.keep_alive = unread.span("tcp.keepAlive", time);
    }
    if let Some(time) = &from.user_timeout {
        to.user_timeout = unread.span("tcp.userTimeout", time);
    }
}

pub(super) fn revocations(to: &mut config::Revocations, from: &Revocations, unread: &mut Unread) {
    if let Some(time) = &from.keep {
        to.keep = unread.span("revocations.keep", time);
    }
    set(
        &mut to.max,
        from.max.and_then(|max| usize::try_from(max).ok()),
    );
}

pub(super) fn traces(from: &Traces) -> config::Traces {
    let mut to = config::Traces {
        endpoint: Some(from.endpoint.clone()),
        headers_file: from
            .headers
            .as_ref()
            .map(|_| path_in_pod(TRACES_HEADERS).into()),
        ca_file: from.ca.as_ref().map(|_| path_in_pod(TRACES_CA).into()),
        sample_ratio: from.sample_ratio,
        ..config::Traces::default()
    };
    let queue = from.max_queue.and_then(|max| usize::try_from(max).ok());
    set(&mut to.max_queue, queue);
    to
}
