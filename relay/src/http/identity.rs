//! Who sends a request, as HTTP says it, and how a refusal is answered (RFC 6750, RFC 9110 11.6.1).

use super::{
    App,
    access::Caller,
    problem::{Kind, Problem},
};
use crate::{
    auth::{Credential, Denied, Evidence, Identity, Parts, Refused},
    channel::{ChannelName, Selector},
    clock::unix_millis,
    control::{ticket::Ticket, ticketing::TicketTrouble, tickets::TicketRefusal},
    cursor::UnixMillis,
    filter::Filter,
    grant::Right,
    stats::AuthRefusal,
    tls::client_certificate::ClientCertificate,
    who::Who,
};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use relay_config::RouteCredentials;
use std::sync::Arc;

/// What a request shows of its sender besides its query.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    headers: &'a HeaderMap,
    certificate: Option<&'a ClientCertificate>,
}

impl<'a> Shown<'a> {
    pub fn of<B>(request: &'a http::Request<B>) -> Shown<'a> {
        Shown {
            headers: request.headers(),
            certificate: certificate(request.extensions()),
        }
    }
}

impl<'a> From<&'a http::request::Parts> for Shown<'a> {
    fn from(parts: &'a http::request::Parts) -> Shown<'a> {
        Shown {
            headers: &parts.headers,
            certificate: certificate(&parts.extensions),
        }
    }
}

/// The one of the connection, where the connection's service has put it.
fn certificate(extensions: &http::Extensions) -> Option<&ClientCertificate> {
    extensions
        .get::<Arc<ClientCertificate>>()
        .map(|certificate| &**certificate)
}

/// The credential that a request carries, but for its query.
fn credential<'a>(app: &App, shown: Shown<'a>) -> Credential<'a> {
    credential_of(app, shown, None, None)
}

/// The credential of a subscribe, whose query may carry it too.
pub fn credential_of<'a>(
    app: &App,
    shown: Shown<'a>,
    query: Option<&'a str>,
    route: Option<&RouteCredentials>,
) -> Credential<'a> {
    let values = |name| {
        let values = shown.headers.get_all(name).iter();
        values.map(http::HeaderValue::as_bytes)
    };
    app.settings().auth.credential(Parts {
        authorization: values(header::AUTHORIZATION),
        cookies: values(header::COOKIE),
        query,
        certificate: shown.certificate,
        route,
    })
}

/// Whether a request shows any credential, a ticket included.
pub fn shows_something<B>(app: &App, request: &http::Request<B>) -> bool {
    let query = request.uri().query();
    let ticket = query.is_some_and(|query| query.contains("ticket="));
    let route = app.settings().routes.find(request.uri().path());
    let route = route.as_ref().map(|asked| asked.route.credentials());
    ticket || credential_of(app, Shown::of(request), query, route) != Credential::None
}

/// A page of another origin does not use what a browser sends by itself (CSRF), unless the
/// configuration lends it to that origin.
pub fn may_use(app: &App, caller: &Caller<'_>, credential: &Credential<'_>) -> Result<(), Problem> {
    if !credential.is_ambient() || caller.may_use_cookies(&app.settings().cors) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::CrossOrigin,
        "a page of another origin may not use this cookie or certificate: name the origin under `cors.origins`, with \
         `cors.credentials`, or send a token in the header Authorization",
    ))
}

/// The same, of a request that was not looked at yet.
pub fn may_use_ambient(app: &App, caller: &Caller<'_>, shown: Shown<'_>) -> Result<(), Problem> {
    may_use(app, caller, &credential(app, shown))
}

/// Who sends a request that shows this, or why nobody is known to.
pub async fn sender(app: &App, shown: Shown<'_>) -> Result<Identity, Problem> {
    identify(app, &credential(app, shown), shown.headers).await
}

/// Who sends a request, or why nobody is known to.
pub async fn identify(
    app: &App,
    credential: &Credential<'_>,
    headers: &HeaderMap,
) -> Result<Identity, Problem> {
    let now = unix_millis();
    let identity = app.settings().auth.identify(credential, headers, now).await;
    not_revoked(app, identity, now)
}

/// The same, if it can be told without waiting.
pub fn identify_at_once(
    app: &App,
    credential: &Credential<'_>,
) -> Option<Result<Identity, Problem>> {
    let now = unix_millis();
    let identity = app.settings().auth.identify_at_once(credential, now)?;
    Some(not_revoked(app, identity, now))
}

/// What was already found out about who sends a request, so that it is not asked again.
#[derive(Clone)]
pub struct Identified(pub Result<Identity, Problem>);

fn not_revoked(
    app: &App,
    identity: Result<Identity, Denied>,
    now: UnixMillis,
) -> Result<Identity, Problem> {
    match identity {
        Ok(identity)
            if app.control.refuses(&Who::from(&identity), now)
                || !app.settings().auth.still_knows(&Who::from(&identity)) =>
        {
            Err(denied(Refused::Revoked.into()))
        }
        Ok(identity) => Ok(identity),
        Err(why) => Err(denied(why)),
    }
}

