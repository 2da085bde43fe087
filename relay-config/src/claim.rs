//! Where a claim stands in a token, and patterns that claims fill in.

use std::fmt;

use crate::pattern::{ChannelPattern, PatternError};

/// Where a claim stands: names with dots between levels (`realm_access.roles`), or, if it begins
/// with `/`, a JSON Pointer (RFC 6901) for names that have dots themselves
/// (`/kubernetes.io/namespace`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimPath {
    text: Box<str>,
    names: Box<[Box<str>]>,
}

/// Why a text names no claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no claim; write names with dots between levels, such as `realm_access.roles`, or a JSON Pointer \
     such as `/kubernetes.io/namespace`"
)]
pub struct ClaimPathError(String);

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 200;

impl ClaimPath {
    /// The path that `text` spells.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        let names: Vec<Box<str>> = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(|name| name.replace("~1", "/").replace("~0", "~").into())
                .collect(),
            None => text.split('.').map(Into::into).collect(),
        };
        let legal = text.len() <= MAX_PATH_BYTES
            && !text.chars().any(|c| c.is_control() || c == '{' || c == '}')
            && names.iter().all(|name| !name.is_empty());
        if !legal {
            return Err(ClaimPathError(text.chars().take(60).collect()));
        }
        Ok(Self {
            text: text.into(),
            names: names.into(),
        })
    }

    /// The names from the token's top level down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A channel pattern with `{claim}` where a claim's value goes: `users.{sub}.**`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Claim(ClaimPath),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` and `}` do not pair.
    #[error(
        "`{0}` has a brace without its other one; write `{{claim}}` where a claim's value goes"
    )]
    Braces(String),
    /// What stands in braces.
    #[error(transparent)]
    Claim(#[from] ClaimPathError),
    /// What comes out is no pattern, whatever the claims are.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl PatternTemplate {
    /// The template that `text` spells.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (claim, after) = after
                .split_once('}')
                .ok_or_else(|| TemplateError::Braces(text.to_owned()))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::Claim(ClaimPath::parse(claim)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        let template = Self { parts };
        let stray = template
            .parts
            .iter()
            .any(|part| matches!(part, Part::Text(text) if text.contains('}')));
        if stray {
            return Err(TemplateError::Braces(text.to_owned()));
        }
        // one letter is a value that every claim could have
        ChannelPattern::parse(&template.fill(|_| Some("x")).unwrap_or_default())?;
        Ok(template)
    }

    /// The text with each claim replaced by its value; `None` if one has none.
    pub fn fill<T: AsRef<str>>(
        &self,
        mut value: impl FnMut(&ClaimPath) -> Option<T>,
    ) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Claim(path) => text.push_str(value(path)?.as_ref()),
            }
        }
        Some(text)
    }

    /// The claims that it takes.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        self.parts.iter().filter_map(|part| match part {
            Part::Claim(path) => Some(path),
            Part::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let path = ClaimPath::parse(text).unwrap();
        path.names().map(str::to_owned).collect()
    }

    #[test]
    fn a_claim_is_named_by_dots_or_by_a_pointer() {
        assert_eq!(names("sub"), ["sub"]);
        assert_eq!(names("realm_access.roles"), ["realm_access", "roles"]);
        assert_eq!(
            names("/kubernetes.io/namespace"),
            ["kubernetes.io", "namespace"]
        );
        assert_eq!(
            names("/https:~1~1a.example~1team"),
            ["https://a.example/team"]
        );
        for wrong in ["", "a..b", "/", "a.", "a\nb", "{a}"] {
            assert!(ClaimPath::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_template_takes_the_values_of_claims() {
        let template = PatternTemplate::parse("users.{sub}.{/a.b/c}.**").unwrap();
        let filled = template.fill(|path| Some(format!("<{path}>")));
        assert_eq!(filled.as_deref(), Some("users.<sub>.</a.b/c>.**"));
        assert_eq!(template.claims().count(), 2);
        assert_eq!(template.fill(|_| None::<&str>), None);
        assert!(
            PatternTemplate::parse("orders.*").is_ok(),
            "no claim at all"
        );
    }

    #[test]
    fn an_illegal_template_says_what_to_change() {
        for (text, says) in [
            ("users.{sub", "brace"),
            ("users.sub}", "brace"),
            ("users.{}", "names no claim"),
            ("users.{sub}*", "star"),
            ("**.{sub}", "last segment"),
            ("", "empty"),
        ] {
            let error = PatternTemplate::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
