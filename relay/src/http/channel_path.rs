//! The channel that a path names, legal or refused.

use super::problem::{Kind, Problem};
use crate::channel::ChannelName;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

pub struct ChannelPath(pub ChannelName);

impl<S: Send + Sync> FromRequestParts<S> for ChannelPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ChannelPath, Problem> {
        let refused = |detail: String| Problem::new(Kind::InvalidChannel, detail);
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| {
                refused("the name is not UTF-8 after percent-decoding; encode it as UTF-8".into())
            })?;
        let name = ChannelName::parse(&text).map_err(|error| refused(error.to_string()))?;
        Ok(ChannelPath(name))
    }
}
