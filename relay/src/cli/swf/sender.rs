//! `sse-relay publish --dialect swf`: the remote sender. Its messages go to the relay, not into ActiveMQ.

use super::{
    Access,
    monitor::{Agent, Monitor, wait_after},
    variables::Variables,
};
use crate::{
    channel::ChannelName,
    cli::{
        client::{self, Failure, Token},
        publish::{self, Args, delivery::Delivery, delivery::Note},
    },
};
use bytes::Bytes;
use serde::Serialize;
use std::{io, time::Duration};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Ends it after one batch.
const ONESHOT: &str = "SWF_SENDER_ONESHOT";
/// Seconds between batches.
const INTERVAL: &str = "SWF_SENDER_BATCH_INTERVAL";
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// Between the messages of a batch.
const PAUSE: Duration = Duration::from_secs(1);
/// Where swf-monitor's stream is read from.
const CHANNEL: &str = "workflow_events";
const RUN: &str = "test-run-001";
const FILE: &str = "test_file_001.dat";

/// A message as agents of the testbed send it; the order of its fields is theirs.
#[derive(Serialize)]
struct Message<'a> {
    msg_type: &'static str,
    processed_by: &'a str,
    run_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'static str>,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'static str>,
    sender: &'a str,
}

/// The whole command, on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let variables = Variables::read();
    send(args, &variables, tokio::io::stdout(), publish::tell).await
}

/// Sends batches for as long as the variables say.
pub async fn send<W: AsyncWrite + Unpin>(
    args: Args,
    variables: &Variables,
    out: W,
    tell: impl FnMut(Note),
) -> Result<(), Failure> {
    let access = Access::of(variables, None, args.token_file.as_ref(), &args.tls)?;
    let monitor = match args.no_register {
        true => None,
        false => Some(Monitor::new(&access)?),
    };
    let channel = args.channel.clone().unwrap_or_else(|| {
        ChannelName::parse(CHANNEL).expect("letters and a line are a channel's name")
    });
    let url = publish::events_url(&args.url, &channel)?;
    let token = relay_token(variables, &args)?;
    let http = client::http_client(&url, Some(token), &access.tls)?;
    let sender = Sender {
        monitor,
        delivery: Delivery::new(http, url, args.timeout, tell),
        out,
        runs: Runs::of(variables)?,
    };
    sender.run().await
}

/// The relay's own token, or that of the monitor, for a relay that knows it.
fn relay_token(variables: &Variables, args: &Args) -> Result<Token, Failure> {
    if let Some(path) = &args.token_file {
        return Token::parse(&client::read_token_file(path)?);
    }
    let token = variables
        .get(client::TOKEN_VARIABLE)
        .or(variables.get(super::TOKEN));
    Token::parse(token.unwrap_or_default())
}

/// How often it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Runs {
    Once,
    Every(Duration),
}

impl Runs {
    fn of(variables: &Variables) -> Result<Runs, Failure> {
        if variables.is_on(ONESHOT) {
            return Ok(Runs::Once);
        }
        let Some(text) = variables.get(INTERVAL) else {
            return Ok(Runs::Every(DEFAULT_INTERVAL));
        };
        match text.parse() {
            Ok(seconds @ 1..=86_400) => Ok(Runs::Every(Duration::from_secs(seconds))),
            _ => Err(Failure::Variable {
                name: INTERVAL,
                value: text.to_owned(),
                why: "write whole seconds, from 1 to 86400",
            }),
        }
    }
}

struct Sender<W, T> {
    monitor: Option<Monitor>,
    delivery: Delivery<T>,
    out: W,
    runs: Runs,
}

impl<W: AsyncWrite + Unpin, T: FnMut(Note)> Sender<W, T> {
    async fn run(mut self) -> Result<(), Failure> {
        let mode = match self.runs {
            Runs::Once => "one-shot".to_owned(),
            Runs::Every(interval) => format!("loop every {}s", interval.as_secs()),
        };
        self.say(&format!("Starting Remote SSE Sender ({mode})"))
            .await?;
        let name = self.register().await?;
        loop {
            let outcome = self.batch(&name).await;
            match self.runs {
                Runs::Once => {
                    outcome?;
                    return self.say("Completed one-shot batch; exiting.").await;
                }
                Runs::Every(interval) => {
                    let seconds = interval.as_secs();
                    let told = match outcome {
                        Ok(()) => format!("Batch sent. Waiting {seconds} seconds."),
                        Err(failure @ Failure::Output(_)) => return Err(failure),
                        Err(failure) => {
                            format!("Failed to send: {failure}. Waiting {seconds} seconds.")
                        }
                    };
                    self.say(&told).await?;
                    tokio::time::sleep(interval).await;
                }
            }
        }
    }

