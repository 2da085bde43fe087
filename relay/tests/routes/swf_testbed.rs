//! The receiver and the sender of swf-testbed: the relay's own in their place, and the receiver's calls by
//! the library that it uses, through a proxy that splits paths between the relay and the monitor.

use super::{
    example::{Example, text},
    monitor::{KEY, Monitor},
};
use crate::support::{
    front::Front,
    program::{Program, python},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

/// swf-monitor with the relay in the place of its stream, behind one address.
struct Site {
    monitor: Monitor,
    example: Example,
    front: Front,
}

impl Site {
    fn start() -> Site {
        let monitor = Monitor::start();
        let yaml = text("swf-monitor.yaml").replace("interval: 30s", "interval: 1s");
        let forward = json!({
            "url": monitor.status_url(), "headers": ["authorization", "cookie"], "cache": "0s",
            "grant": {"subscribe": ["workflow_events"]},
        });
        let operator = json!({
            "name": "operator", "sha256": sse_relay::auth::hash_of("operator"), "manage": ["disconnect"],
        });
        let example = Example::start(&yaml, json!({"forward": forward, "tokens": [operator]}));
        let front = Front::nginx(&format!(
            "server {{
               listen {{address}};
               location /swf-monitor/api/messages/stream/ {{
                 proxy_pass http://{}; proxy_http_version 1.1; proxy_buffering off;
                 proxy_set_header Connection ''; proxy_set_header Host $http_host; proxy_read_timeout 90s;
               }}
               location /swf-monitor/ {{ proxy_pass http://{}; }}
             }}",
            example.relay.public, monitor.address
        ));
        Site {
            monitor,
            example,
            front,
        }
    }

    fn base(&self) -> String {
        format!("http://{}/swf-monitor", self.front.address)
    }

    /// Ends whatever streams there are; their clients may come back.
    fn end_streams(&self) {
        let operator = "Authorization: Bearer operator";
        let target = "/v1/connections?channel=workflow_events";
        let answer = self
            .example
            .relay
            .request("DELETE", target, &[operator], b"");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn publish(&self, kind: &str, agent: &str, text: &str) {
        let message =
            json!({"msg_type": kind, "processed_by": agent, "run_id": "r1", "message": text});
        self.example
            .publish_data("workflow_events", &message.to_string());
    }

    /// A receiver with the monitor's user.
    fn receiver(&self, more: &[&str]) -> Program {
        let mut command = relay(&["listen", "--dialect", "swf", "--max-wait", "500ms"], KEY);
        command.env("SWF_MONITOR_PROD_URL", self.base()).args(more);
        Program::start(&mut command)
    }
}

/// The program, with these variables of the testbed and no others.
fn relay(arguments: &[&str], token: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-relay"));
    command
        .args(arguments)
        .env_clear()
        .envs([("HOME", "/nonexistent"), ("USER", "ann"), ("TZ", "UTC")])
        .envs([("SWF_API_TOKEN", token), ("SWF_SSE_RECEIVER_NAME", "probe")])
        .stderr(Stdio::piped());
    command
}

/// Lines without the time that some begin with.
fn without_times(lines: &[String]) -> Vec<String> {
    let line = |line: &String| match line.split_once("] ") {
        Some((time, rest)) if time.starts_with('[') => rest.to_owned(),
        _ => line.clone(),
    };
    lines.iter().map(line).collect()
}

#[test]
fn the_receiver_registers_and_prints_what_it_chose() {
    let site = Site::start();
    let receiver = site.receiver(&["--message", "stf_gen, data_ready", "--agent", "daq"]);
    let greeting = without_times(&receiver.until("Client ID: "));
    let base = site.base();
    let stream = format!(
        "📡 Connecting to SSE stream: {base}/api/messages/stream/?msg_types=stf_gen,data_ready&agents=daq"
    );
    let rule = "-".repeat(60);
    let wanted = [
        "🔧 Remote SSE Receiver initialized",
        &format!("   Monitor base: {base}"),
        "🔍 Filtering enabled - messages: stf_gen, data_ready | agents: daq",
        &stream,
        "🔌 Testing SSE endpoint...",
        "✅ SSE stream opened - waiting for events... (Ctrl+C to exit)",
        &rule,
        "🔗 Connected to SSE stream",
    ];
    assert_eq!(greeting[..8], wanted, "{greeting:#?}");
    let beat = site.monitor.heartbeat_of("probe");
    assert_eq!(beat["agent_type"], "sse_receiver");
    assert_eq!(beat["status"], "WARNING");
    assert_eq!(beat["mq_connected"], false);
    assert!(beat["pid"].is_u64() && beat["hostname"].is_string());
    let first = &site.monitor.seen()[0];
    assert_eq!(
        first.line,
        "POST /swf-monitor/api/state/next-agent-id/ HTTP/1.0"
    );
    assert_eq!(first.authorization, format!("Token {KEY}"));
    for (kind, agent, text) in [
        ("stf_gen", "other", "not chosen"),
        ("sse_test", "daq", "not chosen either"),
        ("data_ready", "daq", "caf\u{e9}\u{2028}\u{1b}[31m"),
    ] {
        site.publish(kind, agent, text);
    }
    let printed = receiver.until(&rule);
    assert!(printed[0].starts_with('[') && printed[0].contains(":"));
    assert_eq!(
        without_times(&printed),
        [
            "📨 Message received:",
            "         Message: data_ready",
            "           Agent: daq",
            "            Run:  r1",
            "            Text: caf\u{e9}\\u{2028}\\u{1b}[31m",
            &rule,
        ]
    );
}

#[test]
fn a_stream_that_ends_costs_the_receiver_no_message() {
    let site = Site::start();
    let receiver = site.receiver(&[]);
    receiver.until("Client ID: ");
    for n in 0..40 {
        site.publish("sse_test", "a", &format!("number {n}"));
        if n % 10 == 5 {
            site.end_streams();
        }
    }
    let printed = receiver.until("Text: number 39");
    let texts: Vec<&str> = printed
        .iter()
        .filter_map(|line| line.trim().strip_prefix("Text: number "))
        .collect();
    let wanted: Vec<String> = (0..40).map(|n: u32| n.to_string()).collect();
    assert_eq!(texts, wanted, "{printed:#?}");
    let connected = printed.iter().filter(|line| line.contains("Client ID: "));
    assert!(connected.count() > 0, "it came back: {printed:#?}");
}

#[test]
fn what_is_missing_or_refused_is_said_clearly() {
    let site = Site::start();
    let failed = |mut command: Command| {
        let output = command.output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), out, error)
    };
    let listen = ["listen", "--dialect", "swf", "--no-reconnect"];
    for (variable, meaning) in [
        ("SWF_API_TOKEN", "the key of a user of the monitor"),
        ("SWF_SSE_RECEIVER_NAME", "the name of this receiver"),
    ] {
        let mut command = relay(&listen, KEY);
        command.env_remove(variable);
        let (code, _, error) = failed(command);
        assert_eq!(code, 2, "{error}");
        let wanted = format!("sse-relay: {variable} is not set: it is {meaning}");
        assert!(error.starts_with(&wanted), "{error}");
    }
    let (code, _, error) = failed(relay(&["listen", "--channel", "c", "--agent", "a"], KEY));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("--agent"), "{error}");
    let mut unknown = relay(&listen, "no-such-key");
    unknown.arg(site.base());
    let (code, out, error) = failed(unknown);
    assert_eq!(code, 3, "{out}{error}");
    assert!(
        out.contains("❌ Auth failed (HTTP 403). Check SWF_API_TOKEN"),
        "{out}"
    );
    assert!(error.contains("refused: 403"), "{error}");
    assert!(!format!("{out}{error}").contains("no-such-key"));
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut nobody = relay(&listen, KEY);
    nobody.arg(format!("http://{closed}/swf-monitor"));
    let (code, out, error) = failed(nobody);
    assert_eq!(code, 4, "{out}{error}");
    assert!(
        out.contains("❌ Connection error: cannot connect to"),
        "{out}"
    );
    // unless it is told otherwise it goes on
    let mut patient = relay(&["listen", "--dialect", "swf", "--max-wait", "300ms"], KEY);
    patient.arg(format!("http://{closed}/swf-monitor"));
    let patient = Program::start(&mut patient);
    patient.until("Retrying in 0.3 seconds...");
    patient.until("Retrying in 0.3 seconds...");
}

