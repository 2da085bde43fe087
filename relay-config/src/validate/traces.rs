//! What must hold of `traces`.

use super::{Problems, jwt};
use crate::traces::Traces;
use crate::web_address::{self, Way};

pub(super) fn check(problems: &mut Problems, traces: &Traces) {
    if let Some(endpoint) = &traces.endpoint
        && let Err(error) = web_address::check(endpoint, Way::Any)
    {
        problems.add("traces.endpoint", error.to_string());
    }
    jwt::check_file(
        problems,
        "traces.headersFile",
        traces.headers_file.as_deref(),
    );
    jwt::check_file(problems, "traces.caFile", traces.ca_file.as_deref());
    problems.add_if(
        traces
            .sample_ratio
            .is_some_and(|ratio| !(0.0..=1.0).contains(&ratio)),
        "traces.sampleRatio",
        "is no fraction; write a number from 0 to 1, such as 0.01",
    );
    problems.size("traces.maxQueue", traces.max_queue);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Config;

    fn problems(traces: &str) -> String {
        let yaml = format!("traces: {traces}");
        match Config::from_sources(Some(("relay.yaml", &yaml)), &BTreeMap::new()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn spans_need_an_address_and_a_fraction_that_are_ones() {
        assert_eq!(problems("{}"), "");
        assert_eq!(
            problems("{endpoint: 'http://collector:4318/v1/traces', sampleRatio: 0.5}"),
            ""
        );
        for (traces, says) in [
            ("{endpoint: 'collector'}", "https://HOST"),
            ("{endpoint: 'http://a:b@collector'}", "password"),
            ("{sampleRatio: 2}", "from 0 to 1"),
            ("{maxQueue: 0}", "at least 1"),
            ("{headersFile: ''}", "headersFile"),
        ] {
            let found = problems(traces);
            assert!(found.contains(says), "{traces}: {found}");
        }
    }
}
