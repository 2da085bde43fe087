//! Small requests in JSON, read within their bound.

use super::{
    App,
    problem::{Kind, Problem},
    publish::body,
};
use axum::extract::Request;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

/// Bytes of such a request, at most.
const MAX_BYTES: usize = 64 * 1024;

/// The object that a request carries. What is decided about the request before goes first, but the
/// body is read all the same, or the answer would not arrive.
pub async fn read<T, D>(
    app: &App,
    request: Request,
    decided: Result<D, Problem>,
    expected: &str,
) -> Result<(D, T), Problem>
where
    T: DeserializeOwned,
{
    let (parts, content) = request.into_parts();
    let bounds = body::Bounds {
        bytes: MAX_BYTES.min(app.config().http.max_body_bytes.as_usize()),
        silence: app.config().http.idle_timeout.std(),
        time: app.config().http.body_timeout.std(),
    };
    let bytes = body::read(content, &parts.headers, bounds).await;
    let (decided, bytes) = (decided?, bytes?);
    says_json(&parts.headers)?;
    Ok((decided, parse(&bytes, expected)?))
}

/// A form of a page of another site can send text that looks like JSON, but not say that it is.
fn says_json(headers: &HeaderMap) -> Result<(), Problem> {
    let said = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    said.then_some(()).ok_or_else(|| {
        Problem::new(
            Kind::UnsupportedMediaType,
            "send JSON, with `Content-Type: application/json`",
        )
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8], expected: &str) -> Result<T, Problem> {
    let text = body::text(bytes)?;
    if !text.trim_start().starts_with('{') {
        // serde would take an array for the fields in their order
        return Err(invalid(format!("expected an object such as {expected}")));
    }
    serde_json::from_str(text)
        .map_err(|error| invalid(format!("{error}; expected an object such as {expected}")))
}

/// A body that is not what it should be.
pub fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidJson, detail)
}
