//! `sse-relay archive replay`: publishes a range of a channel's history again.

use super::{
    client::{self, Failure, TlsArgs, Token},
    publish::delivery::{Delivery, Note},
};
use crate::{channel::ChannelName, cursor::Places, http::time};
use bytes::Bytes;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Events that are read at once.
const PAGE: usize = 500;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How long to keep trying to publish one event.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest pause that is made between two events, however far apart they were.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What can be done with what a relay keeps.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Publish a range of a channel's history again
    Replay(Args),
}

/// Publish a range of a channel's history again, to another channel or the same.
///
/// Reads what the log and the archive have, in order, and publishes each event with its type, data,
/// attributes and times. Progress goes to standard error. What is missing in the range is told.
/// Exit codes: 0 all published, 1 failed, 2 wrong usage, 3 refused by the server, 4 cannot connect.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The channel whose history is read.
    #[arg(value_parser = parse_channel)]
    pub channel: ChannelName,
    /// The channel that is published to.
    #[arg(long, value_name = "CHANNEL", value_parser = parse_channel)]
    pub to: ChannelName,
    /// The time at which to begin, as 2026-11-21T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time, required_unless_present = "after")]
    pub from: Option<jiff::Timestamp>,
    /// Begin after this event; an interrupted replay names the last one that it published.
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    pub after: Option<String>,
    /// The time at which to end; that of the start of the command if it is not given.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<jiff::Timestamp>,
    /// How fast: 1 as they were published, 10 ten times as fast. Without it as fast as it goes.
    #[arg(long, value_name = "FACTOR", value_parser = parse_speed)]
    pub speed: Option<f64>,
    /// End the channel if the range has the end of the other one.
    #[arg(long)]
    pub end: bool,
    /// The relay.
    #[arg(long, value_name = "URL", env = client::URL_VARIABLE, hide_env_values = true, default_value = client::DEFAULT_URL)]
    pub url: String,
    /// A file with the token. Without it the token is taken from SSE_RELAY_TOKEN, if that is set.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsArgs,
}

fn parse_channel(text: &str) -> Result<ChannelName, String> {
    ChannelName::parse(text).map_err(|error| error.to_string())
}

fn parse_time(text: &str) -> Result<jiff::Timestamp, String> {
    time::parse(text).ok_or_else(|| "write a time such as 2026-11-21T08:00:00Z".to_owned())
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: Option<f64> = text.parse().ok();
    speed
        .filter(|speed| (0.001..=1_000_000.0).contains(speed))
        .ok_or_else(|| "write a number from 0.001 to 1000000, such as 1 or 10".to_owned())
}

/// What is told on standard error.
enum Told {
    Delivery(Note),
    Gap { reason: String, certain: bool },
    Progress { published: u64, at: u64 },
    Done { published: u64 },
    Stopped { last: String },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Delivery(note) => note.fmt(f),
            Told::Gap { reason, certain } => {
                let certain = if *certain { "are" } else { "may be" };
                write!(f, "events {certain} missing here ({reason})")
            }
            Told::Progress { published, at } => {
                write!(f, "{published} events, up to {}", time::format_millis(*at))
            }
            Told::Done { published } => write!(f, "{published} events published"),
            Told::Stopped { last } => write!(f, "go on with --after {last}"),
        }
    }
}

fn tell(what: &Told) {
    use std::io::Write;
    // Who closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "sse-relay: {what}");
}

/// A page of history, as far as a replay needs it.
#[derive(Deserialize)]
struct Page {
    events: Vec<Event>,
    next: Option<String>,
    gap: Option<Gap>,
}

#[derive(Deserialize)]
struct Gap {
    reason: String,
    certain: bool,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    event: String,
    data: String,
    attributes: BTreeMap<String, String>,
    retry: Option<u32>,
    time: Option<String>,
    #[serde(default)]
    end: bool,
}

/// The whole command.
///
/// # Errors
/// As its exit codes say.
pub async fn run(command: Command) -> Result<(), Failure> {
    let Command::Replay(args) = command;
    let variable = std::env::var(client::TOKEN_VARIABLE).ok();
    let token = Token::read(args.token_file.as_ref(), variable)?;
    let base = client::parse_url(&args.url)?;
    let http = client::http_client(&base, token, &args.tls)?;
    let until = args.until.unwrap_or_else(crate::clock::timestamp);
    let mut replay = Replay {
        to: Delivery::new(http.clone(), events_url(&base, &args.to), TIMEOUT, |note| {
            tell(&Told::Delivery(note))
        }),
        from: events_url(&base, &args.channel),
        http,
        until: u64::try_from(until.as_millisecond()).unwrap_or_default(),
        speed: args.speed,
        end: args.end,
        run: format!("{:016x}", rand::random::<u64>()),
        published: 0,
        last: None,
        began: None,
    };
    let done = replay.all(args.after, args.from).await;
    match (&done, &replay.last) {
        (Err(_), Some(last)) => tell(&Told::Stopped { last: last.clone() }),
        _ => tell(&Told::Done {
            published: replay.published,
        }),
    }
    done
}

fn events_url(base: &Url, channel: &ChannelName) -> Url {
    let mut url = base.clone();
    let path = base.path().trim_end_matches('/');
    let name = client::percent_encode(channel.as_str());
    url.set_path(&format!("{path}/v1/channels/{name}/events"));
    url.set_query(None);
    url
}

