//! Lists are answered in pages.

use super::{
    problem::{Kind, Problem},
    query,
};

/// Rows of a page, unless the request says otherwise, and at most.
const DEFAULT: usize = 100;
pub const MAX: usize = 1000;

/// Parses `limit=`.
pub fn limit(value: &str) -> Result<usize, Problem> {
    match value.parse() {
        Ok(limit) if (1..=MAX).contains(&limit) => Ok(limit),
        _ => Err(Problem::new(
            Kind::InvalidQuery,
            format!("`limit` is 1 to {MAX}"),
        )),
    }
}

/// The parameters of a list: `limit`, and the others by name; unknown ones are refused.
pub struct Parameters {
    pub limit: usize,
    values: Vec<(String, String)>,
}

impl Parameters {
    pub fn parse(text: Option<&str>, known: &[&str]) -> Result<Parameters, Problem> {
        let mut parameters = Parameters {
            limit: DEFAULT,
            values: query::only(text, &[known, &["limit"]].concat())?,
        };
        if let Some(value) = parameters.get("limit") {
            parameters.limit = limit(value)?;
        }
        Ok(parameters)
    }

    pub fn all(&self) -> &[(String, String)] {
        &self.values
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}
