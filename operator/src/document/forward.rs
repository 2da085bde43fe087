//! Another application that knows the users, as the relay reads it.

use relay_config as config;
use serde_json::json;

use super::{Unread, jwt};
use crate::crd::Forward;
use crate::references::auth::FORWARD_CA;
use crate::references::path_in_pod;

pub(super) fn forward(from: &Forward, unread: &mut Unread) -> config::Forward {
    let defaults = json!({ "url": from.url });
    let mut to: config::Forward =
        serde_json::from_value(defaults).expect("everything but the address has a default");
    if !from.headers.is_empty() {
        to.headers.clone_from(&from.headers);
    }
    if let Some(claims) = &from.claims {
        to.claims = jwt::claims(claims.clone());
    }
    if let Some(grant) = &from.grant {
        to.grant = jwt::grant(grant.clone());
    }
    for (path, from, field) in [
        ("auth.forward.lifetime", &from.lifetime, &mut to.lifetime),
        ("auth.forward.timeout", &from.timeout, &mut to.timeout),
        ("auth.forward.cache", &from.cache, &mut to.cache),
    ] {
        if let Some(time) = from {
            *field = unread.span(path, time);
        }
    }
    to.ca_file = from.ca.as_ref().map(|_| path_in_pod(FORWARD_CA).into());
    to
}
