//! What must hold of `sources`.

use std::collections::HashSet;

use super::Problems;
use crate::sources::{Expect, Mapping, Source};
use crate::template::{Language, Scope, Template};

/// The most sources of a relay.
const MAX_SOURCES: usize = 64;
/// The longest name, as of a DNS label.
const MAX_NAME: usize = 63;
/// The most attributes of a mapping, and the most keys that a message may have.
const MAX_ITEMS: usize = 64;

pub(super) fn check(problems: &mut Problems, sources: &[Source]) {
    problems.add_if(
        sources.len() > MAX_SOURCES,
        "sources",
        "has more than 64 entries; let several channels, streams or queues share one",
    );
    let mut names = HashSet::new();
    for (index, source) in sources.iter().enumerate() {
        let path = format!("sources[{index}]");
        problems.add_if(
            !is_name(&source.name),
            &format!("{path}.name"),
            "write 1 to 63 lower-case letters, digits and `-`, which neither begin nor end with `-`",
        );
        problems.add_if(
            !names.insert(&source.name),
            &format!("{path}.name"),
            "is the name of another source already; give each one of its own",
        );
        let kinds: Vec<_> = source.kinds().collect();
        match kinds[..] {
            [kind] => problems.0.extend(kind.problems(&path)),
            [] => problems.add(&*path, "has no kind; set one, as in `redisStream: {…}`"),
            _ => {
                let names: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
                let text = format!(
                    "has several kinds ({}); make a source of each",
                    names.join(", ")
                );
                problems.add(&*path, text);
            }
        }
        check_mapping(problems, &format!("{path}.mapping"), &source.mapping);
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn check_mapping(problems: &mut Problems, path: &str, mapping: &Mapping) {
    let mut template = |field: &str, text: &str| {
        if let Err(fault) = Template::parse(text, Language::Text, Scope::Message) {
            problems.add(format!("{path}.{field}"), fault.to_string());
        }
    };
    template("channel", &mapping.channel);
    template("type", &mapping.r#type);
    template("idempotencyKey", &mapping.idempotency_key);
    template("data", &mapping.data);
    for (name, text) in &mapping.attributes {
        template(&format!("attributes.{name}"), text);
    }
    for name in mapping.attributes.keys() {
        let legal = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        problems.add_if(
            !legal,
            &format!("{path}.attributes.{name}"),
            "is no name of an attribute; write 1 to 64 characters of A-Z a-z 0-9 _ . -",
        );
    }
    let size = mapping.attributes.len().max(mapping.keys.len());
    problems.add_if(
        size > MAX_ITEMS,
        path,
        "has more than 64 attributes or keys; write fewer",
    );
    problems.add_if(
        !mapping.keys.is_empty() && mapping.expect != Expect::Object,
        &format!("{path}.keys"),
        "are those of an object; set `expect: object` too",
    );
}
