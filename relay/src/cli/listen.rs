//! `sse-relay listen`: prints a stream's events, and comes back where it was when the stream ends.

pub mod note;
pub mod render;
pub mod target;

use super::{
    backoff::Backoff,
    client::{self, Failure, Problem, TlsArgs, Token},
    swf::{self, ClientDialect},
};
use crate::{
    event::RESERVED_TYPES,
    sse_parser::{Item, Parser},
};
use jiff::Timestamp;
use note::{Note, Summary};
use render::Form;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use std::{convert::Infallible, future::Future, io, mem, path::PathBuf, time::Duration};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The wait before the first return to a server that sent no `retry:`.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The last event id, of whichever server (WHATWG HTML, 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";
/// Answers that a relay or a proxy gives for a while only.
const PASSING: [u16; 5] = [429, 500, 502, 503, 504];

/// Print the events of a relay, or of any server-sent events server, as they come.
///
/// Comes back by itself and resumes after the last event. Ends when the server says that there is
/// no more (204), after --count events, or with Ctrl-C. Exit codes: 0 ended well, 1 failed, 2 wrong
/// usage, 3 refused by the server, 4 cannot connect.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The relay; or, with a path, the whole URL of a stream of any server [default: http://127.0.0.1:8080]
    #[arg(value_name = "URL", env = client::URL_VARIABLE, hide_env_values = true)]
    pub url: Option<String>,
    /// A channel, or a pattern such as `orders.*`. May be given several times.
    #[arg(long = "channel", value_name = "CHANNEL", value_parser = target::parse_channel)]
    pub channels: Vec<String>,
    /// Only events whose attribute has one of these values. Given several times, all must hold.
    #[arg(long = "filter", value_name = "ATTRIBUTE=A,B", value_parser = target::parse_filter)]
    pub filters: Vec<target::FilterArg>,
    /// Where to begin: `earliest`, `latest`, or a time such as 2026-11-21T09:00:00Z.
    #[arg(long, value_name = "CURSOR", value_parser = target::parse_from)]
    pub from: Option<String>,
    /// Resume after this id.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub last_event_id: String,
    /// One JSON object a line: {"id","event","data"}.
    #[arg(long)]
    pub json: bool,
    /// End after so many events; control events such as heartbeats do not count.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Ask for the control event that tells the connection's id.
    #[arg(long)]
    pub connected: bool,
    /// How the relay shows that it lives.
    #[arg(long, value_enum)]
    pub heartbeat: Option<target::Heartbeat>,
    /// End when the stream ends.
    #[arg(long)]
    pub no_reconnect: bool,
    /// Keep trying from the start, also before a first connection.
    #[arg(long)]
    pub wait: bool,
    /// The longest wait between two attempts, also when the server asks for a longer one.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = client::parse_duration)]
    pub max_wait: Duration,
    /// A name for this client in the relay's lists.
    #[arg(long, value_name = "NAME")]
    pub client: Option<String>,
    /// A file with the token. Without it the token is taken from SSE_RELAY_TOKEN, if that is set.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Be another system's client: read its settings, speak to it as it expects, print what it prints.
    ///
    /// `swf` is the remote receiver of swf-testbed. It needs SWF_API_TOKEN and SWF_SSE_RECEIVER_NAME, and
    /// knows SWF_MONITOR_PROD_URL; it prints to standard output whatever happens, and keeps trying.
    #[arg(long, value_enum, conflicts_with_all = ["channels", "filters", "from", "last_event_id", "json",
        "connected", "heartbeat", "wait", "client"])]
    pub dialect: Option<ClientDialect>,
    /// With --dialect swf: only these types of messages.
    #[arg(long = "message", visible_alias = "msg-type", value_name = "A,B", value_delimiter = ',', value_parser = trimmed)]
    pub messages: Vec<String>,
    /// With --dialect swf: only messages that these agents processed.
    #[arg(
        long = "agent",
        value_name = "A,B",
        value_delimiter = ',',
        requires = "dialect"
    )]
    pub agents: Vec<String>,
    /// With --dialect swf: there is no monitor to register with.
    #[arg(long)]
    pub no_register: bool,
}