    /// The name that the monitor's number gives it. A single run does not wait for a monitor.
    async fn register(&mut self) -> Result<String, Failure> {
        let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
        let Some(monitor) = self.monitor.clone() else {
            return Ok(format!("sse_sender-agent-{user}"));
        };
        let mut failures = 0;
        loop {
            let failure = match introduce(&monitor, &user).await {
                Ok(name) => return Ok(name),
                Err(failure) if self.runs == Runs::Once => return Err(failure),
                Err(failure) => failure,
            };
            failures += 1;
            let wait = wait_after(failures);
            let seconds = wait.as_secs();
            self.say(&format!(
                "Cannot register: {failure}. Retrying in {seconds} seconds."
            ))
            .await?;
            tokio::time::sleep(wait).await;
        }
    }

    async fn batch(&mut self, name: &str) -> Result<(), Failure> {
        let messages = messages(name);
        self.say(&format!("Sending batch of {} messages", messages.len()))
            .await?;
        for (index, message) in messages.iter().enumerate() {
            if index > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            self.delivery
                .event(body(message), publish::new_key())
                .await?;
            let (kind, run) = (message.msg_type, message.run_id);
            self.say(&format!("Sent message: {kind} run={run}")).await?;
        }
        Ok(())
    }

    /// Messages are sent whether or not anybody reads of them.
    async fn say(&mut self, line: &str) -> Result<(), Failure> {
        let line = format!("{line}\n");
        let written = async {
            self.out.write_all(line.as_bytes()).await?;
            self.out.flush().await
        };
        match written.await {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(()),
        }
    }
}

async fn introduce(monitor: &Monitor, user: &str) -> Result<String, Failure> {
    let id = monitor.next_agent_id().await?;
    let name = format!("sse_sender-agent-{user}-{id}");
    let agent = Agent {
        name: name.clone(),
        kind: "sse_sender",
        state: "STARTING",
    };
    monitor.heartbeat(&agent).await?;
    Ok(name)
}

fn messages(name: &str) -> [Message<'_>; 3] {
    let message = |msg_type, filename, message, data| Message {
        msg_type,
        processed_by: name,
        run_id: RUN,
        filename,
        message,
        data,
        sender: name,
    };
    [
        message(
            "sse_test",
            None,
            "Hello from sse-relay!",
            Some("A test message of sse-relay publish --dialect swf"),
        ),
        message("stf_ready", Some(FILE), "Simulated data ready event", None),
        message(
            "processing_complete",
            Some(FILE),
            "Simulated processing complete event",
            None,
        ),
    ]
}

/// The event that the relay is given. Its type serves those who read `/v1/events`.
fn body(message: &Message<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Event<'a> {
        event: &'a str,
        data: &'a Message<'a>,
    }
    let event = Event {
        event: message.msg_type,
        data: message,
    };
    let body = serde_json::to_vec(&event).expect("a plain struct is JSON");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_testbed() {
        let all = messages("agent-1");
        let kinds = all.each_ref().map(|message| message.msg_type);
        assert_eq!(kinds, ["sse_test", "stf_ready", "processing_complete"]);
        assert_eq!(
            serde_json::to_string(&all[1]).unwrap(),
            r#"{"msg_type":"stf_ready","processed_by":"agent-1","run_id":"test-run-001","filename":"test_file_001.dat","message":"Simulated data ready event","sender":"agent-1"}"#
        );
    }

    #[test]
    fn it_sends_every_thirty_seconds_or_once_or_as_told() {
        let runs = |name: &str, value: &str| Runs::of(&Variables::from([(name, value)]));
        assert_eq!(runs("X", "").unwrap(), Runs::Every(Duration::from_secs(30)));
        assert_eq!(runs(ONESHOT, "1").unwrap(), Runs::Once);
        assert_eq!(
            runs(ONESHOT, "0").unwrap(),
            Runs::Every(Duration::from_secs(30))
        );
        assert_eq!(
            runs(INTERVAL, "5").unwrap(),
            Runs::Every(Duration::from_secs(5))
        );
        let failure = runs(INTERVAL, "0").unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("whole seconds"), "{failure}");
    }
}
