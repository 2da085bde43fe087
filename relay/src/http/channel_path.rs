//! The channel or the subject that a path names, legal or refused.

use super::problem::{Kind, Problem};
use crate::{channel::ChannelName, subject::Subject};
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use percent_encoding::percent_decode_str;

pub struct ChannelPath(pub ChannelName);

impl ChannelPath {
    /// Of a path's segment as it stands in a request.
    pub fn decode(segment: &str) -> Result<ChannelPath, Problem> {
        let decoded = percent_decode_str(segment).decode_utf8();
        ChannelPath::parse(&decoded.map_err(|_| not_text())?)
    }

    fn parse(text: &str) -> Result<ChannelPath, Problem> {
        let name = ChannelName::parse(text);
        let name = name.map_err(|error| Problem::new(Kind::InvalidChannel, error.to_string()))?;
        Ok(ChannelPath(name))
    }
}

/// The subject that a path names.
pub struct SubjectPath(pub Subject);

impl<S: Send + Sync> FromRequestParts<S> for SubjectPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<SubjectPath, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| not_text())?;
        let subject = Subject::parse(&text);
        let subject =
            subject.map_err(|error| Problem::new(Kind::InvalidChannel, error.to_string()))?;
        Ok(SubjectPath(subject))
    }
}

fn not_text() -> Problem {
    Problem::new(
        Kind::InvalidChannel,
        "the name is not UTF-8 after percent-decoding; encode it as UTF-8",
    )
}

impl<S: Send + Sync> FromRequestParts<S> for ChannelPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ChannelPath, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| not_text())?;
        ChannelPath::parse(&text)
    }
}
