//! `/v1/revocations`: credentials that are refused before they end.

use super::{
    App,
    forwarded::Client,
    identity, json_body,
    paging::Parameters,
    problem::{Kind, Problem},
    query,
    time::{self, format_millis},
};
use crate::{
    audit::{Action, Entry},
    auth::jwt::MAX_ID,
    clock::unix_millis,
    control::{
        Command, ControlError, Spread,
        revocation::{Revocation, RevocationId, Revoked},
    },
    cursor::UnixMillis,
    grant::Right,
    subject::Subject,
    who::Who,
};
use axum::{
    Extension, Json,
    extract::{Path, RawQuery, Request, State},
};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const EXPECTED: &str = r#"{"subject": "NAME"} or {"token": "NAME"} or {"jti": "ID"}, with "until": "2027-01-01T00:00:00Z" if you like"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    subject: Option<String>,
    token: Option<String>,
    jti: Option<String>,
    until: Option<String>,
}

#[derive(Serialize)]
struct Described {
    id: RevocationId,
    #[serde(flatten)]
    revoked: Revoked,
    until: String,
    at: String,
}

#[derive(Serialize)]
pub struct Created {
    #[serde(flatten)]
    revocation: Described,
    /// Streams that were ended.
    ended: u64,
    /// How many of the living replicas have it in force.
    confirmed: usize,
    replicas: usize,
}

#[derive(Serialize)]
pub struct Page {
    revocations: Vec<Described>,
    /// Value of `after` for the next page; `null` on the last.
    next: Option<RevocationId>,
    /// Whether this replica knows of all; if not, it is out of touch with the others.
    current: bool,
}

pub async fn create(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<(StatusCode, Json<Created>), Problem> {
    let allowed = identity::with_right(&app, identity::Shown::of(&request), Right::Disconnect)
        .await
        .and_then(|identity| query::only(query.as_deref(), &[]).map(|_| identity));
    let (identity, wanted) = json_body::read::<Wanted, _>(&app, request, allowed, EXPECTED).await?;
    let now = unix_millis();
    let revocation = wanted.understand(&app, now)?;
    let command = Command::Revoke {
        revocation: revocation.clone(),
    };
    let spread = app.control.spread(command, now).await.map_err(refusal)?;
    let target = serde_json::to_string(&revocation.revoked).expect("an enum of texts");
    app.audit.record(&Entry {
        action: Action::Revoked,
        who: Some(&Who::from(&identity)),
        address: client.address,
        target: &target,
        outcome: &format!(
            "until {}, {} streams ended, {} of {} replicas",
            format_millis(revocation.until),
            spread.outcome.streams,
            spread.confirmed,
            spread.replicas
        ),
    });
    let created = Created {
        revocation: describe(revocation.revoked.id(), revocation),
        ended: spread.outcome.streams,
        confirmed: spread.confirmed,
        replicas: spread.replicas,
    };
    Ok((status(&spread), Json(created)))
}

pub async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<Page>, Problem> {
    identity::with_right(&app, (&parts).into(), Right::Disconnect).await?;
    let parameters = Parameters::parse(query.as_deref(), &["after"])?;
    let after = parameters.get("after").map(RevocationId::from_text);
    let limit = parameters.limit;
    let mut found = app
        .control
        .revocations(after.as_ref(), limit + 1, unix_millis());
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(Json(Page {
        next: found.last().filter(|_| more).map(|(id, _)| id.clone()),
        revocations: found
            .into_iter()
            .map(|(id, revocation)| describe(id, revocation))
            .collect(),
        current: app.control.fleet().is_none_or(|fleet| fleet.is_current()),
    }))
}

/// What is not revoked is no error: that it is not is what was wanted.
pub async fn restore(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<StatusCode, Problem> {
    let identity = identity::with_right(&app, (&parts).into(), Right::Disconnect).await?;
    query::only(query.as_deref(), &[])?;
    let command = Command::Restore {
        id: RevocationId::from_text(&id),
    };
    app.control
        .spread(command, unix_millis())
        .await
        .map_err(refusal)?;
    app.audit.record(&Entry {
        action: Action::Restored,
        who: Some(&Who::from(&identity)),
        address: client.address,
        target: &id,
        outcome: "restored",
    });
    Ok(StatusCode::NO_CONTENT)
}

impl Wanted {
    fn understand(self, app: &App, now: UnixMillis) -> Result<Revocation, Problem> {
        let revoked = match (self.subject, self.token, self.jti) {
            (Some(subject), None, None) => Revoked::Subject(
                Subject::parse(&subject).map_err(|error| json_body::invalid(error.to_string()))?,
            ),
            (None, Some(name), None) => Revoked::Token(known_token(app, &name)?),
            (None, None, Some(id)) if (1..=MAX_ID).contains(&id.len()) => Revoked::Jti(id.into()),
            _ => {
                return Err(json_body::invalid(format!(
                    "say whom to refuse, once: {EXPECTED}"
                )));
            }
        };
        let until = match self.until {
            None => now.saturating_add(app.config().revocations.keep.as_millis()),
            Some(text) => time::parse(&text)
                .and_then(|time| u64::try_from(time.as_millisecond()).ok())
                .filter(|until| *until > now)
                .ok_or_else(|| {
                    json_body::invalid(
                        "`until` is a time to come such as 2027-01-01T00:00:00Z (RFC 3339)",
                    )
                })?,
        };
        Ok(Revocation {
            revoked,
            until,
            at: now,
        })
    }
}

/// A slip in a name would leave the token as good as it was.
fn known_token(app: &App, name: &str) -> Result<Arc<str>, Problem> {
    let known = app.config().auth.as_ref().is_some_and(|auth| {
        let tokens = auth.tokens.iter().map(|token| &token.name);
        let certificates = auth.certificates.iter().map(|rule| &rule.name);
        tokens.chain(certificates).any(|known| known == name)
    });
    known.then(|| name.into()).ok_or_else(|| {
        json_body::invalid(format!(
            "no token or certificate is called `{}`; `token` is its name in the configuration, not the token itself",
            query::printable(name)
        ))
    })
}

fn describe(id: RevocationId, revocation: Revocation) -> Described {
    Described {
        id,
        revoked: revocation.revoked,
        until: format_millis(revocation.until),
        at: format_millis(revocation.at),
    }
}

/// 202 until every living replica has confirmed it.
pub fn status(spread: &Spread) -> StatusCode {
    match spread.is_complete() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    }
}

pub fn refusal(error: ControlError) -> Problem {
    let kind = match error {
        ControlError::TooManyRevocations(_) => Kind::TooManyRevocations,
        ControlError::Unreachable(_) => Kind::ReplicasUnavailable,
        ControlError::Silent(_) => Kind::ReplicaSilent,
    };
    Problem::new(kind, error.to_string())
}
