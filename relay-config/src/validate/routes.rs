//! What must hold of `routes`.

use std::collections::HashSet;

use super::{MAX_INTERVAL, ONE_SECOND, Problems};
use crate::config::Config;
use crate::delivery::Overflow;
use crate::pattern::ChannelPattern;
use crate::routes::{Dialect, FrameField, Refusal, Route, RoutePath};
use crate::template::{Language, Name, Scope, Template};
use crate::timespan::Timespan;

/// The most routes: each request to a path that is not the relay's own is compared with all.
const MAX_ROUTES: usize = 64;
/// The most paths of a route.
const MAX_PATHS: usize = 8;
/// The most filters, or blocks of a greeting, or refusals.
const MAX_ITEMS: usize = 16;
/// The most fields of a block, and the most keys that one fills in.
const MAX_FIELDS: usize = 16;

pub(super) fn check(problems: &mut Problems, config: &Config) {
    problems.add_if(
        config.routes.len() > MAX_ROUTES,
        "routes",
        "has more than 64 entries; let several paths share one",
    );
    let mut paths = HashSet::new();
    for (index, route) in config.routes.iter().enumerate() {
        let mut check = Check {
            problems: &mut *problems,
            path: format!("routes[{index}]"),
            route,
        };
        check.paths(&mut paths);
        check.channels();
        check.filters();
        check.rest();
        check.dialect();
        check.status(&mut paths);
        check.refusals();
    }
}

struct Check<'c, 'p> {
    problems: &'p mut Problems,
    path: String,
    route: &'c Route,
}

