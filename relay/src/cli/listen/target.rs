//! Which stream `listen` asks for.

use super::Args;
use crate::{
    channel::Selector,
    cli::client::{self, Failure, percent_encode},
    event::legal_attribute_name,
};
use clap::ValueEnum;
use jiff::Timestamp;
use reqwest::Url;

/// Where a relay's streams are.
const STREAM_PATH: &str = "/v1/events";

/// How the relay shows that it lives: a comment that only the connection sees, or an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Heartbeat {
    Comment,
    Event,
}

/// One `--filter`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterArg {
    attribute: String,
    /// Joined by commas, as on the wire.
    values: String,
}

pub fn parse_filter(text: &str) -> Result<FilterArg, String> {
    match text.split_once('=') {
        Some((attribute, values)) if legal_attribute_name(attribute) => Ok(FilterArg {
            attribute: attribute.to_owned(),
            values: values.to_owned(),
        }),
        Some((attribute, _)) => Err(format!("`{attribute}` cannot name an attribute")),
        None => Err("write ATTRIBUTE=VALUE, or ATTRIBUTE=A,B for either".to_owned()),
    }
}

pub fn parse_channel(text: &str) -> Result<String, String> {
    Selector::parse(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

pub fn parse_from(text: &str) -> Result<String, String> {
    if !matches!(text, "earliest" | "latest") && text.parse::<Timestamp>().is_err() {
        return Err("write earliest, latest, or a time such as 2026-11-21T09:00:00Z".to_owned());
    }
    Ok(text.to_owned())
}

/// A relay's URL becomes that of its stream. A URL with a path is a stream's already; what else is
/// asked for is added to its query.
pub fn stream_url(args: &Args) -> Result<Url, Failure> {
    let url = args.url.as_deref().unwrap_or(client::DEFAULT_URL);
    let mut url = client::parse_url(url)?;
    if url.path() == "/" {
        let named = url.query_pairs().any(|(name, _)| name == "channel");
        if args.channels.is_empty() && !named {
            return Err(Failure::NoChannel);
        }
        url.set_path(STREAM_PATH);
    }
    let asked = parameters(args);
    if !asked.is_empty() {
        let present = url.query().filter(|query| !query.is_empty());
        let all: Vec<&str> = present.into_iter().chain([asked.as_str()]).collect();
        url.set_query(Some(&all.join("&")));
    }
    Ok(url)
}

fn parameters(args: &Args) -> String {
    let mut all = Vec::new();
    let mut add = |name: &str, value: &str| all.push(format!("{name}={}", percent_encode(value)));
    for channel in &args.channels {
        add("channel", channel);
    }
    for filter in &args.filters {
        add(&format!("filter.{}", filter.attribute), &filter.values);
    }
    if let Some(from) = &args.from {
        add("from", from);
    }
    match args.heartbeat {
        Some(Heartbeat::Comment) => add("heartbeat", "comment"),
        Some(Heartbeat::Event) => add("heartbeat", "event"),
        None => {}
    }
    if args.connected {
        add("connected", "true");
    }
    if let Some(client) = &args.client {
        add("client", client);
    }
    all.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn url(line: &[&str]) -> Result<String, Failure> {
        let line = ["listen"].iter().chain(line);
        stream_url(&Cli::try_parse_from(line).unwrap().args).map(|url| url.to_string())
    }

    #[test]
    fn a_relay_is_asked_for_channels_and_more() {
        assert_eq!(
            url(&["http://h:1", "--channel", "a b&c", "--channel", "orders.*"]).unwrap(),
            "http://h:1/v1/events?channel=a%20b%26c&channel=orders.%2A"
        );
        assert_eq!(
            url(&[
                "http://h/",
                "--channel",
                "é",
                "--filter",
                "kind=a,b=",
                "--from",
                "2026-11-21T09:00:00+01:00",
                "--heartbeat",
                "event",
                "--connected",
                "--client",
                "x y",
            ])
            .unwrap(),
            "http://h/v1/events?channel=%C3%A9&filter.kind=a%2Cb%3D&from=2026-11-21T09%3A00%3A00%2B01%3A00&heartbeat=event&connected=true&client=x%20y"
        );
    }

    #[test]
    fn a_url_with_a_path_is_a_stream_already() {
        assert_eq!(url(&["https://h/x?y=%2F"]).unwrap(), "https://h/x?y=%2F");
        assert_eq!(
            url(&["https://h/x?y=1", "--channel", "c"]).unwrap(),
            "https://h/x?y=1&channel=c"
        );
        assert_eq!(
            url(&["http://h?channel=c"]).unwrap(),
            "http://h/v1/events?channel=c"
        );
    }

    #[test]
    fn wrong_arguments_say_what_is_right() {
        assert!(matches!(url(&["http://h"]), Err(Failure::NoChannel)));
        assert!(matches!(url(&["h:80"]), Err(Failure::Url { .. })));
        for bad in [
            ["--channel", "@subject/x"],
            ["--filter", "kind"],
            ["--filter", "a b=c"],
            ["--from", "yesterday"],
            ["--count", "0"],
            ["--max-wait", "5"],
        ] {
            let line = ["listen", "http://h"].iter().chain(&bad);
            assert!(Cli::try_parse_from(line).is_err(), "{bad:?}");
        }
    }
}
