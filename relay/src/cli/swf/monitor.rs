//! What an agent says to swf-monitor: that it is there, and that it lives.

use super::{Access, below};
use crate::cli::client::{self, Failure, Problem};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often an agent says that it lives.
const BEAT: Duration = Duration::from_secs(60);
/// Waits after failures: they grow by this much, up to [`LONGEST_WAIT`].
const STEP: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The wait after so many failures in a row, of which the first is 1.
pub fn wait_after(failures: u32) -> Duration {
    STEP.saturating_mul(failures).min(LONGEST_WAIT)
}

/// The monitor of an agent.
#[derive(Clone)]
pub struct Monitor {
    http: Client,
    base: Url,
}

/// A heartbeat as agents send it. Without a connection to a message queue the monitor wants `WARNING`.
#[derive(Serialize)]
struct Beat<'a> {
    instance_name: &'a str,
    agent_type: &'a str,
    status: &'a str,
    description: String,
    mq_connected: bool,
    pid: u32,
    hostname: &'a str,
    operational_state: &'a str,
}

/// What is told of an agent.
#[derive(Clone, Debug)]
pub struct Agent {
    pub name: String,
    /// `sse_receiver` or `sse_sender`.
    pub kind: &'static str,
    pub state: &'static str,
}

impl Monitor {
    pub(super) fn new(access: &Access) -> Result<Monitor, Failure> {
        Ok(Monitor {
            http: access.http_client(&access.monitor)?,
            base: access.monitor.clone(),
        })
    }

    /// A number that no other agent has.
    pub async fn next_agent_id(&self) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            agent_id: u64,
        }
        let answer: Answer = self.post("/api/state/next-agent-id/", None).await?;
        Ok(answer.agent_id)
    }

    pub async fn heartbeat(&self, agent: &Agent) -> Result<(), Failure> {
        let beat = Beat {
            instance_name: &agent.name,
            agent_type: agent.kind,
            status: "WARNING",
            description: format!("{} agent. MQ: disconnected", agent.kind),
            mq_connected: false,
            pid: std::process::id(),
            hostname: &hostname(),
            operational_state: agent.state,
        };
        let body = serde_json::to_string(&beat).expect("a plain struct is JSON");
        let path = "/api/systemagents/heartbeat/";
        self.post::<serde_json::Value>(path, Some(body))
            .await
            .map(drop)
    }

    /// Says that the agent lives until it is dropped; what goes wrong is told, if there is room.
    pub async fn keep_alive(self, agent: Agent, troubles: Sender<Failure>) {
        let mut failures = 0;
        loop {
            let wait = match self.heartbeat(&agent).await {
                Ok(()) => {
                    failures = 0;
                    BEAT
                }
                Err(failure) => {
                    // one that still waits to be printed says as much
                    let _ = troubles.try_send(failure);
                    failures += 1;
                    wait_after(failures)
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        json: Option<String>,
    ) -> Result<A, Failure> {
        let url = below(&self.base, path);
        let to = client::shown(&url);
        let mut request = self.http.post(url).timeout(TIMEOUT);
        if let Some(json) = json {
            request = request
                .header("content-type", "application/json")
                .body(json);
        }
        let response = request
            .send()
            .await
            .map_err(|error| client::unanswered(&to, error))?;
        let status = response.status();
        let body = client::body(response)
            .await
            .map_err(|error| client::unanswered(&to, error))?;
        if !status.is_success() {
            let problem = Problem::new(status, &body);
            return Err(Failure::Refused { to, problem });
        }
        serde_json::from_slice(&body).map_err(|error| Failure::Answer {
            to,
            why: error.to_string(),
        })
    }
}

/// This machine's name, as the kernel knows it.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_five_seconds_to_a_minute() {
        let seconds: Vec<u64> = [1, 2, 3, 12, 13, u32::MAX]
            .map(|failures| wait_after(failures).as_secs())
            .to_vec();
        assert_eq!(seconds, [5, 10, 15, 60, 60, 60]);
    }
}