struct Replay<T> {
    http: Client,
    from: Url,
    to: Delivery<T>,
    until: u64,
    speed: Option<f64>,
    end: bool,
    /// Makes each event's key, so that a publish that was not answered is not made twice.
    run: String,
    published: u64,
    last: Option<String>,
    /// The first event's time, and when it was published again.
    began: Option<(u64, Instant)>,
}

impl<T: FnMut(Note)> Replay<T> {
    async fn all(
        &mut self,
        after: Option<String>,
        from: Option<jiff::Timestamp>,
    ) -> Result<(), Failure> {
        let mut query = match (after, from) {
            (Some(id), _) => format!("after={}", client::percent_encode(&id)),
            (None, Some(time)) => format!("from={}", client::percent_encode(&time.to_string())),
            (None, None) => String::new(),
        };
        let mut told = Instant::now();
        loop {
            let page = self.page(&query).await?;
            if let Some(gap) = page.gap {
                let (reason, certain) = (gap.reason, gap.certain);
                tell(&Told::Gap { reason, certain });
            }
            for event in &page.events {
                let at = published_at(&event.id);
                if at.is_some_and(|at| at >= self.until) {
                    return Ok(());
                }
                self.wait(at).await;
                self.publish(event).await?;
                if let Some(at) = at.filter(|_| told.elapsed() >= TELL_EVERY) {
                    told = Instant::now();
                    let published = self.published;
                    tell(&Told::Progress { published, at });
                }
            }
            match page.next {
                Some(next) => query = format!("after={}", client::percent_encode(&next)),
                None => return Ok(()),
            }
        }
    }

    async fn page(&self, query: &str) -> Result<Page, Failure> {
        let mut url = self.from.clone();
        url.set_query(Some(&format!("limit={PAGE}&{query}")));
        let to = client::shown(&url);
        let answer = self.http.get(url).timeout(TIMEOUT).send().await;
        let answer = answer.map_err(|error| client::unanswered(&to, error))?;
        let status = answer.status();
        let body = client::whole(answer)
            .await
            .map_err(|error| client::unanswered(&to, error))?;
        if status != StatusCode::OK {
            let problem = client::Problem::new(status, &body);
            return Err(Failure::Refused { to, problem });
        }
        serde_json::from_slice(&body).map_err(|error| Failure::Answer {
            to,
            why: error.to_string(),
        })
    }

    /// Until it is this event's turn.
    async fn wait(&mut self, at: Option<u64>) {
        let (Some(at), Some(speed)) = (at, self.speed) else {
            return;
        };
        let (first, began) = *self.began.get_or_insert_with(|| (at, Instant::now()));
        tokio::time::sleep(pause(at.saturating_sub(first), speed, began.elapsed())).await;
    }

    async fn publish(&mut self, event: &Event) -> Result<(), Failure> {
        let key = format!("replay-{}-{}", self.run, event.id);
        let body = serde_json::to_vec(&envelope(event, self.end)).expect("it is JSON");
        self.to.event(Bytes::from(body), key).await?;
        self.published += 1;
        self.last = Some(event.id.clone());
        Ok(())
    }
}

/// When an event was published, as its id tells; `None` for an id of somebody else's.
fn published_at(id: &str) -> Option<u64> {
    let places = Places::parse(id)?;
    places.iter().map(|place| place.id.unix_millis()).max()
}

/// How long an event waits that came so many milliseconds after the first one.
fn pause(since_first: u64, speed: f64, elapsed: Duration) -> Duration {
    let due = (since_first as f64 / speed).min(LONGEST_PAUSE.as_millis() as f64 * 1_000.0);
    let due = Duration::from_secs_f64(due / 1_000.0);
    due.saturating_sub(elapsed).min(LONGEST_PAUSE)
}

/// The event as a publish has it.
fn envelope(event: &Event, end: bool) -> Value {
    let mut envelope = json!({
        "event": event.event,
        "data": event.data,
        "attributes": event.attributes,
    });
    if let Some(retry) = event.retry {
        envelope["retry"] = retry.into();
    }
    if let Some(time) = &event.time {
        envelope["time"] = time.as_str().into();
    }
    if event.end && end {
        envelope["end"] = true.into();
    }
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_waits_for_its_turn_and_what_is_late_does_not() {
        let ms = Duration::from_millis;
        assert_eq!(pause(1_000, 1.0, ms(0)), ms(1_000));
        assert_eq!(pause(1_000, 10.0, ms(20)), ms(80));
        assert_eq!(pause(1_000, 10.0, ms(200)), ms(0));
        assert_eq!(pause(u64::MAX, 1.0, ms(0)), LONGEST_PAUSE);
    }

    #[test]
    fn the_end_of_a_channel_is_replayed_only_if_that_is_asked_for() {
        let event: Event = serde_json::from_value(json!({
            "id": "0C-AZq1pqF7sq--", "event": "paid", "data": "x", "attributes": {"a": "b"},
            "time": "2026-11-21T08:00:00Z", "end": true,
        }))
        .unwrap();
        assert_eq!(envelope(&event, true)["end"], true);
        assert!(envelope(&event, false).get("end").is_none());
        assert_eq!(envelope(&event, false)["time"], "2026-11-21T08:00:00Z");
    }

    #[test]
    fn a_speed_is_a_number_above_nothing() {
        for wrong in ["", "0", "-1", "nan", "inf", "fast"] {
            assert!(parse_speed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_speed("2.5"), Ok(2.5));
    }
}
