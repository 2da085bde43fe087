//! Relays that share a log.

use crate::{
    servers::{SENTINEL_PASSWORD, SERVICE, Sentinels},
    support::Relay,
};
use std::{net::SocketAddr, path::PathBuf};

/// Environment variables.
type Settings = Vec<(String, String)>;

pub struct Fleet {
    pub relays: Vec<Option<Relay>>,
    /// Of each relay.
    settings: Vec<Settings>,
    /// What each of them runs when it starts.
    pub programs: Vec<PathBuf>,
    /// What those said that were killed, by their addresses.
    killed: Vec<(SocketAddr, String)>,
}

const LOGGED: &str = "info,sse_relay::event_log=debug";
/// Lines of each relay that a failure shows.
const LINES: usize = 400;

impl Fleet {
    /// So many relays with these environment variables, on ports that they keep.
    pub fn start(count: usize, settings: &[(&str, &str)]) -> Fleet {
        let settings = [settings, &[("SSE_RELAY_LOGGING__LEVEL", LOGGED)]].concat();
        let settings: Settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Fleet::of(vec![settings; count])
    }

    fn of(settings: Vec<Settings>) -> Fleet {
        let mut fleet = Fleet {
            relays: Vec::new(),
            programs: vec![env!("CARGO_BIN_EXE_sse-relay").into(); settings.len()],
            settings,
            killed: Vec::new(),
        };
        for index in 0..fleet.settings.len() {
            let relay = fleet.relay(index, None);
            fleet.relays.push(Some(relay));
        }
        fleet
    }

    /// A relay on each of these, which lead to one Redis.
    pub fn on_each(urls: &[String]) -> Fleet {
        Fleet::on_each_with(urls, &[])
    }

    /// The same, each with these settings too.
    pub fn on_each_with(urls: &[String], more: &[(&str, &str)]) -> Fleet {
        let settings = urls.iter().map(|url| {
            let settings = [
                ("SSE_RELAY_REDIS__URL", url.as_str()),
                ("SSE_RELAY_LOGGING__LEVEL", LOGGED),
            ];
            let all = settings.iter().chain(more);
            all.map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        });
        Fleet::of(settings.collect())
    }

    pub fn on_redis(count: usize, url: &str) -> Fleet {
        Fleet::start(count, &[("SSE_RELAY_REDIS__URL", url)])
    }

    pub fn on_sentinels(count: usize, sentinels: &Sentinels) -> Fleet {
        Fleet::on_sentinels_at(&vec![sentinels.nodes(); count])
    }

    /// A relay for each of these ways to the Sentinels.
    pub fn on_sentinels_at(nodes: &[Vec<String>]) -> Fleet {
        let of = |name: &str| format!("SSE_RELAY_REDIS__SENTINEL__{name}");
        let settings = nodes.iter().map(|nodes| {
            let nodes = serde_json::to_string(nodes).unwrap();
            vec![
                (of("SERVICE"), SERVICE.to_owned()),
                (of("NODES"), nodes),
                (
                    of("CREDENTIALS__PASSWORD_VARIABLE"),
                    "SENTINEL_PASSWORD".to_owned(),
                ),
                ("SENTINEL_PASSWORD".to_owned(), SENTINEL_PASSWORD.to_owned()),
                ("SSE_RELAY_LOGGING__LEVEL".to_owned(), LOGGED.to_owned()),
            ]
        });
        Fleet::of(settings.collect())
    }

    fn relay(&self, index: usize, at: Option<SocketAddr>) -> Relay {
        let settings: Vec<(&str, &str)> = self.settings[index]
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Relay::start_program_at(&self.programs[index], at, &settings)
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.relays
            .iter()
            .flatten()
            .map(|relay| relay.public)
            .collect()
    }

    pub fn at(&self, index: usize) -> &Relay {
        self.relays[index].as_ref().unwrap()
    }

    /// kill -9, and the same again on its port.
    pub fn kill(&mut self, index: usize) {
        let address = self.at(index).public;
        self.at(index).signal(rustix::process::Signal::KILL);
        self.killed.push((address, self.at(index).output()));
        self.relays[index] = None;
        self.relays[index] = Some(self.relay(index, Some(address)));
    }

    /// The last of what each relay said.
    pub fn said(&self) -> String {
        let living = self.relays.iter().flatten();
        let living = living.map(|relay| (relay.public, relay.output()));
        let killed = self.killed.iter().cloned();
        killed
            .chain(living)
            .map(|(address, said)| format!("--- {address} ---\n{}\n", last_lines(&said)))
            .collect()
    }
}

/// Without those of streams that come and go.
fn last_lines(said: &str) -> String {
    let lines = said.lines();
    let lines: Vec<&str> = lines.filter(|line| !line.contains("stream.")).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
