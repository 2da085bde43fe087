//! Paths of other systems: which route a request means, and what it asks for there.

pub mod refusal;

use crate::{
    dialect::{Dialect, census::Census, facts::RefusalFacts},
    filter::Filter,
};
use percent_encoding::percent_decode_str;
use refusal::Refusals;
use relay_config::{
    Charset, FilterValues, JsonStyle, Language, RefusedFor, Repeated, Route, RouteCors,
    RouteCredentials, RoutePath, RoutePathError, Scope, Template, TemplateFault,
};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// The routes of a configuration.
#[derive(Debug, Default)]
pub struct Routes(Vec<Arc<Open>>);

/// A route that is served.
#[derive(Debug)]
pub struct Open {
    config: Route,
    paths: Vec<RoutePath>,
    status: Option<Template>,
    pub dialect: Arc<Dialect>,
    pub refusals: Refusals,
    /// Of its status; where none fits, the others count.
    status_refusals: Refusals,
}

/// A request to one of a route's paths.
#[derive(Clone, Debug)]
pub struct Asked {
    pub route: Arc<Open>,
    /// The channels and patterns that the path means.
    pub channels: Vec<String>,
}

/// Why routes cannot be served as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("routes: a template {0}")]
    Template(#[from] TemplateFault),
    #[error("routes: a path {0}")]
    Path(#[from] RoutePathError),
    #[error(
        "routes: `{0}` is no reason of a refusal; /metrics has them as labels of sse_relay_auth_refused_total"
    )]
    Reason(String),
}

impl Routes {
    pub fn new(routes: &[Route]) -> Result<Routes, RouteError> {
        Routes::default().renewed(routes)
    }

    /// Those that take the place of these. Where nothing changed, streams that are open and those that
    /// come share what is written for them.
    pub fn renewed(&self, routes: &[Route]) -> Result<Routes, RouteError> {
        let routes = routes.iter().map(|route| {
            if let Some(same) = self.0.iter().find(|known| known.config == *route) {
                return Ok(same.clone());
            }
            let before = self
                .0
                .iter()
                .find(|known| known.config.paths == route.paths);
            let census = before.map(|known| known.dialect.census.clone());
            Open::new(route, census.unwrap_or_default()).map(Arc::new)
        });
        Ok(Routes(routes.collect::<Result<_, _>>()?))
    }

    /// The first route that has a path, which stands as in a request.
    pub fn find(&self, path: &str) -> Option<Asked> {
        if self.0.is_empty() || is_own(path) {
            return None;
        }
        let segments = segments(path)?;
        self.0.iter().find_map(|route| {
            let matching = route.paths.iter().find_map(|path| path.matches(&segments));
            matching.map(|parameters| Asked {
                channels: route.channels(&parameters),
                route: route.clone(),
            })
        })
    }

    /// The route whose status has this path.
    pub fn status_at(&self, path: &str) -> Option<&Arc<Open>> {
        self.0.iter().find(|route| {
            let status = route.config.status.as_ref();
            status.is_some_and(|status| status.paths.iter().any(|known| known == path))
        })
    }

    /// Whether answers at a path say nothing to browsers about pages of other origins.
    pub fn are_silent_at(&self, path: &str) -> bool {
        let asked = self.find(path);
        let route = asked.as_ref().map(|asked| &asked.route);
        route
            .or_else(|| self.status_at(path))
            .is_some_and(|route| route.is_silent())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Streams of this process by the first paths of their routes, for the other replicas.
    pub fn census(&self) -> BTreeMap<String, u64> {
        let routes = self.0.iter();
        routes
            .map(|route| (route.name().to_owned(), route.dialect.census.here() as u64))
            .collect()
    }

    /// What the other replicas said, each as [`Routes::census`].
    pub fn count_elsewhere<'a>(&self, others: impl Iterator<Item = &'a BTreeMap<String, u64>>) {
        let others: Vec<_> = others.collect();
        for route in &self.0 {
            let streams = others.iter().filter_map(|census| census.get(route.name()));
            let streams = usize::try_from(streams.sum::<u64>()).unwrap_or(usize::MAX);
            route.dialect.census.set_elsewhere(streams);
        }
    }
}

/// Whether the relay itself has a path, so that no route can hide it: not by a parameter either.
fn is_own(path: &str) -> bool {
    path == "/health" || path == "/v1" || path.starts_with("/v1/")
}

/// A path's segments, decoded; `None` if that is not UTF-8.
fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let segments = path.strip_prefix('/')?.split('/');
    segments
        .map(|segment| percent_decode_str(segment).decode_utf8().ok())
        .collect()
}

impl Open {
    fn new(route: &Route, census: Arc<Census>) -> Result<Open, RouteError> {
        let paths = route.paths.iter().map(|path| RoutePath::parse(path));
        let status = route.status.as_ref();
        let status =
            status.map(|status| Template::parse(&status.json, Language::Json, Scope::Status));
        Ok(Open {
            paths: paths.collect::<Result<_, _>>()?,
            status: status.transpose()?,
            dialect: Arc::new(Dialect::new(route, census)?),
            refusals: Refusals::new(&route.refusals)?,
            status_refusals: match &route.status {
                Some(status) => Refusals::new(&status.refusals)?,
                None => Refusals::default(),
            },
            config: route.clone(),
        })
    }

    /// The channels, with the parameters of a path in them.
    fn channels(&self, parameters: &[(&str, &str)]) -> Vec<String> {
        let filled = self.config.channels.iter().map(|text| {
            let mut out = String::with_capacity(text.len());
            let mut rest = text.as_str();
            // once, from the left: what a path has is no template
            while let Some((before, after)) = rest.split_once('{') {
                let (name, after) = after.split_once('}').unwrap_or((after, ""));
                let value = parameters.iter().find(|(known, _)| *known == name);
                out.push_str(before);
                out.push_str(value.map_or("", |(_, value)| value));
                rest = after;
            }
            out + rest
        });
        filled.collect()
    }

