//! The pages of `docs/migrating/`: every command that stands there is typed as a reader would type it, and does
//! what the page says, to the clients that the page is for.

#![allow(clippy::unwrap_used)]

#[path = "routes/example.rs"]
#[allow(dead_code, reason = "the tests of routes use more of it")]
mod example;
#[path = "routes/monitor.rs"]
#[allow(dead_code, reason = "the tests of routes use more of it")]
mod monitor;
#[path = "migrating/reader.rs"]
mod reader;
#[path = "support/redis.rs"]
mod servers;
mod support;

use example::{Example, events_until, last, text};
use monitor::{KEY, Monitor};
use reader::Reader;
use serde_json::{Value, json};
use servers::{Server, free_ports};
use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};
use support::{Connection, front::Front, program::python, request};

/// Longer than a program takes to start on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `example` is called in its page.
fn at(reader: &mut Reader, page: &str, example: &Example) {
    reader.place(page, &format!("http://{}", example.relay.public));
    reader.set("TOKEN", "publisher");
}

fn token(name: &str, more: Value) -> Value {
    let mut token = json!({"name": name, "sha256": sse_relay::auth::hash_of(name)});
    for (key, value) in more.as_object().unwrap() {
        token[key] = value.clone();
    }
    token
}

/// The id that a publish was answered with.
fn published(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{answer}"));
    answer["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[test]
fn the_page_of_app_qg_api() {
    let mut reader = Reader::of("app-qg-api.md");
    let front = token("front", json!({"subscribe": ["qg"]}));
    let example = Example::start(&text("app-qg-api.yaml"), json!({"tokens": [front]}));
    at(&mut reader, "http://relay:8080", &example);
    let mut stream = example.stream(
        "/qg/live?events=new_incident",
        &["Authorization: Bearer front"],
    );
    let id = published(&reader.run("curl "));
    let events = events_until(&mut stream, "event: new_incident\n");
    let events = match events.contains("declared_by") {
        true => events,
        false => events + &events_until(&mut stream, "declared_by"),
    };
    let data: Value = serde_json::from_str(last(&events, "data")).unwrap();
    let sent = json!({"incident": {"id": 7}, "declared_by": null});
    assert_eq!(
        (&data["event"], &data["data"]),
        (&"new_incident".into(), &sent)
    );
    assert_eq!(last(&events, "id"), id);
    assert_eq!(example.relay.get("/health").json(), json!({"status": "ok"}));
    reader.finish();
}

#[test]
fn the_page_of_swf_monitor() {
    let mut reader = Reader::of("swf-monitor.md");
    let receiver = token("key", json!({"subscribe": ["workflow_events"]}));
    let example = Example::start(&text("swf-monitor.yaml"), json!({"tokens": [receiver]}));
    at(&mut reader, "http://relay:8080", &example);
    let mut stream = example.stream(
        "/swf-monitor/api/messages/stream/?msg_types=stf_gen&agents=daq-simulator",
        &["Authorization: Token key"],
    );
    published(&reader.run("curl "));
    let events = events_until(&mut stream, "stf_gen");
    let events = match events.contains("\ndata: {\"msg_type\"") {
        true => events,
        false => events + &events_until(&mut stream, "queue_name"),
    };
    let at = events.find("event: stf_gen\n").unwrap();
    let data = events[at..].lines().nth(1).unwrap();
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data["run_id"], "run-2025-001");
    for key in [
        "sender_agent",
        "recipient_agent",
        "namespace",
        "queue_name",
        "sent_at",
    ] {
        assert!(data.get(key).is_some(), "{key} in {data}");
    }
    reader.finish();
}

#[test]
fn the_page_of_sai_dashboard() {
    let mut reader = Reader::of("sai-dashboard.md");
    let user = |name: &str| token(name, json!({"subscribe": ["sai"], "subject": name}));
    let example = Example::start(
        &text("sai-dashboard.yaml"),
        json!({"tokens": [user("ann"), user("ben")]}),
    );
    at(&mut reader, "http://relay:8080", &example);
    let open = |name: &str| {
        let mut stream = example.stream(&format!("/dashboard/api/events?token={name}"), &[]);
        let hello = events_until(&mut stream, "real-time updates");
        let hello: Value = serde_json::from_str(last(&hello, "data")).unwrap();
        (stream, hello["clientId"].as_str().unwrap().to_owned())
    };
    let ((mut first, client), (mut second, _), (mut other, _)) =
        (open("ann"), open("ann"), open("ben"));
    reader.set("USERID", "ann");
    reader.set("CLIENTID", &client);
    published(&reader.run("curl "));
    published(&reader.run("curl "));
    let delivered: Value = serde_json::from_str(&reader.run("curl ")).unwrap();
    assert_eq!(delivered, json!({"delivered": true}));
    example.publish("sai", &json!({"event": "etl:status", "data": "last"}));
    let types = |stream: &mut Connection| {
        let events = events_until(stream, "etl:status");
        let types = events
            .lines()
            .filter_map(|line| line.strip_prefix("event: "));
        types.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        types(&mut first),
        [
            "execution:new",
            "execution:progress",
            "health:test",
            "etl:status"
        ]
    );
    assert_eq!(
        types(&mut second),
        ["execution:new", "execution:progress", "etl:status"]
    );
    assert_eq!(types(&mut other), ["execution:new", "etl:status"]);
    reader.finish();
}

/// Waits until somebody answers there.
fn until_up(address: SocketAddr) {
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < PATIENCE, "nothing listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open(address: SocketAddr, target: &str) -> Connection {
    let mut connection = Connection::to(address);
    let head = String::from_utf8(request("GET", target, &[], b"")).unwrap();
    connection.send(head.replace("Connection: close\r\n", ""));
    let head = connection.head();
    assert_eq!(head.status, 200, "{head:?}");
    connection
}

#[test]
fn the_page_of_sse_relay_server() {
    let mut reader = Reader::of("sse-relay-server.md");
    let redis = Server::start();
    let [public, admin] = free_ports::<2>();
    let address = SocketAddr::from(([127, 0, 0, 1], public));
    reader.place("--port 8001", &format!("--port {public}"));
    reader.place("http://relay:8001", &format!("http://{address}"));
    reader.set("REDIS_URL", &redis.url());
    reader.set("SSE_RELAY_ADMIN_LISTEN", &format!("127.0.0.1:{admin}"));
    // the file's grant, and a token that publishes, as the page says
    let publisher = token("publisher", json!({"publish": ["**"]}));
    let auth = json!({"anonymous": {"subscribe": ["**"]}, "tokens": [publisher]});
    reader.set("SSE_RELAY_AUTH", &auth.to_string());
    let _relay = reader.start("sse-relay serve --dialect sse-relay-server");
    until_up(address);
    let mut stream = open(address, "/NOTIFICATIONS");
    // its first block is sent once Redis has confirmed the channel, of which it has none; a project asks Redis,
    // and an operator the relay
    servers::until("a stream that has begun", || {
        let mut metrics = Connection::to(SocketAddr::from(([127, 0, 0, 1], admin)));
        metrics.send(request("GET", "/metrics", &["Connection: close"], b""));
        let scrape = metrics.answer().body;
        scrape.contains("\nsse_relay_streams 1\n").then_some(())
    });
    servers::until("a listener", || {
        let answer = redis.cli(&["PUBSUB", "NUMSUB", "NOTIFICATIONS"]);
        (answer.lines().last() == Some("1")).then_some(())
    });
    let notify = "from sse_relay_server import notify\n\
                  notify('NOTIFICATIONS', {'event': 'NEW', 'id': 'a', 'data': 'by notify'})";
    let mut project = Command::new(python());
    project.args(["-c", notify]).env("REDIS_URL", redis.url());
    assert!(project.status().unwrap().success());
    let told = stream.body_until("by notify\r\n\r\n");
    assert!(
        told.ends_with("id: a\r\nevent: NEW\r\ndata: by notify\r\n\r\n"),
        "{told:?}"
    );
    reader.set("TOKEN", "publisher");
    published(&reader.run("curl "));
    let told = stream.body_until("A new notification\"}\r\n\r\n");
    assert!(
        told.ends_with("id: 1\r\nevent: NEW_NOTIFICATION\r\ndata: {\"message\": \"A new notification\"}\r\n\r\n"),
        "{told:?}"
    );
    reader.finish();
}

#[test]
fn the_page_of_swf_testbed() {
    let mut reader = Reader::of("swf-testbed.md");
    let monitor = Monitor::start();
    let forward = json!({
        "url": monitor.status_url(), "headers": ["authorization", "cookie"], "cache": "0s",
        "grant": {"subscribe": ["workflow_events"]},
    });
    let sender = json!({
        "name": "sender", "sha256": sse_relay::auth::hash_of(KEY),
        "subscribe": ["workflow_events"], "publish": ["workflow_events"],
    });
    let example = Example::start(
        &text("swf-monitor.yaml"),
        json!({"forward": forward, "tokens": [sender]}),
    );
    let front = Front::nginx(&format!(
        "server {{
           listen {{address}};
           location /swf-monitor/api/messages/stream/ {{
             proxy_pass http://{}; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection '';
           }}
           location /swf-monitor/ {{ proxy_pass http://{}; }}
         }}",
        example.relay.public, monitor.address
    ));
    at(&mut reader, "http://relay:8080", &example);
    reader.set("USER", "ann");
    reader.set(
        "SWF_MONITOR_PROD_URL",
        &format!("http://{}/swf-monitor", front.address),
    );
    reader.export("SWF_API_TOKEN", KEY);
    reader.export("SWF_SSE_RECEIVER_NAME", "my-receiver");
    let receiver = reader.start("sse-relay listen --dialect swf --message stf_gen,data_ready");
    receiver.until("Client ID: ");
    let sender = reader.start("sse-relay publish --dialect swf --url");
    sender.until("Sent message: processing_complete");
    drop(sender);
    let once = reader.run("SWF_SENDER_ONESHOT=1 sse-relay publish");
    assert!(once.contains("Completed one-shot batch"), "{once}");
    let message =
        json!({"msg_type": "data_ready", "processed_by": "daq-simulator", "message": "mine"});
    example.publish_data("workflow_events", &message.to_string());
    let printed = receiver.until("mine");
    let types = printed.iter().filter(|line| line.contains("Message: "));
    assert_eq!(types.count(), 1, "it chose one: {printed:#?}");
    drop((receiver, front, example));

    // a relay alone, which knows the token itself
    let hash = reader.run("printf %s");
    let (hash, _) = hash.split_once(' ').unwrap();
    let file = text("swf-testbed.yaml");
    let nobody = "0".repeat(64);
    assert_eq!(file.matches(&nobody).count(), 1);
    std::fs::write(reader.file("swf-testbed.yaml"), file.replace(&nobody, hash)).unwrap();
    let [public, admin] = free_ports::<2>();
    let address = SocketAddr::from(([127, 0, 0, 1], public));
    reader.set("SSE_RELAY_LISTEN", &address.to_string());
    reader.set("SSE_RELAY_ADMIN_LISTEN", &format!("127.0.0.1:{admin}"));
    reader.place("http://127.0.0.1:8080", &format!("http://{address}"));
    let _relay = reader.start("sse-relay serve --config swf-testbed.yaml");
    until_up(address);
    let receiver = reader.start("sse-relay listen --dialect swf --no-register");
    receiver.until("Client ID: ");
    let _sender = reader.start("sse-relay publish --dialect swf --no-register");
    for kind in ["sse_test", "stf_ready", "processing_complete"] {
        receiver.until(&format!("Message: {kind}"));
    }
    reader.finish();
}

#[test]
fn the_page_of_django_eventstream() {
    let mut reader = Reader::of("django-eventstream.md");
    let anonymous = json!({"anonymous": {"subscribe": ["**"]}});
    let example = Example::start(&text("django-eventstream.yaml"), anonymous);
    at(&mut reader, "http://relay:8080", &example);
    let mut stream = example.stream("/events/room-1/", &[]);
    let id = published(&reader.run("curl "));
    let events = events_until(&mut stream, "hello");
    assert_eq!(
        (last(&events, "data"), last(&events, "id")),
        ("{\"text\":\"hello\"}", &*id)
    );
    reader.finish();
}
