//! The Python package sse-relay-server, and the relay in its place.

use super::support::{Connection, Relay, request};
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// The Python that has the package.
fn python() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install-python-clients.sh");
    let output = Command::new("sh").arg(script).output();
    let output = output.expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let path = String::from_utf8(output.stdout).expect("a path");
    path.trim().to_owned()
}

const NOTIFY: &str = "
import json, sys
from sse_relay_server import notify
for payload in json.load(sys.stdin):
    notify(sys.argv[1], payload)
";

/// What a Django project does, in its environment.
///
/// # Errors
/// What Python said, if `notify()` raised something.
pub fn notify(env: &[(&str, &str)], channel: &str, payloads: &[&str]) -> Result<(), String> {
    let mut process = Command::new(python())
        .args(["-c", NOTIFY, channel])
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let list = format!("[{}]", payloads.join(","));
    let mut stdin = process.stdin.take().expect("it is piped");
    stdin.write_all(list.as_bytes()).expect("Python reads");
    drop(stdin);
    let output = process.wait_with_output().expect("Python ends");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A relay in the package's place, with its environment and options.
pub fn start(env: &[(&str, &str)], args: &[&str]) -> Relay {
    let args = [&["--dialect", "sse-relay-server"], args].concat();
    Relay::start_with(env, &args)
}

/// A stream as the package's clients open one; its head is read.
pub fn open(relay: &Relay, target: &str) -> Connection {
    let mut connection = relay.connect();
    let head = String::from_utf8(request("GET", target, &[], b"")).expect("text");
    connection.send(head.replace("Connection: close\r\n", ""));
    assert_eq!(connection.head().status, 200);
    connection
}