#[test]
fn the_receivers_own_calls_reach_the_relay_and_the_monitor() {
    let site = Site::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/swf_receiver.py");
    let mut command = Command::new(python());
    command
        .arg(&script)
        .args([&site.base(), "?msg_types=sse_test,stf_gen"])
        .envs([("SWF_API_TOKEN", KEY), ("SWF_SSE_RECEIVER_NAME", "python")]);
    let receiver = Program::start(&mut command);
    receiver.until("Client ID: ");
    site.monitor.heartbeat_of("python");
    site.publish("other", "a", "not chosen");
    site.publish("sse_test", "agent-1", "caf\u{e9} \u{2028}\u{85} \u{2603}");
    let printed = receiver.until("Message: ");
    assert_eq!(
        printed,
        ["Message: sse_test agent-1 caf\u{e9} \u{2028}\u{85} \u{2603}"]
    );
    site.publish("stf_gen", "agent-1", "last");
    let printed = receiver.until("last");
    assert_eq!(printed.len(), 1, "nothing else is printed: {printed:?}");
    let mut refused = Command::new(python());
    refused
        .arg(&script)
        .args([&site.base(), ""])
        .envs([("SWF_API_TOKEN", "wrong"), ("SWF_SSE_RECEIVER_NAME", "x")]);
    let output = refused.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("status 403"), "{error}");
}

