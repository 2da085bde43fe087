//! Paths with parameters.

/// A path of a route: segments, of which some end with a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePath {
    segments: Box<[Segment]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    /// What it begins with, or is.
    literal: Box<str>,
    /// What the rest is called.
    parameter: Option<Box<str>>,
}

/// Why a text is no path of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoutePathError {
    /// It is none, or too long a one.
    #[error(
        "is no path; write 1 to 200 bytes that begin with `/`, without `?`, `#` and control characters"
    )]
    NotAPath,
    /// A parameter is not at the end of its segment, or has no name.
    #[error(
        "has a brace that is no parameter; write `{{name}}` (a-z, 0-9 and _) at the end of a segment, each name once"
    )]
    Parameter,
    /// The relay has something else there.
    #[error("is the relay's own; choose a path outside of `/v1/`, and neither `/` nor `/health`")]
    Own,
}

/// The longest path, in bytes.
const MAX_BYTES: usize = 200;

impl RoutePath {
    /// The path that `text` spells.
    pub fn parse(text: &str) -> Result<Self, RoutePathError> {
        let legal = (1..=MAX_BYTES).contains(&text.len())
            && !text.contains(|c: char| c.is_control() || "?#%".contains(c));
        let rest = text.strip_prefix('/').filter(|_| legal);
        let rest = rest.ok_or(RoutePathError::NotAPath)?;
        if rest.is_empty() || rest == "health" || rest == "v1" || rest.starts_with("v1/") {
            return Err(RoutePathError::Own);
        }
        let segments: Option<Box<[Segment]>> = rest.split('/').map(Segment::parse).collect();
        let path = Self {
            segments: segments.ok_or(RoutePathError::Parameter)?,
        };
        let mut names: Vec<&str> = path.parameters().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() < count {
            return Err(RoutePathError::Parameter);
        }
        Ok(path)
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let segments = self.segments.iter();
        segments.filter_map(|segment| segment.parameter.as_deref())
    }

    /// Its parameters in the path with these segments, percent-decoded; `None` if it is another path.
    #[must_use]
    pub fn matches<'v, S: AsRef<str>>(&self, segments: &'v [S]) -> Option<Vec<(&str, &'v str)>> {
        if segments.len() != self.segments.len() {
            return None;
        }
        let mut values = Vec::new();
        for (segment, text) in self.segments.iter().zip(segments) {
            let rest = text.as_ref().strip_prefix(&*segment.literal)?;
            match &segment.parameter {
                Some(name) if !rest.is_empty() => values.push((&**name, rest)),
                None if rest.is_empty() => {}
                _ => return None,
            }
        }
        Some(values)
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Segment> {
        let Some((literal, rest)) = text.split_once('{') else {
            return (!text.contains('}')).then(|| Segment {
                literal: text.into(),
                parameter: None,
            });
        };
        let name = rest.strip_suffix('}')?;
        let legal = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        (legal && !literal.contains('}')).then(|| Segment {
            literal: literal.into(),
            parameter: Some(name.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches<'v>(path: &str, segments: &'v [&str]) -> Option<Vec<(String, &'v str)>> {
        let path = RoutePath::parse(path).unwrap();
        let found = path.matches(segments)?;
        Some(
            found
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    #[test]
    fn parameters_are_the_rest_of_their_segments() {
        let is = |value| Some(vec![("channel".to_owned(), value)]);
        assert_eq!(matches("/{channel}", &["a b"]), is("a b"));
        assert_eq!(matches("/channel={channel}", &["channel=x"]), is("x"));
        assert_eq!(matches("/channel={channel}", &["channel="]), None);
        assert_eq!(matches("/{channel}", &["a", "b"]), None);
        assert_eq!(matches("/{channel}", &[""]), None);
        assert_eq!(matches("/a/b/", &["a", "b", ""]), Some(vec![]));
        assert_eq!(matches("/a/b", &["a", "b", ""]), None);
        assert_eq!(matches("/a", &["ab"]), None);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (text, error) in [
            ("", RoutePathError::NotAPath),
            ("a", RoutePathError::NotAPath),
            ("/a?b", RoutePathError::NotAPath),
            ("/a\n", RoutePathError::NotAPath),
            ("/", RoutePathError::Own),
            ("/health", RoutePathError::Own),
            ("/v1/events", RoutePathError::Own),
            ("/{a}b", RoutePathError::Parameter),
            ("/{A}", RoutePathError::Parameter),
            ("/{}", RoutePathError::Parameter),
            ("/a}", RoutePathError::Parameter),
            ("/{a}/{a}", RoutePathError::Parameter),
        ] {
            assert_eq!(RoutePath::parse(text), Err(error), "{text}");
        }
    }
}
