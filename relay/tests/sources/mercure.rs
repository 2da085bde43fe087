//! A Mercure hub as the upstream: a stand-in that answers as version 0.24 of the hub does about ids (its
//! program cannot be had here), over TLS by a real nginx.

use crate::{
    authority::Authority,
    pulled::{check, events, until, wait_for, wait_until_connected},
    servers::Server,
    support::{Relay, front::Front},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};
use tempfile::TempDir;

/// A hub with a history on disk, as far as its subscribers see one.
struct Hub {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// Ids and data.
    history: Vec<(String, String)>,
    published: usize,
    subscribers: Vec<TcpStream>,
    /// `Last-Event-ID` of each request.
    asked: Vec<Option<String>>,
}

impl Hub {
    fn start() -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut hub = Hub {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            serving: None,
        };
        hub.serve(listener);
        hub
    }

    fn serve(&mut self, listener: TcpListener) {
        let state = self.state.clone();
        self.serving = Some(std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if state.lock().unwrap().stopped {
                    return;
                }
                let state = state.clone();
                std::thread::spawn(move || subscribe(socket, &state));
            }
        }));
    }

    /// Cuts all streams, and listens no more.
    fn kill(&mut self) {
        let mut state = self.state.lock().unwrap();
        state.stopped = true;
        for socket in state.subscribers.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        let _ = TcpStream::connect(self.address); // wakes it
        self.serving.take().unwrap().join().unwrap();
    }

    fn restart(&mut self) {
        self.state.lock().unwrap().stopped = false;
        self.serve(TcpListener::bind(self.address).unwrap());
    }

    /// An update for the topic, whose data is its number.
    fn publish(&self) {
        let mut state = self.state.lock().unwrap();
        let number = state.published;
        state.published += 1;
        let id = format!("urn:uuid:00000000-0000-7000-8000-{number:012}");
        let block = block(&id, &number.to_string());
        state
            .subscribers
            .retain_mut(|socket| socket.write_all(block.as_bytes()).is_ok());
        state.history.push((id, number.to_string()));
    }

    fn published(&self) -> usize {
        self.state.lock().unwrap().published
    }

    fn requests(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    fn forget(&self) {
        self.state.lock().unwrap().history.clear();
    }

    fn path(&self) -> String {
        "/.well-known/mercure?topic=https%3A%2F%2Fexample.com%2Forders%2F%7Bid%7D&lastEventID=earliest"
            .to_owned()
    }
}

fn block(id: &str, data: &str) -> String {
    format!("event: order\nid: {id}\ndata: {data}\n\n")
}

/// Answers with where the history begins from which it sends, as the hub does: the id that was asked for
/// if it knows it, `earliest`, or its newest.
fn subscribe(socket: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    assert!(
        head.starts_with("GET /.well-known/mercure?topic="),
        "{head}"
    );
    let header = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("last-event-id")
            .then(|| value.to_owned())
    });
    let mut state = state.lock().unwrap();
    state.asked.push(header.clone());
    // a header beats the parameter
    let known = header.as_ref().map(|id| {
        let mut history = state.history.iter();
        history.position(|(known, _)| known == id)
    });
    let (from, told) = match known {
        None => (0, "earliest".to_owned()),
        Some(Some(index)) => (index + 1, header.unwrap_or_default()),
        Some(None) => {
            let newest = state.history.last().map(|(id, _)| id.clone());
            let newest = newest.unwrap_or_else(|| "earliest".to_owned());
            (state.history.len(), newest)
        }
    };
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: private, no-cache, no-store\r\n\
         Last-Event-ID: {told}\r\nConnection: close\r\n\r\n:\n"
    );
    for (id, data) in &state.history[from..] {
        answer += &block(id, data);
    }
    let mut socket = reader.into_inner();
    if socket.write_all(answer.as_bytes()).is_ok() {
        state.subscribers.push(socket);
    }
}

fn sources(url: &str, more: &Value) -> String {
    let mut stream = json!({ "url": url });
    for (key, value) in more.as_object().unwrap() {
        stream[key] = value.clone();
    }
    json!([{"name": "hub", "sse": stream}]).to_string()
}

fn assert_whole(found: &[String]) {
    for (index, found) in found.iter().enumerate() {
        assert_eq!(*found, index.to_string());
    }
}

