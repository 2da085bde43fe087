//! What a replica finds at its Redis, as its admin port tells it.

use serde::Deserialize;

use super::reading::Unclear;

/// What a replica finds at its Redis; nothing before it has looked, or if all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Found>);

/// Something to change at Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How bad it is.
    pub severity: Severity,
    /// Why, in one word of the relay's.
    pub reason: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Events may be lost when something fails.
    Warning,
    /// The log does not work.
    Error,
}

/// Findings of one replica that are looked at.
const MOST: usize = 16;
/// Characters of a message that are kept.
const LONGEST: usize = 500;

#[derive(Deserialize)]
struct Answer {
    redis: Option<Checked>,
}

#[derive(Deserialize)]
struct Checked {
    findings: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    severity: Severity,
    reason: String,
    message: String,
}

impl Findings {
    /// Reads the answer of `/checks`.
    pub fn of(json: &[u8]) -> Result<Self, Unclear> {
        let answer: Answer = serde_json::from_slice(json).map_err(|_| Unclear::Foreign)?;
        let told = answer.redis.map_or_else(Vec::new, |redis| redis.findings);
        let found = told.into_iter().take(MOST).map(|told| Found {
            severity: told.severity,
            reason: told.reason,
            message: line(&told.message),
        });
        Ok(Self(found.collect()))
    }
}

fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_read_and_what_else_is_told_is_not() {
        let json = br#"{"replica":"a","hearing":"shared","lagSeconds":0.1,"redis":{"checkedAt":"x","findings":[
            {"severity":"warning","reason":"eviction","message":"may\n evict"}]}}"#;
        let found = Found {
            severity: Severity::Warning,
            reason: "eviction".into(),
            message: "may evict".into(),
        };
        assert_eq!(Findings::of(json), Ok(Findings(vec![found])));
        let none = br#"{"replica":"a","redis":null}"#;
        assert_eq!(Findings::of(none), Ok(Findings::default()));
        for foreign in [&b""[..], b"[]x", b"{\"redis\":{}}", b"ready\n"] {
            assert_eq!(Findings::of(foreign), Err(Unclear::Foreign));
        }
    }

    #[test]
    fn no_more_is_kept_than_can_be_shown() {
        let told = r#"{"severity":"error","reason":"x","message":"é"}"#;
        let told = told.replace('é', &"é".repeat(2_000));
        let json = format!(
            "{{\"redis\":{{\"findings\":[{}]}}}}",
            [told.as_str(); 50].join(",")
        );
        let found = Findings::of(json.as_bytes()).unwrap().0;
        assert_eq!(found.len(), MOST);
        assert_eq!(found[0].message.chars().count(), LONGEST);
    }
}
