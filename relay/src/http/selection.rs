//! Which streams a request means: the parameters that select streams.

use super::{
    problem::{Kind, Problem},
    query,
};
use crate::{channel::ChannelName, hub::select::StreamSelector, subject::Subject};

/// The parameters that select streams; all that are given must apply.
pub const PARAMETERS: [&str; 5] = ["subject", "client", "token", "channel", "address"];

/// Of parameters that are known already; others are left alone. Each may be there once: who names two
/// subjects would be answered for one of them.
pub fn of(parameters: &[(String, String)]) -> Result<StreamSelector, Problem> {
    let mut streams = StreamSelector::default();
    for (index, (name, value)) in parameters.iter().enumerate() {
        if parameters[..index]
            .iter()
            .any(|(earlier, _)| earlier == name)
        {
            return Err(bad(format!(
                "`{name}` is given twice; give each parameter once"
            )));
        }
        match name.as_str() {
            "subject" => {
                let subject = Subject::parse(value).map_err(|error| bad(error.to_string()))?;
                streams.subject = Some(subject);
            }
            "client" => streams.client = Some(value.clone()),
            "token" => streams.token = Some(value.clone()),
            "channel" => {
                let channel = ChannelName::parse(value)
                    .map_err(|error| Problem::new(Kind::InvalidChannel, error.to_string()))?;
                streams.channel = Some(channel);
            }
            "address" => {
                let address = value.parse().map_err(|_| {
                    bad("`address` is an IP address without a port, such as 192.0.2.7 or 2001:db8::7".to_owned())
                })?;
                streams.address = Some(address);
            }
            _ => {}
        }
    }
    Ok(streams)
}

/// The same of a path that has no others; at least one.
pub fn required(query: Option<&str>) -> Result<StreamSelector, Problem> {
    let streams = of(&query::only(query, &PARAMETERS)?)?;
    if streams.is_everything() {
        return Err(bad(format!(
            "say which streams, with at least one of {}",
            PARAMETERS.join(", ")
        )));
    }
    Ok(streams)
}

fn bad(detail: String) -> Problem {
    Problem::new(Kind::InvalidQuery, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_selects_is_understood_and_nothing_selects_nothing() {
        let all = "subject=ann&client=web&token=page&channel=orders.eu&address=10.0.0.1&_=1";
        let streams = required(Some(all)).unwrap();
        assert_eq!(
            serde_json::to_value(&streams).unwrap(),
            serde_json::json!({"subject": "ann", "client": "web", "token": "page",
                "channel": "orders.eu", "address": "10.0.0.1"})
        );
        for (query, says) in [
            (None, "say which streams"),
            (Some("_=1"), "say which streams"),
            (Some("subject=a&subject=b"), "given twice"),
            (Some("subject="), "cannot be empty"),
            (Some("address=10.0.0.1:80"), "without a port"),
            (Some("channel=a*"), "cannot be part"),
            (Some("user=a"), "known are"),
        ] {
            let detail = required(query).unwrap_err().detail;
            assert!(detail.contains(says), "{query:?}: {detail}");
        }
    }
}