    /// Its first path, by which people know it.
    pub fn name(&self) -> &str {
        self.config.paths.first().map_or("", String::as_str)
    }

    /// The channels and patterns of a route whose paths have no parameters.
    pub fn fixed_channels(&self) -> &[String] {
        &self.config.channels
    }

    pub fn credentials(&self) -> &RouteCredentials {
        &self.config.credentials
    }

    pub fn charset(&self) -> Charset {
        self.config.charset
    }

    /// Whether its answers say nothing to browsers about pages of other origins.
    pub fn is_silent(&self) -> bool {
        self.config.cors == RouteCors::Off
    }

    /// What who gets no status is told.
    pub fn status_refusal(
        &self,
        problem: RefusedFor,
        facts: &RefusalFacts<'_>,
    ) -> Option<(u16, String)> {
        let own = self.status_refusals.answer(problem, facts);
        own.or_else(|| self.refusals.answer(problem, facts))
    }

    /// How JSON is written.
    pub fn json(&self) -> JsonStyle {
        self.config.dialect.json
    }

    pub fn status(&self) -> Option<&Template> {
        self.status.as_ref()
    }

    /// What a request chooses events by, of its parameters.
    pub fn wanted(&self, parameters: &[(String, String)]) -> Filter {
        let mut wanted = Filter::default();
        for filter in &self.config.filters {
            let mut given: Vec<&str> = parameters
                .iter()
                .filter(|(name, _)| *name == filter.parameter)
                .map(|(_, value)| value.as_str())
                .collect();
            if filter.repeated == Repeated::Last {
                given.drain(..given.len().saturating_sub(1));
            }
            // what is empty chooses nothing, so it does not choose at all
            let given = given.into_iter().filter(|value| !value.is_empty());
            let values: Vec<Box<str>> = match filter.values {
                FilterValues::One => given.map(Into::into).collect(),
                FilterValues::Commas => given
                    .flat_map(|value| value.split(','))
                    .map(|value| value.trim().into())
                    .collect(),
            };
            if !values.is_empty() {
                wanted.accept(&filter.parameter, values);
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::Config;
    use std::collections::BTreeMap;

    fn routes(yaml: &str) -> Routes {
        let config = Config::from_sources(Some(("test", yaml)), &BTreeMap::new()).unwrap();
        Routes::new(&config.routes).unwrap()
    }

    #[test]
    fn a_path_means_the_first_route_that_has_it() {
        let routes = routes(
            "routes:\n  - {paths: ['/room={room}', '/rooms/{room}'], channels: ['rooms.{room}', all]}\n  - {paths: ['/{name}'], channels: ['{name}']}",
        );
        let channels = |path: &str| routes.find(path).map(|asked| asked.channels);
        assert_eq!(channels("/room=a").unwrap(), ["rooms.a", "all"]);
        assert_eq!(channels("/rooms/b%20c").unwrap(), ["rooms.b c", "all"]);
        assert_eq!(channels("/caf%C3%A9%20x").unwrap(), ["café x"]);
        assert_eq!(
            channels("/%7Bname%7D").unwrap(),
            ["{name}"],
            "filled in once"
        );
        assert_eq!(channels("/a/b"), None);
        assert_eq!(channels("/%FF"), None);
        assert_eq!(channels("/"), None);
    }

    #[test]
    fn no_route_hides_what_is_the_relays_own() {
        let routes = routes(
            "routes:\n  - {paths: ['/{a}', '/{a}/{b}', '/{a}/{b}/{c}/{d}'], channels: ['x']}",
        );
        for own in [
            "/health",
            "/v1/events",
            "/v1/x",
            "/v1/channels/a/events",
            "/",
        ] {
            assert!(routes.find(own).is_none(), "{own}");
        }
        for free in ["/healthy", "/v2/events", "/v1x/events"] {
            assert!(routes.find(free).is_some(), "{free}");
        }
    }

    #[test]
    fn parameters_choose_as_the_route_says() {
        let routes = routes(
            "routes:\n  - paths: [/a]\n    channels: [a]\n    filters:\n      - {parameter: m, value: '${type}', repeated: last}\n      - {parameter: e, value: '${type}', values: one}",
        );
        let route = routes.find("/a").unwrap().route;
        let wanted = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            serde_json::to_string(&route.wanted(&pairs)).unwrap()
        };
        assert_eq!(
            wanted(&[("m", "a,b"), ("m", " c , d")]),
            r#"{"m":["c","d"]}"#
        );
        assert_eq!(wanted(&[("m", ",")]), r#"{"m":[""]}"#);
        assert_eq!(wanted(&[("m", ""), ("x", "y")]), "{}");
        assert_eq!(wanted(&[("e", "a,b"), ("e", "c")]), r#"{"e":["a,b","c"]}"#);
    }

    #[test]
    fn an_unchanged_route_keeps_what_it_has_and_a_changed_one_its_count() {
        let old =
            routes("routes:\n  - {paths: [/a], channels: [a]}\n  - {paths: [/b], channels: [b]}");
        old.0[1].dialect.census.opened();
        let new =
            routes("routes:\n  - {paths: [/a], channels: [a]}\n  - {paths: [/b], channels: [c]}");
        let configs: Vec<Route> = new.0.iter().map(|route| route.config.clone()).collect();
        let renewed = old.renewed(&configs).unwrap();
        assert_eq!(renewed.0[0].dialect, old.0[0].dialect);
        assert_ne!(renewed.0[1].dialect, old.0[1].dialect);
        assert_eq!(renewed.0[1].dialect.census.here(), 1);
    }
}
