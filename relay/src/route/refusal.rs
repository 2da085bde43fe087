//! Answers of a route to those who get no stream, as the system had them whose path it is.

use super::RouteError;
use crate::{
    dialect::{self, facts::RefusalFacts},
    label::Label,
    stats::AuthRefusal,
};
use relay_config::{JsonStyle, Language, Refusal, RefusedFor, Scope, Template};

/// The answers of a route, in their order.
#[derive(Debug, Default)]
pub struct Refusals(Vec<Answer>);

#[derive(Debug)]
struct Answer {
    problem: RefusedFor,
    reason: Option<String>,
    status: Option<u16>,
    json: Template,
}

impl Refusals {
    pub(super) fn new(refusals: &[Refusal]) -> Result<Refusals, RouteError> {
        let answers = refusals.iter().map(|refusal| {
            let reason = refusal.reason.clone();
            if let Some(reason) = &reason
                && !AuthRefusal::ALL
                    .iter()
                    .any(|known| known.as_str() == reason)
            {
                return Err(RouteError::Reason(reason.clone()));
            }
            Ok(Answer {
                problem: refusal.problem,
                reason,
                status: refusal.status,
                json: Template::parse(&refusal.json, Language::Json, Scope::Refusal)?,
            })
        });
        Ok(Refusals(answers.collect::<Result<_, _>>()?))
    }

    /// The status and the JSON of the first answer that fits; `None` where the relay's own is right.
    pub fn answer(&self, problem: RefusedFor, facts: &RefusalFacts<'_>) -> Option<(u16, String)> {
        let answer = self.0.iter().find(|answer| {
            let reason = answer.reason.as_deref();
            [RefusedFor::Any, problem].contains(&answer.problem)
                && reason.is_none_or(|reason| reason == facts.reason)
        })?;
        let status = answer.status.unwrap_or(facts.status);
        let facts = RefusalFacts { status, ..*facts };
        let json = dialect::json_text(&answer.json, JsonStyle::Compact, &facts)?;
        Some((status, json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_that_fits_counts() {
        let refusal = |problem, reason: Option<&str>, status, json: &str| Refusal {
            problem,
            reason: reason.map(Into::into),
            status,
            json: json.into(),
        };
        let refusals = Refusals::new(&[
            refusal(
                RefusedFor::Unauthenticated,
                Some("missing"),
                None,
                r#"{"d": "none, ${status}"}"#,
            ),
            refusal(
                RefusedFor::Unauthenticated,
                None,
                Some(403),
                r#"{"d": ${detail}}"#,
            ),
            refusal(RefusedFor::Any, None, None, r#"{"r": ${reason}}"#),
        ])
        .unwrap();
        let answer = |problem, reason| {
            let facts = RefusalFacts {
                detail: "say \"so\"",
                reason,
                status: 401,
            };
            refusals.answer(problem, &facts).unwrap()
        };
        assert_eq!(
            answer(RefusedFor::Unauthenticated, "missing"),
            (401, r#"{"d": "none, 401"}"#.into())
        );
        assert_eq!(
            answer(RefusedFor::Unauthenticated, "expired"),
            (403, r#"{"d": "say \"so\""}"#.into())
        );
        assert_eq!(
            answer(RefusedFor::Overloaded, "x"),
            (401, r#"{"r": "x"}"#.into())
        );
        let unknown = refusal(RefusedFor::Any, Some("nope"), None, "{}");
        assert!(matches!(
            Refusals::new(&[unknown]),
            Err(RouteError::Reason(_))
        ));
    }
}
