//! sse-relay-server (Python package), which hands on what Redis publishes: here a Redis of its own, on
//! its core, that is not counted. One process, as it is started without options.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::{Peer, Start, find, text};
use crate::load::generator::Publishing;
use crate::load::publisher::Protocol;
use crate::process::{Readiness, free_port};

/// `None`: not installed.
pub fn prepare() -> io::Result<Option<Peer>> {
    let programs = (find("sse-relay-server"), find("redis-server"), find("env"));
    let (Some(server), Some(redis), Some(env)) = programs else {
        return Ok(None);
    };
    let (port, broker) = (free_port()?, free_port()?);
    let accepts = |port| Readiness::Accepts(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let words =
        |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
    let python = Some(server.with_file_name("python")).filter(|python| python.is_file());
    Ok(Some(Peer {
        starts: vec![
            Start {
                program: redis,
                arguments: words(&[
                    "--port",
                    &broker.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ]),
                readiness: accepts(broker),
            },
            Start {
                program: env,
                arguments: [
                    words(&[
                        &format!("REDIS_URL=redis://127.0.0.1:{broker}"),
                        "LOG_LEVEL=WARNING",
                    ]),
                    // its first line names the Python of before its environment was moved
                    python.iter().map(|python| text(python)).collect(),
                    words(&[
                        &text(&server),
                        "--host=127.0.0.1",
                        &format!("--port={port}"),
                    ]),
                ]
                .concat(),
                readiness: accepts(port),
            },
        ],
        subscribe: format!("http://127.0.0.1:{port}/{{channel}}"),
        publish: format!("http://127.0.0.1:{broker}/"),
        publishing: Publishing {
            before: "{\"data\":\"".to_owned(),
            after: "\"}".to_owned(),
            protocol: Protocol::Redis,
            ..Publishing::default()
        },
    }))
}
