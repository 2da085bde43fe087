//! What a subscribe asks for. Pure but for the log, which is asked whether its channels have ended.

use super::{
    App,
    access::Caller,
    forwarded::Client,
    hardening, identity, plaintext,
    problem::{Kind, Problem},
    query,
};
use crate::{
    audit::{Action, Entry},
    auth::{Credential, Evidence, Identity, TicketId},
    channel::{ChannelName, Selector},
    clock::unix_millis,
    control::{
        ticket::{Fingerprint, Shape},
        tickets::Redeemed,
    },
    cursor::Cursor,
    dialect::Ids,
    event::legal_attribute_name,
    event_log::{Origin, cursor_of},
    filter::Filter,
    frame::Framing,
    hub::{
        feed::FeedKey,
        open::{Greeting, Notices, Opening, StreamInfo, Transport},
        voice::Voice,
    },
    limits::Exceeded,
    route::Asked,
    stats::TicketUse,
    subject::Subject,
    who::Who,
};
use futures_util::FutureExt;
use jiff::Timestamp;
use relay_config::{Access, ChannelPattern, Charset, Config, HeartbeatAs};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// A request for a stream, wherever it was read.
#[derive(Clone)]
pub struct Subscribe<'a> {
    pub query: &'a str,
    pub last_event_id: Option<&'a [u8]>,
    pub user_agent: Option<&'a str>,
    pub caller: Caller<'a>,
    pub credential: Credential<'a>,
    pub client: Client,
    pub transport: Transport,
    pub framing: Framing,
    pub intent: Intent,
    /// What its path means, if it is one of another system.
    pub route: Option<Asked>,
}

/// What becomes of an answer that says yes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// The stream opens.
    Open,
    /// It was only asked whether it would (HEAD).
    Look,
}

/// The answer to a subscribe.
#[derive(Debug)]
pub enum Answer {
    Open(Box<Opening>),
    /// All its channels have ended and it has everything: 204, which stops a browser for good.
    NothingMore,
    Refused(Problem),
}

const PARAMETERS: [&str; 9] = [
    "channel",
    "lastEventId",
    "from",
    "heartbeat",
    "connected",
    "degraded",
    "client",
    "ticket",
    "filter.ATTRIBUTE",
];
/// Longest name that a client may give itself, in bytes.
const MAX_CLIENT_NAME: usize = 200;
/// What is kept of a User-Agent, in bytes.
const MAX_USER_AGENT: usize = 200;

