//! `sse-relay publish`: hands events to a relay.

pub mod batch;
pub mod delivery;
pub mod envelope;

use super::{
    client::{self, Failure, TlsArgs, Token},
    swf::{self, ClientDialect},
};
use crate::channel::ChannelName;
use batch::Lines;
use bytes::Bytes;
use delivery::{Delivery, Note};
use reqwest::Url;
use std::{io, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::MissedTickBehavior,
};

/// Most bytes that standard input may have as one event. The relay's own limit is far lower; this
/// one keeps a wrong file out of memory.
const MAX_INPUT: usize = 64 * 1024 * 1024;

/// Publish events to a channel of a relay.
///
/// Prints the id of each event. Tries again while the relay is away or says so, for --timeout; a
/// try that was not answered is recognized by its idempotency key, so that no event comes twice.
/// Exit codes: 0 all published, 1 failed, 2 wrong usage, 3 refused by the server, 4 cannot connect.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The relay.
    #[arg(long, value_name = "URL", env = client::URL_VARIABLE, hide_env_values = true, default_value = client::DEFAULT_URL)]
    pub url: String,
    /// The channel.
    #[arg(value_parser = parse_channel, required_unless_present = "dialect")]
    pub channel: Option<ChannelName>,
    /// The event's data. Without it, or with `-`, standard input is one event, its last line end
    /// left out.
    #[arg(conflicts_with = "ndjson")]
    pub data: Option<String>,
    /// Each line of standard input is an event: {"event","data","attributes","retry","time","end"}.
    #[arg(long, conflicts_with_all = ["kind", "attributes", "retry", "end", "json", "every", "idempotency_key"])]
    pub ndjson: bool,
    /// The event's type; `message` if not given.
    #[arg(long = "type", value_name = "TYPE", id = "kind")]
    pub kind: Option<String>,
    /// An attribute for filters. May be given several times.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute)]
    pub attributes: Vec<(String, String)>,
    /// Tell subscribers to wait so many milliseconds before they reconnect.
    #[arg(long, value_name = "MS")]
    pub retry: Option<u32>,
    /// Finish the channel with this event. Without DATA there is no more than the end.
    #[arg(long, conflicts_with = "every")]
    pub end: bool,
    /// DATA is JSON, and is sent as JSON.
    #[arg(long)]
    pub json: bool,
    /// Publishing twice with one key publishes once.
    #[arg(long, value_name = "KEY", conflicts_with = "every")]
    pub idempotency_key: Option<String>,
    /// Publish again and again, this far apart.
    #[arg(long, value_name = "TIME", value_parser = client::parse_duration)]
    pub every: Option<Duration>,
    /// How often, with --every.
    #[arg(long, value_name = "N", requires = "every", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// How long to keep trying to publish one event, or one batch of lines.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = client::parse_duration)]
    pub timeout: Duration,
    /// A file with the token. Without it the token is taken from SSE_RELAY_TOKEN, if that is set.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsArgs,
    /// Be another system's publisher.
    ///
    /// `swf` is the remote sender of swf-testbed: three test messages every 30 s (SWF_SENDER_BATCH_INTERVAL),
    /// or once with SWF_SENDER_ONESHOT=1, to the channel workflow_events unless another one is named. It needs
    /// SWF_API_TOKEN, which is shown to the relay too unless that has a token of its own.
    #[arg(long, value_enum, conflicts_with_all = ["data", "ndjson", "kind", "attributes", "retry", "end", "json",
        "every", "idempotency_key"])]
    pub dialect: Option<ClientDialect>,
    /// With --dialect swf: there is no monitor to register with.
    #[arg(long)]
    pub no_register: bool,
}

fn parse_channel(text: &str) -> Result<ChannelName, String> {
    ChannelName::parse(text).map_err(|error| error.to_string())
}

fn parse_attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The whole command: data from standard input if need be, ids on standard output, what else
/// happens on standard error.
pub async fn run(args: Args) -> Result<(), Failure> {
    if let Some(ClientDialect::Swf) = args.dialect {
        return swf::sender::run(args).await;
    }
    swf::unneeded(&[("--no-register", args.no_register)])?;
    let variable = std::env::var(client::TOKEN_VARIABLE).ok();
    let token = Token::read(args.token_file.as_ref(), variable)?;
    publish(args, token, tokio::io::stdin(), tokio::io::stdout(), tell).await
}

/// On standard error. Who closed that does not want to know.
pub(super) fn tell(note: Note) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "sse-relay: {note}");
}

