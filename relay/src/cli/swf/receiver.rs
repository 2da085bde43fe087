//! `sse-relay listen --dialect swf`: the remote receiver.

use super::{
    Access, DEFAULT_MONITOR, MONITOR, below,
    monitor::{Agent, Monitor, wait_after},
    printed::{self, Asked, Trouble},
    variables::Variables,
};
use crate::{
    cli::{
        backoff::Backoff,
        client::{self, Failure, Problem},
        listen::{self, Args},
    },
    sse_parser::{Item, Parser},
};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, CACHE_CONTROL, LOCATION},
};
use std::{future::Future, io, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
};

/// What this agent is called in the monitor.
const NAME: &str = "SWF_SSE_RECEIVER_NAME";
/// Longest wait for the status.
const STATUS_TIMEOUT: Duration = Duration::from_secs(20);
/// A stream that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(3600);
/// The wait after anything that went wrong.
const WAIT: Duration = Duration::from_secs(15);
/// The first wait after a stream that ended properly.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The whole command, on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let out = tokio::io::stdout();
    receive(args, Variables::read(), out, listen::stop_signal()).await
}

/// Prints messages to `out` until `stop` is ready, or as many as the arguments say.
pub async fn receive<W: AsyncWrite + Unpin>(
    args: Args,
    variables: Variables,
    out: W,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut receiver = Receiver::new(args, &variables, out)?;
    tokio::select! {
        result = receiver.run() => match result {
            // who reads has enough
            Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        },
        () = stop => Ok(()),
    }
}

/// How one stream ended.
enum Ended {
    /// As many messages as were wanted.
    Enough,
    /// The server closed it.
    Closed,
    Failed(Trouble),
}

struct Receiver<W> {
    http: Client,
    stream: Url,
    status: Url,
    monitor: Option<Monitor>,
    agent: Agent,
    /// What it is told before it begins.
    introduction: String,
    last_event_id: String,
    received: u64,
    backoff: Backoff,
    args: Args,
    out: W,
}

impl<W: AsyncWrite + Unpin> Receiver<W> {
    fn new(args: Args, variables: &Variables, out: W) -> Result<Receiver<W>, Failure> {
        let url = args.url.as_deref();
        let access = Access::of(variables, url, args.token_file.as_ref(), &args.tls)?;
        let name = variables.required(NAME, "the name of this receiver in the monitor")?;
        let mut stream = below(&access.streams, "/api/messages/stream/");
        stream.set_query(query(&args).as_deref());
        let monitor = match args.no_register {
            true => None,
            false => Some(Monitor::new(&access)?),
        };
        Ok(Receiver {
            http: access.http_client(&access.streams)?,
            status: below(&access.streams, "/api/messages/stream/status/"),
            introduction: introduction(&args, &access, &stream),
            stream,
            monitor,
            agent: Agent {
                name,
                kind: "sse_receiver",
                state: "STARTING",
            },
            last_event_id: String::new(),
            received: 0,
            backoff: Backoff::new(FIRST_WAIT, args.max_wait.min(WAIT)),
            args,
            out,
        })
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let introduction = std::mem::take(&mut self.introduction);
        self.say(&introduction).await?;
        self.register().await?;
        loop {
            match self.attempt().await? {
                Ended::Enough => return Ok(()),
                Ended::Closed if self.args.no_reconnect => return Ok(()),
                Ended::Closed => {
                    let wait = self.backoff.next_wait(rand::random());
                    tokio::time::sleep(wait).await;
                }
                Ended::Failed(trouble) => self.tell_and_wait(trouble, WAIT).await?,
            }
        }
    }

    /// The monitor numbers its agents; this one has a name of its own, and asks as all do.
    async fn register(&mut self) -> Result<(), Failure> {
        let Some(monitor) = self.monitor.clone() else {
            return Ok(());
        };
        let mut failures = 0;
        while let Err(failure) = monitor.next_agent_id().await {
            failures += 1;
            let trouble = trouble_of(Asked::Registration, failure);
            self.tell_and_wait(trouble, wait_after(failures)).await?;
        }
        Ok(())
    }