impl Subscribe<'_> {
    /// The answer, if who asks can be told without waiting.
    pub fn answer_at_once(&self, app: &App) -> Option<Answer> {
        let identity = match self.ticket() {
            Some(_) if app.control.shares_tickets() => return None,
            Some(ticket) => self.holder(app, &ticket).now_or_never()?,
            None => identity::identify_at_once(app, &self.credential)?,
        };
        // only a shared ticket is waited for
        self.answer(app, identity).now_or_never()
    }

    /// The answer to this one, or to one whom nobody knows.
    pub async fn answer(&self, app: &App, identity: Result<Identity, Problem>) -> Answer {
        let (mut opening, identity) = match self.wanted(app, identity) {
            Err(problem) => return Answer::Refused(problem),
            Ok(wanted) => wanted,
        };
        if self.has_everything(app, &opening) {
            return Answer::NothingMore;
        }
        let room = app.hub.room(&app.config());
        if app.hub.connections() > room.streams {
            return Answer::Refused(Problem::limited(Exceeded::no_room()));
        }
        match app.limits.open(&identity, self.client.address) {
            Err(exceeded) => Answer::Refused(Problem::limited(exceeded)),
            Ok(permit) => {
                opening.permit = permit;
                match self.redeem(app, &opening).await {
                    Ok(()) => Answer::Open(Box::new(opening)),
                    Err(problem) => Answer::Refused(problem),
                }
            }
        }
    }

    /// Who asks, by a ticket in the address or else by the headers.
    pub async fn identify(
        &self,
        app: &App,
        headers: &http::HeaderMap,
    ) -> Result<Identity, Problem> {
        match self.ticket() {
            Some(ticket) => self.holder(app, &ticket).await,
            None => identity::identify(app, &self.credential, headers).await,
        }
    }

    /// The ticket in the address; of two the first, which the parser of the parameters then refuses.
    fn ticket(&self) -> Option<String> {
        if !self.query.contains("ticket=") {
            return None;
        }
        let mut parameters = query::parse(self.query).ok()?.into_iter();
        parameters
            .find(|(name, _)| name == "ticket")
            .map(|(_, ticket)| ticket)
    }

    async fn holder(&self, app: &App, ticket: &str) -> Result<Identity, Problem> {
        // what a browser sends by itself does not count beside a ticket
        if self.credential != Credential::None && !self.credential.is_ambient() {
            return Err(identity::two_credentials());
        }
        let now = unix_millis();
        let ticket = app
            .control
            .ticket(&TicketId::of(ticket), self.fingerprint(app), now)
            .await;
        identity::of_ticket(app, ticket, now)
    }

    fn fingerprint(&self, app: &App) -> Fingerprint {
        Fingerprint::of(
            &app.config().tickets.bind,
            self.client.address,
            self.user_agent,
        )
    }

    /// Uses the ticket, if it was one: the last step, once nothing else can refuse the stream.
    async fn redeem(&self, app: &App, opening: &Opening) -> Result<(), Problem> {
        let (Evidence::Ticket(minted), Intent::Open) = (&opening.info.who.evidence, self.intent)
        else {
            return Ok(());
        };
        let (info, connection) = (&opening.info, opening.info.id());
        let shape = Shape::of(&info.channels, &info.filter);
        let redeemed = app
            .control
            .redeem(
                &minted.id,
                self.fingerprint(app),
                shape,
                &connection,
                unix_millis(),
            )
            .await
            .map_err(|refusal| identity::refused_ticket(refusal).of(info.who.clone()))?;
        let used = match redeemed {
            Redeemed::First => TicketUse::Redeemed,
            Redeemed::Again(_) => TicketUse::Reopened,
        };
        app.hub.stats.tickets.of(used).add(1);
        app.audit.record(&Entry {
            action: Action::TicketUsed,
            who: Some(&info.who),
            address: self.client.address,
            target: &connection,
            outcome: used.as_str(),
        });
        Ok(())
    }

    fn wanted(
        &self,
        app: &App,
        identity: Result<Identity, Problem>,
    ) -> Result<(Opening, Identity), Problem> {
        let settings = app.settings();
        plaintext::check(&settings.proxies, self.client)?;
        settings.openness.allows(&self.caller, &settings.cors)?;
        if self.ticket().is_none() {
            identity::may_use(app, &self.caller, &self.credential)?;
        }
        let identity = identity?;
        let granted = match identity.from {
            Evidence::Ticket(_) => &identity.grant.subscribe[..],
            _ => &[],
        };
        let wanted = match &self.route {
            None => Wanted::parse(self.query, &settings.config, granted)?,
            Some(asked) => Wanted::of_route(self.query, asked, &settings.config)?,
        };
        identity::may_subscribe(&identity, &wanted.selectors)?;
        let filter = identity::readable(&identity, &wanted.filter)?;
        let cursor = self.cursor(wanted.last_event_id.as_deref());
        let number = app.hub.next_number();
        let selectors = with_subject(wanted.selectors, identity.grant.subject.as_ref());
        let filter = Arc::new(filter);
        let opening = Opening {
            asked: Instant::now(),
            key: FeedKey {
                selectors: selectors.clone(),
                filter: filter.clone(),
                framing: self.framing,
                voice: wanted.voice.clone(),
            },
            charset: self.charset(),
            cursor: cursor.or(wanted.from).unwrap_or(Cursor::Latest),
            heartbeat: wanted.heartbeat,
            greeting: wanted.greeting,
            notices: wanted.notices,
            expires: identity.grant.expires,
            head: match self.framing {
                Framing::Chunked => self.lines(app),
                Framing::Bare => Box::default(), // the answer is hyper's
            },
            info: StreamInfo {
                number,
                replica: app.replica.clone(),
                client: wanted.client,
                who: Who::from(&identity),
                remote: self.client.address,
                user_agent: self
                    .user_agent
                    .map(|text| clip(text, MAX_USER_AGENT).into()),
                transport: self.transport,
                opened: SystemTime::now(),
                channels: selectors,
                filter,
                voice: wanted.voice,
            },
            permit: None,
        };
        Ok((opening, identity))
    }

    /// Where the client says that it stands. What a route's clients come back with may be another's.
    fn cursor(&self, parameter: Option<&str>) -> Option<Cursor> {
        let ids = self.route.as_ref().map(|asked| asked.route.dialect.ids);
        let cursor = match self.last_event_id {
            Some(id) if !id.is_empty() => std::str::from_utf8(id)
                .ok()
                .and_then(Cursor::from_last_event_id)
                .or(Some(Cursor::Unknown)),
            _ => parameter.and_then(Cursor::from_last_event_id),
        };
        match ids {
            None | Some(Ids::Ours) => cursor,
            Some(Ids::Some) => cursor.filter(|cursor| *cursor != Cursor::Unknown),
            Some(Ids::None) => None,
        }
    }

    /// What the answer says of its characters.
    pub fn charset(&self) -> Charset {
        let route = self.route.as_ref();
        route.map_or(Charset::Named, |asked| asked.route.charset())
    }

    /// Lines of the head of an answer that the shard writes.
    fn lines(&self, app: &App) -> Box<[u8]> {
        let silent = self
            .route
            .as_ref()
            .is_some_and(|asked| asked.route.is_silent());
        let mut lines = match silent {
            true => Vec::new(),
            false => app.settings().cors.lines(self.caller.origin).into_vec(),
        };
        if let Some(hsts) = hardening::hsts(app, self.client) {
            lines.extend_from_slice(b"strict-transport-security: ");
            lines.extend_from_slice(hsts.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        lines.into()
    }

    fn has_everything(&self, app: &App, opening: &Opening) -> bool {
        let selectors = &opening.key.selectors;
        if selectors
            .iter()
            .any(|selector| matches!(selector, Selector::Pattern(_)))
        {
            return false;
        }
        let used = app.log.partitioning().in_use(selectors);
        let origin = Origin::Client(opening.asked);
        let start = app
            .log
            .resume(&opening.cursor, &app.log.heads().within(used), origin);
        let at = cursor_of(&start.from);
        let asked: Vec<Selector> = Selector::asked(selectors).cloned().collect();
        // the channel of a subject never ends, but what it still has is delivered
        let has_more = |selector: &Selector| match selector {
            Selector::Channel(name) if name.is_reserved() => {
                // a log that has to ask somebody is not waited for: its channels have ended all the same
                let channel = app.log.channel(name).now_or_never();
                let last = channel
                    .and_then(Result::ok)
                    .flatten()
                    .and_then(|channel| channel.last);
                last.is_some_and(|last| last.id > at.id(last.partition))
            }
            _ => false,
        };
        start.lost.is_none() && app.log.finished(&asked, &at) && !selectors.iter().any(has_more)
    }
}

/// What was asked for, and what is for the subject alone.
fn with_subject(mut asked: BTreeSet<Selector>, subject: Option<&Subject>) -> Arc<[Selector]> {
    asked.extend(subject.map(|subject| Selector::Channel(ChannelName::of_subject(subject))));
    asked.into_iter().collect()
}

/// The parameters of a subscribe.
#[derive(Debug)]
struct Wanted {
    selectors: BTreeSet<Selector>,
    filter: Filter,
    last_event_id: Option<String>,
    from: Option<Cursor>,
    heartbeat: HeartbeatAs,
    greeting: Greeting,
    notices: Notices,
    client: Option<Box<str>>,
    ticket: Given,
    voice: Option<Voice>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Given {
    #[default]
    No,
    Yes,
}

impl Wanted {
    /// A ticket's stream has all that the ticket allows unless it asks for less.
    fn parse(text: &str, config: &Config, granted: &[ChannelPattern]) -> Result<Wanted, Problem> {
        let mut wanted = Wanted {
            selectors: BTreeSet::new(),
            filter: Filter::default(),
            last_event_id: None,
            from: None,
            heartbeat: config.heartbeat.r#as,
            greeting: if config.stream.connected_event {
                Greeting::Connected
            } else {
                Greeting::None
            },
            notices: Notices::None,
            client: None,
            ticket: Given::No,
            voice: None,
        };
        for (name, value) in query::parse(text)? {
            wanted.take(&name, value, config)?;
        }
        if wanted.selectors.is_empty() {
            for pattern in granted {
                wanted.select(pattern.as_str(), config)?;
            }
        }
        if wanted.selectors.is_empty() {
            return Err(bad("name at least one channel: /v1/events?channel=NAME"));
        }
        Ok(wanted)
    }

    /// What a path of another system asks for. Parameters that it does not know mean nothing to it.
    fn of_route(text: &str, asked: &Asked, config: &Config) -> Result<Wanted, Problem> {
        let route = &asked.route;
        let chosen = route.wanted(&query::parse(text)?);
        let max = config.stream.max_filter_values;
        if chosen.size() > max {
            return Err(bad(format!("a filter has at most {max} values")));
        }
        let mut wanted = Wanted {
            selectors: BTreeSet::new(),
            filter: Filter::default(),
            last_event_id: None,
            from: None,
            heartbeat: config.heartbeat.r#as,
            greeting: Greeting::None,
            notices: if route.dialect.tells_condition() {
                Notices::Degraded
            } else {
                Notices::None
            },
            client: None,
            ticket: Given::No,
            voice: Some(Voice {
                dialect: route.dialect.clone(),
                wanted: Arc::new(chosen),
            }),
        };
        for channel in &asked.channels {
            wanted.select(channel, config)?;
        }
        Ok(wanted)
    }

    fn take(&mut self, name: &str, value: String, config: &Config) -> Result<(), Problem> {
        match name {
            "channel" => self.select(&value, config)?,
            "lastEventId" => self.last_event_id = Some(value),
            "from" => self.from = Some(parse_from(&value)?),
            "heartbeat" => self.heartbeat = parse_heartbeat(&value)?,
            "connected" => self.greeting = parse_greeting(&value)?,
            "degraded" => self.notices = parse_notices(&value)?,
            "ticket" if self.ticket == Given::Yes => {
                return Err(bad("`ticket` is given twice; give one"));
            }
            "ticket" => self.ticket = Given::Yes, // who asks is known by it
            "client" => self.client = Some(parse_client(&value)?),
            _ if Some(name) == token_parameter(config) => {} // it was looked at already
            _ if name.starts_with('_') => {}                 // what scripts add against caches
            _ => match name.strip_prefix("filter.") {
                Some(attribute) => {
                    self.accept(attribute, &value, config.stream.max_filter_values)?
                }
                None => return Err(query::unknown(name, &PARAMETERS)),
            },
        }
        Ok(())
    }

    fn select(&mut self, value: &str, config: &Config) -> Result<(), Problem> {
        let selector = Selector::parse(value).map_err(|error| {
            Problem::new(
                Kind::InvalidChannel,
                format!("channel `{}`: {error}", query::printable(value)),
            )
        })?;
        if let Selector::Channel(name) = &selector {
            open_to_subscribers(config, name)?;
        }
        self.selectors.insert(selector);
        let max = config.stream.max_channels;
        if self.selectors.len() > max {
            return Err(bad(format!(
                "a stream has at most {max} channels; open another, or use a pattern such as `orders.*`"
            )));
        }
        Ok(())
    }

    fn accept(&mut self, attribute: &str, value: &str, max: usize) -> Result<(), Problem> {
        if !legal_attribute_name(attribute) {
            return Err(bad(format!(
                "`filter.{}` names no attribute; write filter.NAME=VALUE",
                query::printable(attribute)
            )));
        }
        self.filter
            .accept(attribute, value.split(',').map(Into::into));
        if self.filter.size() > max {
            return Err(bad(format!("a filter has at most {max} values")));
        }
        Ok(())
    }
}

/// Whether the rules let anybody read a channel, as a stream or as history.
pub fn open_to_subscribers(config: &Config, channel: &ChannelName) -> Result<(), Problem> {
    if config.effective(channel.as_str()).subscribe == Access::Allow {
        return Ok(());
    }
    let detail =
        format!("channel `{channel}` is closed to subscribers by a rule of the configuration");
    Err(Problem::new(Kind::ChannelClosed, detail))
}

fn token_parameter(config: &Config) -> Option<&str> {
    config.auth.as_ref()?.query_parameter.as_deref()
}

fn parse_from(value: &str) -> Result<Cursor, Problem> {
    match value {
        "earliest" => Ok(Cursor::Earliest),
        "latest" => Ok(Cursor::Latest),
        _ => match super::time::parse(value) {
            Some(time) => Ok(Cursor::At(millis(time))),
            None => Err(bad(
                "`from` is earliest, latest or a time such as 2026-11-21T08:00:00Z (RFC 3339)",
            )),
        },
    }
}

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}

fn parse_heartbeat(value: &str) -> Result<HeartbeatAs, Problem> {
    match value {
        "comment" => Ok(HeartbeatAs::Comment),
        "event" => Ok(HeartbeatAs::Event),
        _ => Err(bad("`heartbeat` is comment or event")),
    }
}

fn parse_greeting(value: &str) -> Result<Greeting, Problem> {
    match value {
        "true" => Ok(Greeting::Connected),
        "false" => Ok(Greeting::None),
        _ => Err(bad("`connected` is true or false")),
    }
}

fn parse_notices(value: &str) -> Result<Notices, Problem> {
    match value {
        "true" => Ok(Notices::Degraded),
        "false" => Ok(Notices::None),
        _ => Err(bad("`degraded` is true or false")),
    }
}

fn parse_client(value: &str) -> Result<Box<str>, Problem> {
    if value.is_empty() || value.len() > MAX_CLIENT_NAME || value.chars().any(char::is_control) {
        return Err(bad(format!(
            "`client` is a name of 1 to {MAX_CLIENT_NAME} bytes without control characters"
        )));
    }
    Ok(value.into())
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidQuery, detail)
}

