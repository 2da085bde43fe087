//! `POST /v1/tickets`: a credential for the address of one stream.

use super::{
    App,
    forwarded::Client,
    identity, json_body,
    problem::{Kind, Problem},
    query,
    time::{self, format_millis},
};
use crate::{
    audit::{Action, Entry},
    auth::{Identity, Minted, TicketId},
    channel::Selector,
    clock::unix_millis,
    control::{ticket::Ticket, ticketing::NotMade},
    cursor::UnixMillis,
    event::legal_attribute_name,
    filter::Filter,
    grant::{Grant, Right},
    stats::TicketUse,
    subject::Subject,
    who::Who,
};
use axum::{
    Extension, Json,
    extract::{RawQuery, Request, State},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use relay_config::ChannelPattern;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const EXPECTED: &str = r#"{"channels": ["orders.*"], "filter": {"kind": ["a"]}, "subject": "ann", "expires": "2027-01-01T00:00:00Z"}, each only if you like"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    channels: Option<Vec<String>>,
    #[serde(default)]
    filter: BTreeMap<String, BTreeSet<Box<str>>>,
    subject: Option<String>,
    expires: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    ticket: String,
    /// By when it must be used for the first time.
    redeem_before: String,
    /// When the grant that it stands for ends; `null` is never.
    expires: Option<String>,
}

pub async fn mint(
    State(app): State<Arc<App>>,
    Extension(client): Extension<Client>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<(StatusCode, Json<Answer>), Problem> {
    let minter = identity::somebody(&app, identity::Shown::of(&request)).await;
    let minter = minter.and_then(|minter| query::only(query.as_deref(), &[]).map(|_| minter));
    let (minter, wanted) = json_body::read::<Wanted, _>(&app, request, minter, EXPECTED).await?;
    let grant = wanted.grant(&app, &minter)?;
    let (ticket, now) = (random()?, unix_millis());
    let redeem_before = now.saturating_add(app.config().tickets.redeem_within.as_millis());
    let answer = Answer {
        redeem_before: format_millis(
            grant
                .expires
                .map_or(redeem_before, |e| e.min(redeem_before)),
        ),
        expires: grant.expires.map(format_millis),
        ticket,
    };
    let who = Who::from(&minter);
    let subject = grant.subject.as_ref().map(ToString::to_string);
    let minted = Minted {
        id: TicketId::of(&answer.ticket),
        by: minter.from,
    };
    let added = app
        .control
        .add_ticket(Ticket::new(grant, minted, redeem_before), now)
        .await;
    added.map_err(|why| match why {
        NotMade::Full(full) => Problem::new(Kind::TooManyTickets, full.to_string()),
        NotMade::Unavailable(why) => Problem::new(
            Kind::ReplicasUnavailable,
            format!(
                "the ticket would be known to this replica alone ({why}); try again in a moment"
            ),
        ),
    })?;
    app.hub.stats.tickets.of(TicketUse::Minted).add(1);
    app.audit.record(&Entry {
        action: Action::TicketMinted,
        who: Some(&who),
        address: client.address,
        target: subject.as_deref().unwrap_or_default(),
        outcome: "minted",
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

/// 256 bits from the system, as characters that need no quoting in an address.
fn random() -> Result<String, Problem> {
    let mut bytes = [0u8; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes).map_err(|error| {
        let detail = format!("the system has no random numbers: {error}; retry in a moment");
        Problem::new(Kind::Unavailable, detail)
    })?;
    Ok(format!("sseticket_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

impl Wanted {
    /// What the ticket allows: what its minter may have, or less. More is refused, never narrowed.
    fn grant(self, app: &App, minter: &Identity) -> Result<Grant, Problem> {
        Ok(Grant {
            subscribe: match &self.channels {
                Some(channels) => channels_of(app, minter, channels)?,
                None => minter.grant.subscribe.clone(),
            },
            filters: identity::readable(minter, &self.filter(app)?)?,
            subject: self.subject(minter)?,
            expires: self.expires(minter)?,
            attributes: minter.grant.attributes.clone(),
            ..Grant::default()
        })
    }

    fn filter(&self, app: &App) -> Result<Filter, Problem> {
        let mut filter = Filter::default();
        for (attribute, values) in &self.filter {
            if !legal_attribute_name(attribute) || values.is_empty() {
                return Err(json_body::invalid(
                    "`filter` has attributes, each with at least one value: {\"kind\": [\"a\"]}",
                ));
            }
            filter.accept(attribute, values.iter().cloned());
        }
        let max = app.config().stream.max_filter_values;
        if filter.size() > max {
            return Err(json_body::invalid(format!(
                "a filter has at most {max} values"
            )));
        }
        Ok(filter)
    }

    /// A ticket of somebody stands for the same subject, unless its minter may speak for others.
    fn subject(&self, minter: &Identity) -> Result<Option<Subject>, Problem> {
        let Some(text) = &self.subject else {
            return Ok(minter.grant.subject.clone());
        };
        let subject =
            Subject::parse(text).map_err(|error| json_body::invalid(error.to_string()))?;
        if minter.grant.subject.as_ref() != Some(&subject) {
            identity::may(minter, Right::Tickets)?;
        }
        Ok(Some(subject))
    }

    fn expires(&self, minter: &Identity) -> Result<Option<UnixMillis>, Problem> {
        let Some(text) = &self.expires else {
            return Ok(minter.grant.expires);
        };
        let wanted = time::parse(text).and_then(|time| u64::try_from(time.as_millisecond()).ok());
        let wanted = wanted
            .filter(|wanted| *wanted > unix_millis())
            .ok_or_else(|| {
                json_body::invalid(
                    "`expires` is a time to come such as 2027-01-01T00:00:00Z (RFC 3339)",
                )
            })?;
        if minter.grant.expires.is_some_and(|expires| wanted > expires) {
            return Err(identity::not_granted(
                minter,
                "make a ticket that outlives it",
            ));
        }
        Ok(Some(wanted))
    }
}

fn channels_of(
    app: &App,
    minter: &Identity,
    channels: &[String],
) -> Result<Vec<ChannelPattern>, Problem> {
    let max = app.config().stream.max_channels;
    if channels.is_empty() || channels.len() > max {
        return Err(json_body::invalid(format!(
            "`channels` has 1 to {max} channels and patterns"
        )));
    }
    let wrong = |error: String| Problem::new(Kind::InvalidChannel, error);
    let selectors = channels.iter().map(|text| Selector::parse(text));
    let selectors: Vec<Selector> = selectors
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    identity::may_subscribe(minter, &selectors)?;
    let patterns = channels.iter().map(|text| ChannelPattern::parse(text));
    patterns
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))
}