    async fn tell_and_wait(&mut self, trouble: Trouble, wait: Duration) -> Result<(), Failure> {
        if self.args.no_reconnect {
            self.say(&format!("{trouble}\n")).await?;
            return Err(trouble.into_failure());
        }
        let wait = wait.min(self.args.max_wait);
        let seconds = wait.as_secs_f64();
        self.say(&format!("{trouble}\n   Retrying in {seconds} seconds...\n"))
            .await?;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn attempt(&mut self) -> Result<Ended, Failure> {
        self.say("🔌 Testing SSE endpoint...\n").await?;
        let status = self
            .http
            .get(self.status.clone())
            .header(ACCEPT, "application/json")
            .timeout(STATUS_TIMEOUT);
        if let Err(trouble) = self.ask(Asked::Status, status).await {
            return Ok(Ended::Failed(trouble));
        }
        let mut stream = self
            .http
            .get(self.stream.clone())
            .header(ACCEPT, "text/event-stream")
            .header(CACHE_CONTROL, "no-cache");
        if !self.last_event_id.is_empty() {
            let id = client::header("the last event id", &self.last_event_id)?;
            stream = stream.header("last-event-id", id);
        }
        match self.ask(Asked::Stream, stream).await {
            Ok(response) => self.read(response).await,
            Err(trouble) => Ok(Ended::Failed(trouble)),
        }
    }

    /// An answer other than 200 is trouble.
    async fn ask(
        &self,
        asked: Asked,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, Trouble> {
        let to = match asked {
            Asked::Stream => client::shown(&self.stream),
            Asked::Status | Asked::Registration => client::shown(&self.status),
        };
        let response = request
            .send()
            .await
            .map_err(|error| Trouble::Connection(client::unanswered(&to, error)))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let location = response.headers().get(LOCATION);
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let body = client::body(response).await.unwrap_or_default();
        Err(Trouble::of_answer(
            asked,
            Failure::Refused {
                to,
                problem: Problem::new(status, &body),
            },
            status,
            location,
        ))
    }

    async fn read(&mut self, mut response: Response) -> Result<Ended, Failure> {
        let to = client::shown(&self.stream);
        let opened = "✅ SSE stream opened - waiting for events... (Ctrl+C to exit)\n";
        self.say(&format!("{opened}{}", printed::rule())).await?;
        let (tell, mut troubles) = mpsc::channel(1);
        let mut heartbeats = JoinSet::new();
        if let Some(monitor) = self.monitor.clone() {
            heartbeats.spawn(monitor.keep_alive(self.agent.clone(), tell));
        }
        let mut parser = Parser::resuming(self.last_event_id.clone());
        let mut items = Vec::new();
        loop {
            let bytes = tokio::select! {
                bytes = tokio::time::timeout(SILENCE, response.chunk()) => bytes,
                Some(failure) = troubles.recv() => {
                    self.say(&format!("⚠️  Heartbeat failed: {failure}\n")).await?;
                    continue;
                }
            };
            let bytes = match bytes {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Ok(Ended::Closed),
                Ok(Err(error)) => {
                    let why = client::root_cause(error);
                    return Ok(Ended::Failed(Trouble::Connection(Failure::Lost {
                        to,
                        why,
                    })));
                }
                Err(_elapsed) => return Ok(Ended::Failed(Trouble::Silent { to, time: SILENCE })),
            };
            self.backoff.reset();
            let parsed = parser.push(&bytes, &mut items);
            self.last_event_id = parser.last_event_id().to_owned();
            for item in items.drain(..) {
                self.take(item).await?;
                if self.args.count.is_some_and(|count| self.received >= count) {
                    return Ok(Ended::Enough);
                }
            }
            if let Err(source) = parsed {
                let failure = Failure::Stream { to, source };
                return Ok(Ended::Failed(Trouble::Connection(failure)));
            }
        }
    }

    async fn take(&mut self, item: Item) -> Result<(), Failure> {
        let (kind, data) = match item {
            Item::Retry(milliseconds) => {
                let wait = Duration::from_millis(milliseconds);
                self.backoff.start_from(wait);
                return Ok(());
            }
            Item::Event { kind, data, .. } => (kind, data),
        };
        let at = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        let Some(printed) = printed::event(&at, &kind, &data) else {
            return Ok(());
        };
        self.received += u64::from(kind != "connected");
        self.say(&printed).await
    }

    async fn say(&mut self, text: &str) -> Result<(), Failure> {
        let written = async {
            self.out.write_all(text.as_bytes()).await?;
            self.out.flush().await
        };
        written.await.map_err(Failure::Output)
    }
}

/// What the monitor's refusal of a registration is.
fn trouble_of(asked: Asked, failure: Failure) -> Trouble {
    match failure {
        Failure::Refused { ref problem, .. } => {
            let status = problem.status;
            Trouble::of_answer(asked, failure, status, None)
        }
        failure @ Failure::Answer { .. } => Trouble::Unavailable { asked, failure },
        failure => Trouble::Connection(failure),
    }
}

/// What is chosen, as the monitor's stream takes it.
fn query(args: &Args) -> Option<String> {
    let list = |name: &str, items: &[String]| {
        let items: Vec<String> = items
            .iter()
            .map(|item| client::percent_encode(item.trim()))
            .collect();
        (!items.is_empty()).then(|| format!("{name}={}", items.join(",")))
    };
    let lists = [
        list("msg_types", &args.messages),
        list("agents", &args.agents),
    ];
    let lists: Vec<String> = lists.into_iter().flatten().collect();
    (!lists.is_empty()).then(|| lists.join("&"))
}

/// What is printed at the start. The receiver showed the beginning of its token, this one does not.
fn introduction(args: &Args, access: &Access, stream: &Url) -> String {
    let mut lines = Vec::new();
    let monitor = client::shown(&access.streams);
    if monitor == DEFAULT_MONITOR {
        lines.push(format!(
            "ℹ️  Using default production URL: {monitor} (override with {MONITOR})"
        ));
    }
    lines.push("🔧 Remote SSE Receiver initialized".to_owned());
    lines.push(format!("   Monitor base: {monitor}"));
    if let Some(ca) = &access.tls.ca {
        lines.push(format!("   CA bundle:   {}", ca.display()));
    }
    let chosen = [("messages", &args.messages), ("agents", &args.agents)]
        .into_iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(name, items)| format!("{name}: {}", items.join(", ")));
    let chosen: Vec<String> = chosen.collect();
    lines.push(match chosen.is_empty() {
        true => "📬 Receiving all messages (no filtering)".to_owned(),
        false => format!("🔍 Filtering enabled - {}", chosen.join(" | ")),
    });
    let query = stream
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    lines.push(format!(
        "📡 Connecting to SSE stream: {monitor}/api/messages/stream/{query}"
    ));
    lines.join("\n") + "\n"
}
