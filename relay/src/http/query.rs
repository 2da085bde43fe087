//! Query strings, decoded strictly: what is not UTF-8 is refused, not replaced.

use super::problem::{Kind, Problem};
use percent_encoding::percent_decode_str;

/// Names and values of a query (`application/x-www-form-urlencoded`), in their order.
pub fn parse(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// Those of a path that has only the parameters `known`; scripts may add some with `_` against caches.
pub fn only(query: Option<&str>, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs = parse(query.unwrap_or_default())?;
    pairs.retain(|(name, _)| !name.starts_with('_'));
    match pairs
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()))
    {
        Some((name, _)) => Err(unknown(name, known)),
        None => Ok(pairs),
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| {
        Problem::new(
            Kind::InvalidQuery,
            "the query is not UTF-8 after percent-decoding; encode it as UTF-8",
        )
    })
}

/// For a parameter that the path does not have: which one was perhaps meant.
pub fn unknown(name: &str, known: &[&str]) -> Problem {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let hint = match nearest {
        None => "this path has none".to_owned(),
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.8 => {
            format!("did you mean `{nearest}`?")
        }
        _ => format!("known are {}", known.join(", ")),
    };
    Problem::new(
        Kind::InvalidQuery,
        format!("parameter `{}` is not known; {hint}", printable(name)),
    )
}

/// Foreign text for an error message: short, and without control characters.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let pairs = parse("channel=a+b&channel=%C3%A9&flag&x=1=2&&").unwrap();
        let expected = [
            ("channel", "a b"),
            ("channel", "é"),
            ("flag", ""),
            ("x", "1=2"),
        ];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(parse("channel=%FF").is_err());
    }

    #[test]
    fn a_typo_is_answered_with_the_right_name() {
        assert!(
            unknown("chanel", &["channel", "from"])
                .detail
                .contains("did you mean `channel`")
        );
        assert!(
            unknown("zzz", &["channel", "from"])
                .detail
                .contains("known are channel, from")
        );
    }
}