fn trimmed(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
}

/// The whole command: events on standard output, what happens on standard error.
pub async fn run(args: Args) -> Result<(), Failure> {
    if let Some(ClientDialect::Swf) = args.dialect {
        return swf::receiver::run(args).await;
    }
    swf::unneeded(&[
        ("--message", !args.messages.is_empty()),
        ("--agent", !args.agents.is_empty()),
        ("--no-register", args.no_register),
    ])?;
    let variable = std::env::var(client::TOKEN_VARIABLE).ok();
    let token = Token::read(args.token_file.as_ref(), variable)?;
    let tell = |note: Note| {
        use std::io::Write;
        // Who closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "sse-relay: {note}");
    };
    listen(args, token, tokio::io::stdout(), stop_signal(), tell).await
}

/// Ctrl-C, or the request to end that a supervisor sends.
pub(super) async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminated.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the signal ends the process as ever.
        std::future::pending::<()>().await;
    }
}

/// Writes events to `out` until the stream is at its end or `stop` is ready, and tells what happens.
pub async fn listen<W: AsyncWrite + Unpin>(
    args: Args,
    token: Option<Token>,
    out: W,
    stop: impl Future<Output = ()>,
    tell: impl FnMut(Note),
) -> Result<(), Failure> {
    let url = target::stream_url(&args)?;
    let mut listener = Listener {
        http: client::http_client(&url, token, &args.tls)?,
        to: client::shown(&url),
        url,
        backoff: Backoff::new(FIRST_WAIT, args.max_wait),
        last_event_id: args.last_event_id.clone(),
        before: Before::NeverConnected,
        summary: Summary::default(),
        args,
        out,
        tell,
    };
    let result = tokio::select! {
        result = listener.listen() => result,
        () = stop => Ok(()),
    };
    if listener.before == Before::Connected {
        (listener.tell)(Note::Closed(listener.summary));
    }
    result
}

/// Whether there was ever a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    NeverConnected,
    Connected,
}

/// How one attempt ended, other than with a failure that is for good.
enum Attempt {
    /// There is no more to come, or no more is wanted.
    Finished,
    /// The server closed the stream properly.
    Ended,
    /// Worth another try.
    Failed(Failure, Option<Duration>),
}

/// Whether to read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    Continue,
    Finished,
}

struct Listener<W, T> {
    http: Client,
    url: Url,
    /// The URL as it may be shown.
    to: String,
    args: Args,
    backoff: Backoff,
    last_event_id: String,
    before: Before,
    summary: Summary,
    out: W,
    tell: T,
}

impl<W: AsyncWrite + Unpin, T: FnMut(Note)> Listener<W, T> {
    async fn listen(&mut self) -> Result<(), Failure> {
        loop {
            let (why, asked) = match self.attempt().await? {
                Attempt::Finished => return Ok(()),
                Attempt::Ended if self.args.no_reconnect => return Ok(()),
                Attempt::Failed(failure, _) if !self.may_return() => return Err(failure),
                Attempt::Ended => ("the server closed the stream".to_owned(), None),
                Attempt::Failed(failure, asked) => (failure.to_string(), asked),
            };
            let wait = self.backoff.next_wait(rand::random());
            let wait = wait.max(asked.unwrap_or_default()).min(self.args.max_wait);
            (self.tell)(Note::Reconnecting { why, wait });
            tokio::time::sleep(wait).await;
            self.summary.reconnects += 1;
        }
    }

    fn may_return(&self) -> bool {
        match self.before {
            Before::NeverConnected => self.args.wait,
            Before::Connected => !self.args.no_reconnect,
        }
    }

