//! `POST /v1/connections/{connection}/credential`: a longer life for a stream, without reconnecting.

use super::{
    App,
    forwarded::Client,
    identity,
    problem::{Kind, Problem},
    query,
    time::format_millis,
};
use crate::{
    audit::{Action, Entry},
    clock::unix_millis,
    control::Command,
    hub::extend::{Extended, Extension},
    who::Who,
};
use axum::{
    Extension as Known, Json,
    extract::{Path, RawQuery, State},
};
use http::request::Parts;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub struct Answer {
    /// Until when the stream lives; `null` is for good.
    expires: Option<String>,
}

pub async fn extend(
    State(app): State<Arc<App>>,
    Known(client): Known<Client>,
    Path(connection): Path<String>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Json<Answer>, Problem> {
    let identity = identity::somebody(&app, (&parts).into()).await?;
    query::only(query.as_deref(), &[])?;
    let command = Command::Extend {
        connection: connection.clone(),
        extension: Box::new(Extension::from(&identity)),
    };
    let spread = app.control.spread(command, unix_millis()).await;
    let spread = spread.map_err(super::revocations::refusal)?;
    let answer = match spread.outcome.extended {
        Some(Extended::Until(expires)) => Answer {
            expires: expires.map(format_millis),
        },
        Some(Extended::OtherHolder) => {
            let wanted =
                "extend this stream: it was opened with a credential of another subject or kind";
            return Err(identity::not_granted(&identity, wanted));
        }
        Some(Extended::NotCovered) => {
            let wanted = "extend this stream: it receives more than this credential allows";
            return Err(identity::not_granted(&identity, wanted));
        }
        None => {
            return Err(Problem::new(
                Kind::NotFound,
                "there is no such stream, or not any more; open it again",
            ));
        }
    };
    app.audit.record(&Entry {
        action: Action::Extended,
        who: Some(&Who::from(&identity)),
        address: client.address,
        target: &connection,
        outcome: "extended",
    });
    Ok(Json(answer))
}
