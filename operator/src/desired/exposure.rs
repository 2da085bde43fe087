//! Which paths the way in from outside shows.

use crate::crd::Exposed;
use crate::validate::Valid;

/// A path that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// This path, and nothing below it.
    Exact(String),
    /// This path, and everything below it.
    Below(String),
}

/// The paths of one part of the relay. Paths of other systems are for subscribers.
pub fn paths(valid: &Valid, exposed: Exposed) -> Vec<Shown> {
    let below = |path: &str| Shown::Below(path.to_owned());
    let exact = |path: &str| Shown::Exact(path.to_owned());
    match exposed {
        Exposed::Subscribe => {
            let mut shown = vec![below("/v1/events")];
            for path in valid.config.routes.iter().flat_map(|route| &route.paths) {
                let path = of_route(path);
                if !shown.contains(&path) {
                    shown.push(path);
                }
            }
            shown
        }
        Exposed::Publish => vec![below("/v1/channels")],
        Exposed::Observe => vec![
            below("/v1/clients"),
            below("/v1/connections"),
            below("/v1/status"),
        ],
        Exposed::Dashboard => vec![exact("/"), exact("/v1/openapi.json")],
    }
}

/// What a route's path is to a proxy, which knows no parameters: all that is below its beginning.
fn of_route(path: &str) -> Shown {
    match beginning(path) {
        beginning if beginning == path => Shown::Exact(path.to_owned()),
        beginning => Shown::Below(beginning.to_owned()),
    }
}

/// The whole segments of `path` before its first parameter; empty, if it begins with one.
#[must_use]
pub fn beginning(path: &str) -> &str {
    match path.split_once('{') {
        None => path,
        Some((before, _)) => before.rsplit_once('/').map_or("", |(whole, _)| whole),
    }
}

#[cfg(test)]
mod tests {
    use relay_config::RoutePath;

    use super::*;

    #[test]
    fn a_proxy_is_shown_what_is_before_the_first_parameter() {
        for (path, shown) in [
            ("/events", "/events"),
            ("/topics/{topic}", "/topics"),
            ("/a/b-{c}/d", "/a"),
            ("/{topic}", ""),
            ("/room-{room}", ""),
        ] {
            assert!(RoutePath::parse(path).is_ok(), "{path}");
            assert_eq!(beginning(path), shown, "{path}");
        }
    }
}