    async fn attempt(&mut self) -> Result<Attempt, Failure> {
        let mut request = self
            .http
            .get(self.url.clone())
            .header(ACCEPT, "text/event-stream")
            .header(CACHE_CONTROL, "no-cache");
        if !self.last_event_id.is_empty() {
            let id = client::header("the last event id", &self.last_event_id)?;
            request = request.header(LAST_EVENT_ID, id);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Failed(client::unanswered(&self.to, error), None)),
        };
        match response.status() {
            StatusCode::OK => self.read(response).await,
            StatusCode::NO_CONTENT => {
                (self.tell)(Note::NoMore);
                Ok(Attempt::Finished)
            }
            _ => self.refused(response).await,
        }
    }

    async fn refused(&mut self, response: Response) -> Result<Attempt, Failure> {
        let status = response.status();
        let asked = client::retry_after(response.headers());
        let body = client::body(response).await.unwrap_or_default();
        let failure = Failure::Refused {
            to: self.to.clone(),
            problem: Problem::new(status, &body),
        };
        if PASSING.contains(&status.as_u16()) {
            Ok(Attempt::Failed(failure, asked))
        } else {
            Err(failure)
        }
    }

    async fn read(&mut self, mut response: Response) -> Result<Attempt, Failure> {
        let to = self.to.clone();
        if let Some(found) = other_than_a_stream(&response) {
            return Err(Failure::NotAStream { to, found });
        }
        self.before = Before::Connected;
        (self.tell)(Note::Connected {
            to: to.clone(),
            after: self.last_event_id.clone(),
        });
        let mut parser = Parser::resuming(mem::take(&mut self.last_event_id));
        let mut items = Vec::new();
        let attempt = loop {
            let bytes = match response.chunk().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break Attempt::Ended,
                Err(error) => {
                    let why = client::root_cause(error);
                    break Attempt::Failed(Failure::Lost { to, why }, None);
                }
            };
            self.backoff.reset();
            let parsed = parser.push(&bytes, &mut items);
            for item in items.drain(..) {
                if self.take(item).await? == Flow::Finished {
                    return Ok(Attempt::Finished);
                }
            }
            parsed.map_err(|source| Failure::Stream {
                to: to.clone(),
                source,
            })?;
        };
        self.last_event_id = parser.last_event_id().to_owned();
        Ok(attempt)
    }

    async fn take(&mut self, item: Item) -> Result<Flow, Failure> {
        let (kind, data, last_event_id) = match item {
            Item::Retry(milliseconds) => {
                self.backoff.start_from(Duration::from_millis(milliseconds));
                return Ok(Flow::Continue);
            }
            Item::Event {
                kind,
                data,
                last_event_id,
            } => (kind, data, last_event_id),
        };
        let form = if self.args.json {
            Form::Json
        } else {
            Form::Readable(Timestamp::now())
        };
        let text = render::event(form, &last_event_id, &kind, &data);
        if let Err(error) = self.write(text.as_bytes()).await {
            return match error.kind() {
                // Who reads has enough.
                io::ErrorKind::BrokenPipe => Ok(Flow::Finished),
                _ => Err(Failure::Output(error)),
            };
        }
        Ok(self.count(&kind, data))
    }

    async fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text).await?;
        self.out.flush().await
    }

    fn count(&mut self, kind: &str, data: String) -> Flow {
        if RESERVED_TYPES.contains(&kind) {
            if kind == "gap" {
                self.summary.gaps += 1;
            }
            if let Some(note) = note::of_control(kind, data) {
                (self.tell)(note);
            }
            return Flow::Continue;
        }
        self.summary.events += 1;
        if self.args.count == Some(self.summary.events) {
            return Flow::Finished;
        }
        Flow::Continue
    }
}

/// What an answer is if it is not an event stream. Parameters of the type say nothing: the text is
/// UTF-8 always.
fn other_than_a_stream(response: &Response) -> Option<String> {
    let Some(value) = response.headers().get(CONTENT_TYPE) else {
        return Some("no content type".to_owned());
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let essence = text.split(';').next().unwrap_or_default().trim();
    (!essence.eq_ignore_ascii_case("text/event-stream")).then(|| format!("`{text}`"))
}
