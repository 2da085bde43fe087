//! One event as the relay takes it.

use super::Args;
use crate::cli::client::Failure;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<bool>,
}

/// Text goes out as a JSON string, and with `--json` as the JSON that it is, digits and order kept.
pub fn of(args: &Args, data: Option<&str>) -> Result<Bytes, Failure> {
    let data = match data {
        Some(text) if args.json => {
            Some(serde_json::from_str::<Box<RawValue>>(text).map_err(Failure::NotJson)?)
        }
        Some(text) => Some(to_raw_value(text).expect("a text is JSON")),
        None => None,
    };
    let attributes = args.attributes.iter();
    let envelope = Envelope {
        event: args.kind.as_deref(),
        data,
        attributes: attributes
            .map(|(name, value)| (&**name, &**value))
            .collect(),
        retry: args.retry,
        end: args.end.then_some(true),
    };
    let body = serde_json::to_vec(&envelope).expect("a plain struct with string keys is JSON");
    Ok(body.into())
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

    fn envelope(line: &[&str], data: Option<&str>) -> Result<String, Failure> {
        let line = ["publish", "c"].iter().chain(line);
        let body = of(&Cli::try_parse_from(line).unwrap().args, data)?;
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn an_event_has_what_was_given_and_no_more() {
        assert_eq!(
            envelope(&[], Some("a\n\"b\"")).unwrap(),
            r#"{"data":"a\n\"b\""}"#
        );
        assert_eq!(envelope(&["--end"], None).unwrap(), r#"{"end":true}"#);
        assert_eq!(
            envelope(
                &[
                    "--type",
                    "t",
                    "--attribute",
                    "b=2=3",
                    "--attribute",
                    "a=",
                    "--retry",
                    "9",
                    "--end",
                    "--json",
                ],
                Some(r#" {"z": 1.0, "a": 12345678901234567890}"#)
            )
            .unwrap(),
            r#"{"event":"t","data":{"z": 1.0, "a": 12345678901234567890},"attributes":{"a":"","b":"2=3"},"retry":9,"end":true}"#
        );
    }

    #[test]
    fn data_that_should_be_json_and_are_not_are_wrong_usage() {
        let failure = envelope(&["--json"], Some("{no")).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("without --json"), "{failure}");
    }
}