/// The testbed's own file, whose relay knows the token itself.
fn testbed() -> Example {
    let nobody = "0".repeat(64);
    let file = text("swf-testbed.yaml").replace(&nobody, &sse_relay::auth::hash_of(KEY));
    Example::start_as_it_is(&file)
}

#[test]
fn the_sender_sends_its_three_messages_to_the_receiver_without_any_monitor() {
    let example = testbed();
    let url = format!("http://{}", example.relay.public);
    let mut listen = relay(
        &[
            "listen",
            "--dialect",
            "swf",
            "--no-register",
            "--count",
            "3",
            &url,
        ],
        KEY,
    );
    let receiver = Program::start(&mut listen);
    receiver.until("Client ID: ");
    let mut publish = relay(
        &[
            "publish",
            "--dialect",
            "swf",
            "--no-register",
            "--url",
            &url,
        ],
        KEY,
    );
    let (status, said) = Program::start(publish.env("SWF_SENDER_ONESHOT", "1")).end();
    assert!(status.success(), "{said:?}");
    assert_eq!(
        said,
        [
            "Starting Remote SSE Sender (one-shot)",
            "Sending batch of 3 messages",
            "Sent message: sse_test run=test-run-001",
            "Sent message: stf_ready run=test-run-001",
            "Sent message: processing_complete run=test-run-001",
            "Completed one-shot batch; exiting.",
        ]
    );
    let (status, printed) = receiver.end();
    assert!(status.success(), "{printed:?}");
    let of = |label: &str| -> Vec<String> {
        let lines = printed
            .iter()
            .filter_map(|line| line.trim().strip_prefix(label));
        lines.map(|value| value.trim().to_owned()).collect()
    };
    assert_eq!(
        of("Message: "),
        ["sse_test", "stf_ready", "processing_complete"]
    );
    assert_eq!(of("File: "), ["test_file_001.dat", "test_file_001.dat"]);
    assert_eq!(of("Agent: "), vec!["sse_sender-agent-ann"; 3]);
}

#[test]
fn the_sender_is_an_agent_of_the_monitor_and_sends_again_and_again() {
    let example = testbed();
    let monitor = Monitor::start();
    let url = format!("http://{}", example.relay.public);
    let mut command = relay(&["publish", "--dialect", "swf", "--url", &url], KEY);
    command
        .env(
            "SWF_MONITOR_PROD_URL",
            format!("http://{}/swf-monitor", monitor.address),
        )
        .env("SWF_SENDER_BATCH_INTERVAL", "1");
    let sender = Program::start(&mut command);
    sender.until("Starting Remote SSE Sender (loop every 1s)");
    sender.until("Batch sent. Waiting 1 seconds.");
    sender.until("Batch sent. Waiting 1 seconds.");
    let beat = monitor.heartbeat_of("sse_sender-agent-ann-17");
    assert_eq!(beat["agent_type"], "sse_sender");
    let mut refused = relay(
        &[
            "publish",
            "--dialect",
            "swf",
            "--no-register",
            "--url",
            &url,
        ],
        "wrong",
    );
    let output = refused.env("SWF_SENDER_ONESHOT", "yes").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let mut missing = relay(&["publish", "--dialect", "swf"], KEY);
    let output = missing.env_remove("SWF_API_TOKEN").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("SWF_API_TOKEN is not set"));
}

#[test]
fn the_testbeds_file_speaks_as_the_monitors_does() {
    let route = |name: &str| {
        let yaml = text(name);
        let config = relay_config::Config::from_sources(Some((name, &yaml)), &BTreeMap::new());
        let config = config.unwrap();
        let mut route = serde_json::to_value(&config.routes[0]).unwrap();
        for place in ["/paths", "/status/paths"] {
            *route.pointer_mut(place).unwrap() = Value::Null;
        }
        route
    };
    assert_eq!(route("swf-testbed.yaml"), route("swf-monitor.yaml"));
}