fn clip(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Wanted, Problem> {
        Wanted::parse(query, &Config::default(), &[])
    }

    #[test]
    fn all_parameters_are_understood() {
        let wanted = parse(
            "channel=b&channel=a&channel=b&channel=orders.*&filter.kind=x,y&filter.site=s&from=2026-11-21T08:00:00Z\
             &lastEventId=abc&heartbeat=event&connected=true&degraded=true&client=me&_=123",
        )
        .unwrap();
        let names: Vec<String> = wanted.selectors.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b", "orders.*"], "sorted, each once");
        assert_eq!(wanted.filter.size(), 3);
        assert_eq!(wanted.from, Some(Cursor::At(1_795_248_000_000)));
        assert_eq!(wanted.last_event_id.as_deref(), Some("abc"));
        assert_eq!(
            (wanted.heartbeat, wanted.greeting),
            (HeartbeatAs::Event, Greeting::Connected)
        );
        assert_eq!(wanted.notices, Notices::Degraded);
        assert_eq!(wanted.client.as_deref(), Some("me"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, kind, says) in [
            ("", Kind::InvalidQuery, "at least one channel"),
            ("channel=", Kind::InvalidChannel, "empty"),
            ("channel=a%0Ab", Kind::InvalidChannel, "control"),
            ("channel=@subject/x", Kind::InvalidChannel, "reserved"),
            ("channel=a*", Kind::InvalidChannel, "star"),
            ("chanel=a", Kind::InvalidQuery, "did you mean `channel`"),
            ("channel=a&from=yesterday", Kind::InvalidQuery, "RFC 3339"),
            (
                "channel=a&heartbeat=often",
                Kind::InvalidQuery,
                "comment or event",
            ),
            ("channel=a&connected=1", Kind::InvalidQuery, "true or false"),
            (
                "channel=a&degraded=yes",
                Kind::InvalidQuery,
                "true or false",
            ),
            ("channel=a&client=", Kind::InvalidQuery, "1 to 200"),
            ("channel=a&filter.=x", Kind::InvalidQuery, "filter.NAME"),
            ("channel=%FF", Kind::InvalidQuery, "UTF-8"),
        ] {
            let problem = parse(query).unwrap_err();
            assert_eq!(problem.kind, kind, "{query}: {problem:?}");
            assert!(problem.detail.contains(says), "{query}: {}", problem.detail);
        }
        let many: Vec<String> = (0..101).map(|n| format!("channel=c{n}")).collect();
        assert!(
            parse(&many.join("&"))
                .unwrap_err()
                .detail
                .contains("at most 100 channels")
        );
    }

    #[test]
    fn a_closed_channel_cannot_be_subscribed_to() {
        let mut config = Config::default();
        config.channels.push(relay_config::ChannelRule {
            subscribe: Some(Access::Deny),
            ..relay_config::ChannelRule::new("secret.**")
        });
        let kind = |query| {
            Wanted::parse(query, &config, &[])
                .map(|_| ())
                .map_err(|problem| problem.kind)
        };
        assert_eq!(kind("channel=secret.a"), Err(Kind::ChannelClosed));
        assert_eq!(kind("channel=open"), Ok(()));
    }
}
