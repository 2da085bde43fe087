//! Channels that a source listens to as long as streams want them.

use crate::pattern::ChannelPattern;
use crate::validate::Problem;

/// The most patterns of a source.
const MAX_PATTERNS: usize = 1_000;

/// What is wrong with such patterns, which stand at `path`.
pub(super) fn problems(path: &str, patterns: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |path: String, message: String| problems.push(Problem { path, message });
    if patterns.len() > MAX_PATTERNS {
        let message = "has more than 1000 entries; use patterns that mean more";
        wrong(path.to_owned(), message.to_owned());
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if patterns[..index].contains(pattern) {
            wrong(path, "is there twice; name each once".to_owned());
        } else if let Err(error) = pattern.parse::<ChannelPattern>() {
            wrong(path, error.to_string());
        }
    }
    problems
}