impl<'c> Check<'c, '_> {
    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    fn paths(&mut self, known: &mut HashSet<&'c str>) {
        let count = self.route.paths.len();
        self.problems.add_if(
            !(1..=MAX_PATHS).contains(&count),
            &self.at("paths"),
            "write 1 to 8 paths",
        );
        for (index, text) in self.route.paths.iter().enumerate() {
            let at = self.at(&format!("paths[{index}]"));
            if let Err(error) = RoutePath::parse(text) {
                self.problems.add(&at, error.to_string());
            }
            self.problems.add_if(
                !known.insert(text),
                &at,
                "stands for something else already; write each path once",
            );
        }
    }

    /// Parameters that all paths have.
    fn parameters(&self) -> HashSet<String> {
        let paths = self
            .route
            .paths
            .iter()
            .filter_map(|text| RoutePath::parse(text).ok());
        let each = paths.map(|path| path.parameters().map(str::to_owned).collect());
        each.reduce(|all: HashSet<String>, one| &all & &one)
            .unwrap_or_default()
    }

    fn channels(&mut self) {
        self.problems.add_if(
            self.route.channels.is_empty(),
            &self.at("channels"),
            "is empty; say which channels the path means",
        );
        let parameters = self.parameters();
        for (index, text) in self.route.channels.iter().enumerate() {
            let at = self.at(&format!("channels[{index}]"));
            let filled = parameters.iter().fold(text.clone(), |text, name| {
                text.replace(&format!("{{{name}}}"), "x")
            });
            if filled.contains(['{', '}']) {
                self.problems.add(
                    at,
                    "has a parameter in braces that not every path of the route has",
                );
            } else if let Err(error) = ChannelPattern::parse(&filled) {
                self.problems.add(at, error.to_string());
            }
        }
    }

    fn filters(&mut self) {
        let filters = &self.route.filters;
        self.count("filters", filters.len());
        for (index, filter) in filters.iter().enumerate() {
            let at = self.at(&format!("filters[{index}]"));
            self.problems
                .name(&format!("{at}.parameter"), &filter.parameter);
            let twice = filters[..index]
                .iter()
                .any(|earlier| earlier.parameter == filter.parameter);
            self.problems.add_if(
                twice,
                &at,
                "has the parameter of an earlier filter; write each once",
            );
            self.template(
                &format!("{at}.value"),
                &filter.value,
                Language::Text,
                Scope::Filter,
            );
        }
    }

    fn rest(&mut self) {
        let token = |text: &str| {
            (1..=100).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.~+".contains(&b))
        };
        let credentials = &self.route.credentials;
        let scheme = credentials.scheme.as_deref();
        self.problems.add_if(
            scheme.is_some_and(|scheme| !token(scheme)),
            &self.at("credentials.scheme"),
            "write the one word that stands before the token, such as `Token`",
        );
        let parameter = credentials.query_parameter.as_deref();
        self.problems.add_if(
            parameter.is_some_and(|name| !token(name)),
            &self.at("credentials.queryParameter"),
            "write the name of a parameter, of letters, digits and `-_.~+`",
        );
        self.problems.add_if(
            self.route.overflow == Some(Overflow::Coalesce),
            &self.at("overflow"),
            "coalescing needs an attribute to go by; set `overflow` and `coalesceBy` in a rule under `channels`",
        );
        if let Some(lifetime) = self.route.lifetime {
            self.problems
                .time(&self.at("lifetime"), lifetime, ONE_SECOND..=Timespan::MAX);
        }
    }

    fn dialect(&mut self) {
        let Dialect {
            line_end: _,
            line_end_from,
            json: _,
            greeting,
            event,
            heartbeat,
            gap,
            expiring,
            degraded,
            end,
            farewell,
        } = &self.route.dialect;
        if let Some(text) = line_end_from {
            self.template(
                &self.at("dialect.lineEndFrom"),
                text,
                Language::Text,
                Scope::Event,
            );
        }
        self.count("dialect.greeting", greeting.len());
        for (index, block) in greeting.iter().enumerate() {
            self.block(&format!("greeting[{index}]"), block, Scope::Greeting);
        }
        self.problems.add_if(
            event.is_empty(),
            &self.at("dialect.event"),
            "is empty; say what a stream gets of an event",
        );
        self.block("event", event, Scope::Event);
        self.block("heartbeat.frame", &heartbeat.frame, Scope::Heartbeat);
        self.problems.add_if(
            heartbeat.frame.is_empty(),
            &self.at("dialect.heartbeat.frame"),
            "is empty; without a sign of life proxies cut quiet streams: leave the key out for a comment",
        );
        self.problems.time(
            &self.at("dialect.heartbeat.interval"),
            heartbeat.interval,
            ONE_SECOND..=MAX_INTERVAL,
        );
        self.block("gap", gap, Scope::Gap);
        self.block("expiring", expiring, Scope::Expiring);
        self.block("degraded", degraded, Scope::Degraded);
        self.block("end", end, Scope::End);
        self.block("farewell.frame", &farewell.frame, Scope::Farewell);
    }

    fn block(&mut self, name: &str, fields: &[FrameField], scope: Scope) {
        let at = self.at(&format!("dialect.{name}"));
        self.problems
            .add_if(fields.len() > MAX_FIELDS, &at, "has more than 16 fields");
        for (index, field) in fields.iter().enumerate() {
            self.field(&format!("{at}[{index}]"), field, scope);
        }
    }

    fn field(&mut self, at: &str, field: &FrameField, scope: Scope) {
        let FrameField {
            comment,
            id,
            event,
            data,
            json,
            retry,
            fill,
        } = field;
        let texts = [
            ("comment", comment),
            ("id", id),
            ("event", event),
            ("data", data),
            ("retry", retry),
        ];
        let given = texts.iter().filter(|(_, text)| text.is_some()).count();
        self.problems.add_if(
            given + usize::from(json.is_some()) != 1,
            at,
            "is one field: write exactly one of comment, id, event, data, json and retry",
        );
        for (name, text) in texts {
            if let Some(text) = text {
                self.template(&format!("{at}.{name}"), text, Language::Text, scope);
            }
        }
        if let Some(text) = json {
            self.template(&format!("{at}.json"), text, Language::Json, scope);
        }
        self.problems.add_if(
            json.is_none() && !fill.is_empty(),
            &format!("{at}.fill"),
            "has no effect without `json`; write it there, or remove it",
        );
        self.problems.add_if(
            fill.len() > MAX_FIELDS,
            &format!("{at}.fill"),
            "has more than 16 keys",
        );
        for (index, filled) in fill.iter().enumerate() {
            let at = format!("{at}.fill[{index}]");
            self.problems.name(&format!("{at}.key"), &filled.key);
            self.template(&format!("{at}.json"), &filled.json, Language::Json, scope);
        }
    }

    fn status(&mut self, known: &mut HashSet<&'c str>) {
        let Some(status) = &self.route.status else {
            return;
        };
        self.problems.add_if(
            !(1..=MAX_PATHS).contains(&status.paths.len()),
            &self.at("status.paths"),
            "write 1 to 8 paths",
        );
        for (index, text) in status.paths.iter().enumerate() {
            let at = self.at(&format!("status.paths[{index}]"));
            match RoutePath::parse(text) {
                Err(error) => self.problems.add(&at, error.to_string()),
                Ok(path) => self.problems.add_if(
                    path.parameters().next().is_some(),
                    &at,
                    "has a parameter; a status is of all streams of the route",
                ),
            }
            self.problems.add_if(
                !known.insert(text),
                &at,
                "stands for something else already; write each path once",
            );
        }
        self.problems.add_if(
            self.route.channels.iter().any(|text| text.contains('{')),
            &self.at("status"),
            "is for those who may subscribe to the route's channels, and these depend on the path; remove it",
        );
        self.template(
            &self.at("status.json"),
            &status.json,
            Language::Json,
            Scope::Status,
        );
    }

    fn refusals(&mut self) {
        self.refusals_of("refusals", &self.route.refusals);
        if let Some(status) = &self.route.status {
            self.refusals_of("status.refusals", &status.refusals);
        }
    }

    fn refusals_of(&mut self, field: &str, refusals: &[Refusal]) {
        self.count(field, refusals.len());
        for (index, refusal) in refusals.iter().enumerate() {
            let at = self.at(&format!("{field}[{index}]"));
            self.problems.add_if(
                refusal
                    .status
                    .is_some_and(|code| !(400..=599).contains(&code)),
                &format!("{at}.status"),
                "write a status from 400 to 599",
            );
            self.template(
                &format!("{at}.json"),
                &refusal.json,
                Language::Json,
                Scope::Refusal,
            );
        }
    }

    fn count(&mut self, field: &str, count: usize) {
        self.problems.add_if(
            count > MAX_ITEMS,
            &self.at(field),
            "has more than 16 entries",
        );
    }

    fn template(&mut self, at: &str, text: &str, language: Language, scope: Scope) {
        let template = match Template::parse(text, language, scope) {
            Ok(template) => template,
            Err(fault) => return self.problems.add(at, fault.to_string()),
        };
        let parameters = self.route.filters.iter().map(|filter| &*filter.parameter);
        for name in template.names() {
            if let Name::Filter(wanted) = name
                && !parameters.clone().any(|known| known == &**wanted)
            {
                self.problems.add(
                    at,
                    format!("`filter.{wanted}` is no parameter of the route's `filters`"),
                );
            }
        }
    }
}