/// Publishes what the arguments say, with data from `input` if they name none; ids go to `out`.
pub async fn publish<R, W, T>(
    args: Args,
    token: Option<Token>,
    input: R,
    out: W,
    tell: T,
) -> Result<(), Failure>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    T: FnMut(Note),
{
    let channel = args.channel.as_ref().ok_or(Failure::NoTarget)?;
    let url = events_url(&args.url, channel)?;
    let http = client::http_client(&url, token, &args.tls)?;
    let delivery = Delivery::new(http, url, args.timeout, tell);
    let ids = Ids(out);
    if args.ndjson {
        return batch::publish_lines(Lines::new(input), delivery, ids).await;
    }
    let data = match args.data.as_deref() {
        None if args.end => None,
        None | Some("-") => Some(read_whole(input).await?),
        Some(data) => Some(data.to_owned()),
    };
    let body = envelope::of(&args, data.as_deref())?;
    publish_event(&args, body, delivery, ids).await
}

async fn publish_event<W: AsyncWrite + Unpin, T: FnMut(Note)>(
    args: &Args,
    body: Bytes,
    mut delivery: Delivery<T>,
    mut ids: Ids<W>,
) -> Result<(), Failure> {
    let Some(every) = args.every else {
        let key = args.idempotency_key.clone();
        let id = delivery.event(body, key.unwrap_or_else(new_key)).await?;
        return ids.print(&id).await;
    };
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published = 0;
    while args.count.is_none_or(|count| published < count) {
        ticks.tick().await;
        let id = delivery.event(body.clone(), new_key()).await?;
        ids.print(&id).await?;
        published += 1;
    }
    Ok(())
}

/// A key that no other try has.
pub(super) fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Where a channel's events go. A path in the relay's URL is a prefix, such as a proxy has.
pub(super) fn events_url(relay: &str, channel: &ChannelName) -> Result<Url, Failure> {
    let mut url = client::parse_url(relay)?;
    let prefix = url.path().trim_end_matches('/').to_owned();
    let channel = client::percent_encode(channel.as_str());
    url.set_path(&format!("{prefix}/v1/channels/{channel}/events"));
    Ok(url)
}

async fn read_whole(input: impl AsyncRead + Unpin) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut input = input.take(MAX_INPUT as u64 + 1);
    input
        .read_to_end(&mut bytes)
        .await
        .map_err(Failure::Input)?;
    if bytes.len() > MAX_INPUT {
        return Err(Failure::InputTooLarge {
            what: "an event",
            max: MAX_INPUT,
        });
    }
    let mut text = String::from_utf8(bytes).map_err(|_| Failure::InputNotText)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Where ids are printed.
struct Ids<W>(W);

impl<W: AsyncWrite + Unpin> Ids<W> {
    /// Events are published whether or not anybody reads their ids.
    async fn print(&mut self, id: &str) -> Result<(), Failure> {
        let line = format!("{id}\n");
        match self.write(line.as_bytes()).await {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(()),
        }
    }

    async fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line).await?;
        self.0.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Result<Args, clap::Error> {
        let line = ["publish"].iter().chain(line);
        Cli::try_parse_from(line).map(|cli| cli.args)
    }

    #[test]
    fn a_channel_is_one_segment_of_the_path() {
        let url = |base, channel| {
            let args = args(&["--url", base, channel]).unwrap();
            events_url(&args.url, args.channel.as_ref().unwrap()).map(|url| url.to_string())
        };
        assert_eq!(
            url("http://h:1", "a/b c?").unwrap(),
            "http://h:1/v1/channels/a%2Fb%20c%3F/events"
        );
        assert_eq!(
            url("https://h/relay/", "é").unwrap(),
            "https://h/relay/v1/channels/%C3%A9/events"
        );
        assert!(args(&["--url", "http://h", ".."]).is_err());
        assert_eq!(url("h", "a").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        for bad in [
            &["a*"][..],
            &["@subject/x"],
            &["c", "x", "--ndjson"],
            &["c", "--ndjson", "--type", "t"],
            &["c", "x", "--count", "2"],
            &["c", "x", "--every", "1s", "--idempotency-key", "k"],
            &["c", "x", "--attribute", "novalue"],
            &[],
            &["c", "x", "--dialect", "swf"],
        ] {
            assert!(args(bad).is_err(), "{bad:?}");
        }
        assert!(args(&["c", "x", "--every", "1s", "--count", "2"]).is_ok());
        assert!(args(&["--dialect", "swf"]).is_ok());
    }

    #[tokio::test]
    async fn standard_input_is_one_event_without_its_last_line_end() {
        for (input, wanted) in [
            ("a\nb\n", "a\nb"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("", ""),
        ] {
            assert_eq!(read_whole(input.as_bytes()).await.unwrap(), wanted);
        }
        let failure = read_whole(&b"\xff"[..]).await.unwrap_err();
        assert!(matches!(failure, Failure::InputNotText));
    }
}
