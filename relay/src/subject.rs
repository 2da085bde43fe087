//! Whom a credential stands for.

use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, sync::Arc};

/// Longest subject, in bytes of UTF-8: with what marks it, it must fit into a channel's name.
pub const MAX_SUBJECT: usize = 190;

/// A user or a service: 1 to 190 bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(Arc<str>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubjectError {
    #[error("a subject cannot be empty")]
    Empty,
    #[error("a subject has at most {MAX_SUBJECT} bytes of UTF-8; this one has {0}")]
    TooLong(usize),
    #[error("a subject cannot contain control characters such as line ends or NUL")]
    Control,
}

impl Subject {
    pub fn parse(text: &str) -> Result<Subject, SubjectError> {
        match text {
            "" => Err(SubjectError::Empty),
            _ if text.len() > MAX_SUBJECT => Err(SubjectError::TooLong(text.len())),
            _ if text.chars().any(char::is_control) => Err(SubjectError::Control),
            _ => Ok(Subject(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Subject, SubjectError> {
        Subject::parse(&text)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.as_str().to_owned()
    }
}

impl Borrow<str> for Subject {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_text_that_fits_into_a_channels_name() {
        for legal in ["ann", "auth0|5f", "*", "ann@example.com", &"n".repeat(190)] {
            assert_eq!(Subject::parse(legal).map(String::from), Ok(legal.into()));
        }
        assert_eq!(Subject::parse(""), Err(SubjectError::Empty));
        assert_eq!(Subject::parse("a\nb"), Err(SubjectError::Control));
        let long = "é".repeat(96);
        assert_eq!(Subject::parse(&long), Err(SubjectError::TooLong(192)));
        assert!(serde_json::from_str::<Subject>(r#""a\u0000""#).is_err());
    }
}