fn denied(denied: Denied) -> Problem {
    let (kind, refusal) = match denied {
        Denied::Refused(refused @ Refused::ForwardForbidden) => {
            (Kind::NotGranted, AuthRefusal::Refused(refused))
        }
        Denied::Refused(refused) => (Kind::Unauthenticated, AuthRefusal::Refused(refused)),
        Denied::Unavailable(_) => (Kind::AuthUnavailable, AuthRefusal::Unavailable),
    };
    Problem::new(kind, denied.to_string()).because(refusal)
}

/// Whether the sender may subscribe to all of these.
pub fn may_subscribe<'a>(
    identity: &Identity,
    selectors: impl IntoIterator<Item = &'a Selector>,
) -> Result<(), Problem> {
    let denied = selectors
        .into_iter()
        .find(|selector| !identity.grant.may_subscribe(selector));
    match denied {
        None => Ok(()),
        Some(selector) => Err(not_granted(identity, &format!("subscribe to `{selector}`"))),
    }
}

/// The filter with which the sender reads: the one that was asked for, and what its grant lets it see.
pub fn readable(identity: &Identity, asked: &Filter) -> Result<Filter, Problem> {
    let narrowed = identity.grant.narrow(asked);
    narrowed.map_err(|attribute| {
        let wanted = format!("see all of these values of `{attribute}`");
        not_granted(identity, &wanted)
    })
}

/// Whether the sender may publish to a channel.
pub fn may_publish(identity: &Identity, channel: &ChannelName) -> Result<(), Problem> {
    if identity.grant.may_publish(channel) {
        return Ok(());
    }
    Err(not_granted(identity, &format!("publish to `{channel}`")))
}

/// Whether the sender has a right.
pub fn may(identity: &Identity, right: Right) -> Result<(), Problem> {
    if identity.grant.may(right) {
        return Ok(());
    }
    let wanted = format!("do this: it takes the right `{}`", right.as_str());
    Err(not_granted(identity, &wanted))
}

/// Who sends a request, if the sender has a right.
pub async fn with_right(app: &App, shown: Shown<'_>, right: Right) -> Result<Identity, Problem> {
    let identity = sender(app, shown).await?;
    may(&identity, right)?;
    Ok(identity)
}

/// Who sends a request, if anybody in particular.
pub async fn somebody(app: &App, shown: Shown<'_>) -> Result<Identity, Problem> {
    let identity = sender(app, shown).await?;
    match identity.from {
        Evidence::Anonymous => Err(not_granted(&identity, "do this")),
        _ => Ok(identity),
    }
}

/// Who sends a request with a ticket. The one that it was made with may be revoked meanwhile.
pub fn of_ticket(
    app: &App,
    ticket: Result<Ticket, TicketTrouble>,
    now: UnixMillis,
) -> Result<Identity, Problem> {
    let identity = ticket.map_err(refused_ticket).map(|ticket| Identity {
        grant: ticket.grant,
        from: Evidence::Ticket(ticket.minted),
    });
    identity.and_then(|identity| not_revoked(app, Ok(identity), now))
}

pub fn refused_ticket(trouble: TicketTrouble) -> Problem {
    match trouble {
        TicketTrouble::Refused(TicketRefusal::Unknown) => denied(Refused::TicketUnknown.into()),
        TicketTrouble::Refused(TicketRefusal::Reused) => denied(Refused::TicketReused.into()),
        TicketTrouble::Unavailable(why) => Problem::new(
            Kind::ReplicasUnavailable,
            format!("whether the ticket is good cannot be told now ({why}); try again in a moment"),
        ),
    }
}

/// A request with two credentials, of which nobody could say which one counts.
pub fn two_credentials() -> Problem {
    denied(Refused::Malformed.into())
}

/// 401 for who showed nothing, 403 for who is known and not allowed.
pub fn not_granted(identity: &Identity, wanted: &str) -> Problem {
    let (kind, refusal) = match identity.from {
        Evidence::Anonymous => (Kind::Unauthenticated, AuthRefusal::Missing),
        Evidence::Open
        | Evidence::Token(_)
        | Evidence::Certificate(_)
        | Evidence::Jwt { .. }
        | Evidence::Forward
        | Evidence::Ticket(_) => (Kind::NotGranted, AuthRefusal::NotGranted),
    };
    let detail = match kind {
        Kind::Unauthenticated => {
            format!("without a token nobody may {wanted}; send `Authorization: Bearer TOKEN`")
        }
        _ => format!("this credential does not allow to {wanted}"),
    };
    Problem::new(kind, detail)
        .because(refusal)
        .of(Who::from(identity))
}

/// Lets only those pass who may observe.
pub async fn observers(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match with_right(&app, Shown::of(&request), Right::Observe).await {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Counts a refusal once, however often its request was looked at before it was answered.
pub fn count(app: &App, response: &Response) {
    if let Some(refusal) = response.extensions().get::<AuthRefusal>() {
        app.hub.stats.auth_refused.of(*refusal).add(1);
    }
}
