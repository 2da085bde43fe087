//! An event whose data is the body, and whose other fields are headers: `Sse-Event`,
//! `Sse-Attribute: name=value` (any number), `Sse-Retry`, `Sse-Time`, `Sse-End: true`.

use super::{
    body, ending,
    envelope::{illegal, parse_time},
    names,
};
use crate::{
    event::{Attributes, Data, Event, EventType},
    http::problem::{Kind, Problem},
};
use http::{HeaderMap, HeaderName, HeaderValue};

pub fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Event, Problem> {
    let text_of = |name: &HeaderName| {
        let value = headers.get(name);
        value.map(|value| text(name.as_str(), value)).transpose()
    };
    let attributes = headers
        .get_all(&names::SSE_ATTRIBUTE)
        .iter()
        .map(attribute)
        .collect::<Result<Vec<_>, _>>()?;
    let end = match text_of(&names::SSE_END)? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad("Sse-End is true or false")),
    };
    let data = Data::text(body::text(body)?);
    Ok(Event {
        kind: EventType::parse(text_of(&names::SSE_EVENT)?.unwrap_or("")).map_err(illegal)?,
        data: (!end || !body.is_empty()).then_some(data),
        attributes: Attributes::new(attributes).map_err(illegal)?,
        retry: text_of(&names::SSE_RETRY)?.map(milliseconds).transpose()?,
        time: text_of(&names::SSE_TIME)?.map(parse_time).transpose()?,
        ending: ending(end),
    })
}

/// Digits only, as SSE's own `retry` field has them.
fn milliseconds(text: &str) -> Result<u32, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| bad("Sse-Retry is a whole number of milliseconds, at most 4294967295"))
}

fn attribute(value: &HeaderValue) -> Result<(String, String), Problem> {
    let pair = text("Sse-Attribute", value)?.split_once('=');
    let (name, value) =
        pair.ok_or_else(|| bad("Sse-Attribute is name=value; repeat the header for more"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A header's value as UTF-8.
pub fn text<'a>(name: &str, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| bad(&format!("header {name} is not UTF-8")))
}

fn bad(detail: &str) -> Problem {
    Problem::new(Kind::InvalidHeader, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_body_is_the_data_and_headers_are_the_rest() {
        let none = headers(&[]);
        assert_eq!(parse(&none, b"a\r\nb").unwrap(), Event::text("a\nb"));
        let mut all = headers(&[
            ("sse-event", "tick"),
            ("sse-retry", "9"),
            ("sse-attribute", "kind=x=y"),
            ("sse-end", "true"),
        ]);
        all.append("sse-attribute", HeaderValue::from_static("Site = s"));
        let event = parse(&all, b"").unwrap();
        assert_eq!(
            (event.kind.as_str(), event.retry, event.data),
            ("tick", Some(9), None)
        );
        assert_eq!(
            (event.attributes.get("kind"), event.attributes.get("Site")),
            (Some("x=y"), Some("s"))
        );
    }

    #[test]
    fn wrong_headers_are_refused() {
        for pair in [
            ("sse-retry", "soon"),
            ("sse-retry", "+5"),
            ("sse-retry", "4294967296"),
            ("sse-attribute", "kind"),
            ("sse-end", "maybe"),
            ("sse-event", "end"),
        ] {
            assert!(parse(&headers(&[pair]), b"x").is_err(), "{pair:?}");
        }
        assert_eq!(
            parse(&headers(&[]), b"\xff").unwrap_err().kind,
            Kind::InvalidEncoding
        );
    }
}