#[test]
fn a_hub_and_the_relay_may_be_restarted_under_load_and_each_update_comes_once() {
    let (mut hub, log) = (Hub::start(), Server::start());
    let sources = sources(&format!("http://{}{}", hub.address, hub.path()), &json!({}));
    let settings = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("SSE_RELAY_REDIS__URL", &log.url()),
    ];
    let mut relay = Relay::start_at(None, &settings);
    let publish = |hub: &Hub| (0..40).for_each(|_| hub.publish());
    publish(&hub);
    wait_until_connected(&relay, "hub");
    // where the relay is, is kept twice a second at most: how often it was asked for depends on the machine
    let (mut hub_resumed, mut relay_resumed) = (0, 0);
    let mut rounds = 0;
    while hub_resumed < 2 || relay_resumed < 2 {
        rounds += 1;
        assert!(rounds < 60, "it is never resumed where it was");
        publish(&hub);
        let before = hub.requests();
        if rounds % 2 == 0 {
            relay.signal(Signal::KILL);
            publish(&hub);
            relay = Relay::start_at(None, &settings);
        } else {
            hub.kill();
            publish(&hub); // others published while it was away from us
            hub.restart();
        }
        until("another request", || {
            (hub.requests() > before).then_some(())
        });
        let resumed = hub.state.lock().unwrap().asked[before].is_some();
        match rounds % 2 {
            0 => relay_resumed += u32::from(resumed),
            _ => hub_resumed += u32::from(resumed),
        }
        events(&relay, "hub", hub.published());
    }
    publish(&hub);
    assert_whole(&events(&relay, "hub", hub.published()));
    assert_eq!(check(&relay)["dropped"], json!({}));
    let first = hub.state.lock().unwrap().asked[0].clone();
    assert_eq!(first, None, "the address says where it begins");
}

#[test]
fn a_hub_that_has_forgotten_where_the_relay_was_is_told_as_a_loss() {
    let mut hub = Hub::start();
    let url = format!("http://{}{}", hub.address, hub.path());
    let relay = Relay::start_with(&[("SSE_RELAY_SOURCES", &sources(&url, &json!({})))], &[]);
    wait_until_connected(&relay, "hub");
    hub.publish();
    hub.publish();
    assert_whole(&events(&relay, "hub", 2));
    hub.kill();
    hub.forget();
    hub.publish();
    hub.restart();
    let gone = "sse_relay_source_dropped_total{source=\"hub\",reason=\"gone\"}";
    wait_for(&relay, gone, 1.0);
    hub.publish();
    assert_eq!(events(&relay, "hub", 3), ["0", "1", "3"]);
}

#[test]
fn a_hub_over_tls_is_read_if_its_certificate_is_of_the_named_authority() {
    let (hub, authority) = (Hub::start(), Authority::new("of the hub"));
    let folder = TempDir::new().unwrap();
    authority.server(2100).mount(folder.path());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let other = folder.path().join("other.pem");
    std::fs::write(&other, Authority::new("somebody else").pem).unwrap();
    let front = Front::nginx(&format!(
        "server {{
           listen {{address}} ssl; ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
           location / {{ proxy_pass http://{hub}; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection ''; }}
         }}",
        folder = folder.path().display(),
        hub = hub.address,
    ));
    let url = format!("https://{}{}", front.address, hub.path());
    let distrusts = Relay::start_with(
        &[(
            "SSE_RELAY_SOURCES",
            &sources(&url, &json!({"caFile": other})),
        )],
        &[],
    );
    let faults = "sse_relay_source_faults_total{source=\"hub\",reason=\"tls\"}";
    wait_for(&distrusts, faults, 1.0);
    let token = json!({"caFile": ca, "credentials": {"tokenVariable": "HUB_TOKEN"}});
    let sources = sources(&url, &token);
    let env = [
        ("SSE_RELAY_SOURCES", sources.as_str()),
        ("HUB_TOKEN", "the-secret"),
    ];
    let relay = Relay::start_with(&env, &[]);
    wait_until_connected(&relay, "hub");
    (0..20).for_each(|_| hub.publish());
    assert_whole(&events(&relay, "hub", 20));
    assert!(!relay.output().contains("the-secret"));
}
