//! `listen` and `publish` against a small real server that answers as each test says.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

use clap::Parser;
use parking_lot::Mutex;
use sse_relay::cli::{
    client::{Failure, Token},
    listen, publish,
};
use std::{
    collections::{BTreeSet, VecDeque},
    future,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// What the server does with one connection, after it read one request.
enum Reply {
    /// Sends this and closes.
    Send(String),
    /// Sends this and keeps the connection open.
    Hold(String),
}

/// A request as it came.
#[derive(Clone, Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Answers its connections in the order of its replies, then refuses more.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Server {
        Server::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), replies)
    }

    fn on(listener: TcpListener, replies: impl IntoIterator<Item = Reply>) -> Server {
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let replies: VecDeque<Reply> = replies.into_iter().collect();
        Server {
            address,
            requests: requests.clone(),
            task: tokio::spawn(serve(listener, replies, requests)),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

async fn serve(
    listener: TcpListener,
    replies: VecDeque<Reply>,
    requests: Arc<Mutex<Vec<Request>>>,
) {
    let mut held = Vec::new();
    for reply in replies {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = read_request(&mut socket).await;
        requests.lock().push(request);
        let (Reply::Send(text) | Reply::Hold(text)) = &reply;
        // A client that has enough closes before all is sent.
        let _ = socket.write_all(text.as_bytes()).await;
        if matches!(reply, Reply::Hold(_)) {
            held.push(socket);
        }
    }
    drop(listener);
    future::pending::<()>().await;
}

async fn read_request(socket: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "whole head");
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    let headers: Vec<(String, String)> = lines.map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    while bytes.len() < head_end + 4 + length {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0, "whole body");
    }
    let body = String::from_utf8(bytes[head_end + 4..].to_vec()).unwrap();
    Request {
        line,
        headers,
        body,
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Send(format!(
        "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A stream that ends when its connection does.
fn stream(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n";
    format!("{head}connection: close\r\n\r\n{body}")
}

fn no_content() -> Reply {
    Reply::Send("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned())
}

fn problem(status: &str, headers: &str) -> Reply {
    let headers = format!("content-type: application/problem+json\r\n{headers}");
    let body = r#"{"type":"about:blank","title":"Not so","detail":"it rains"}"#;
    answer(status, &headers, body)
}

/// A port that is taken, so that no other test gets it, and at which nobody listens.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A server that is there only after a while.
fn start_later(socket: TcpSocket, reply: Reply) -> JoinHandle<Server> {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(250)).await;
        Server::on(socket.listen(16).unwrap(), [reply])
    })
}

/// What a run left.
struct Run {
    result: Result<(), Failure>,
    out: String,
    notes: String,
}

impl Run {
    /// The exit code and the message of a run that failed.
    fn failure(&self) -> (u8, String) {
        let failure = self.result.as_ref().unwrap_err();
        (failure.exit_code(), failure.to_string())
    }
}

/// A run that does not end is a failure, not a test that hangs.
async fn bounded<F: Future<Output = Result<(), Failure>>>(run: F) -> Result<(), Failure> {
    tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .expect("the run ends")
}

#[derive(Parser)]
struct Listen {
    #[command(flatten)]
    args: listen::Args,
}

async fn listen_with(line: &[&str], token: Option<Token>) -> Run {
    let line = ["listen"].iter().chain(line);
    let args = Listen::try_parse_from(line).unwrap().args;
    let (mut out, mut notes) = (Vec::new(), String::new());
    let tell = |note: listen::note::Note| notes.push_str(&format!("{note}\n"));
    let run = listen::listen(args, token, &mut out, future::pending(), tell);
    Run {
        result: bounded(run).await,
        out: String::from_utf8(out).unwrap(),
        notes,
    }
}

async fn listen(line: &[&str]) -> Run {
    listen_with(line, None).await
}

#[tokio::test]
async fn a_lost_stream_is_resumed_after_the_last_whole_event() {
    let cut_in_a_chunk = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                          transfer-encoding: chunked\r\n\r\n9\r\ndata: b\n\n\r\n9\r\nid: 9";
    let server = Server::start([
        Reply::Send(stream(
            "retry: 100\nid: 7\ndata: a\n\nid: …8\n\nid: 9\ndata: unfinished",
        )),
        Reply::Send(cut_in_a_chunk.to_owned()),
        no_content(),
    ])
    .await;
    let run = listen(&[&server.url("/any?x=1"), "--json"]).await;
    run.result.unwrap();
    assert_eq!(
        run.out,
        "{\"id\":\"7\",\"event\":\"message\",\"data\":\"a\"}\n\
         {\"id\":\"…8\",\"event\":\"message\",\"data\":\"b\"}\n"
    );
    let requests = server.requests();
    let ids: Vec<_> = requests.iter().map(|r| r.header("last-event-id")).collect();
    assert_eq!(ids, [None, Some("…8"), Some("…8")]);
    assert_eq!(requests[0].line, "GET /any?x=1 HTTP/1.1");
    assert_eq!(requests[0].header("accept"), Some("text/event-stream"));
    assert_eq!(requests[0].header("cache-control"), Some("no-cache"));
    for told in [
        "the server closed the stream; trying again in 0.1 s\n",
        "resuming after …8\n",
        "lost the stream from http://127.0.0.1",
        "the server has no more for this stream\n",
        "closed: 2 events, 0 gaps, 2 reconnects\n",
    ] {
        assert!(run.notes.contains(told), "{told:?} in:\n{}", run.notes);
    }
}

#[tokio::test]
async fn it_ends_after_so_many_events_while_the_stream_goes_on() {
    let events = "event: connected\ndata: {}\n\nevent: gap\ndata: {\"reason\":\"trimmed\"}\n\n\
                  id: 1\nevent: tick\ndata: a\n\ndata: b\ndata: c\n\ndata: too much\n\n";
    let server = Server::start([Reply::Hold(stream(events))]).await;
    let channels = ["--channel", "orders.*", "--channel", "é", "--count", "2"];
    let run = listen(&[&[server.url("").as_str()][..], &channels].concat()).await;
    run.result.unwrap();
    assert!(run.out.contains("Z  1  tick  a\n"), "{}", run.out);
    assert!(
        run.out.ends_with("Z  1  message\n    b\n    c\n"),
        "{}",
        run.out
    );
    assert!(run.notes.contains("*** GAP ***"), "{}", run.notes);
    assert!(
        run.notes
            .ends_with("closed: 2 events, 1 gaps, 0 reconnects\n")
    );
    assert_eq!(
        server.requests()[0].line,
        "GET /v1/events?channel=orders.%2A&channel=%C3%A9 HTTP/1.1"
    );
}

#[tokio::test]
async fn an_answer_without_content_ends_it_well() {
    let server = Server::start([no_content()]).await;
    let run = listen(&[&server.url("/s"), "--last-event-id", "5"]).await;
    run.result.unwrap();
    assert_eq!(run.notes, "the server has no more for this stream\n");
    assert_eq!(server.requests()[0].header("last-event-id"), Some("5"));
}

#[tokio::test]
async fn a_refusal_shows_the_problem_and_exits_with_3() {
    for status in [
        "404 Not Found",
        "503 Service Unavailable",
        "401 Unauthorized",
    ] {
        let server = Server::start([problem(status, "")]).await;
        let run = listen(&[&server.url("/s?token=secret")]).await;
        let (code, message) = run.failure();
        assert_eq!(code, 3);
        let wanted = format!("/s refused: {} Not so: it rains", &status[..3]);
        assert!(message.ends_with(&wanted), "{message}");
        assert!(!message.contains("secret"));
        assert_eq!(run.notes, "");
    }
}

#[tokio::test]
async fn of_a_refusal_that_never_ends_a_part_is_read_and_shown() {
    let endless = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n".to_owned();
    let body = "no ".repeat(700 * 1024);
    let server = Server::start([Reply::Hold(endless + &body)]).await;
    let (code, message) = listen(&[&server.url("/s")]).await.failure();
    assert_eq!(code, 3);
    assert!(message.contains("404 Not Found: no no no"), "{message}");
    assert!(message.len() < 300, "{message}");
}

#[tokio::test]
async fn a_passing_refusal_is_waited_out_once_there_was_a_stream() {
    let server = Server::start([
        Reply::Send(stream("retry: 100\ndata: a\n\n")),
        problem("503 Service Unavailable", "retry-after: 0\r\n"),
        Reply::Send(stream("data: b\n\n")),
        problem("403 Forbidden", ""),
    ])
    .await;
    let run = listen(&[&server.url("/s"), "--max-wait", "300ms"]).await;
    assert_eq!(run.failure().0, 3, "being forbidden does not pass");
    for told in [
        "refused: 503 Not so: it rains; trying again",
        "closed: 2 events, 0 gaps, 3 reconnects\n",
    ] {
        assert!(run.notes.contains(told), "{told:?} in:\n{}", run.notes);
    }
}

#[tokio::test]
async fn what_is_not_an_event_stream_is_not_read() {
    for (header, shown) in [
        ("content-type: text/html\r\n", "but with `text/html`"),
        ("", "but with no content type"),
    ] {
        let server = Server::start([answer("200 OK", header, "data: x\n\n")]).await;
        let run = listen(&[&server.url("/s")]).await;
        let (code, message) = run.failure();
        assert_eq!(code, 1);
        assert!(message.ends_with(shown), "{message}");
        assert_eq!(run.out, "");
    }
}

#[tokio::test]
async fn a_refused_connection_exits_with_4_and_a_bad_url_with_2() {
    let (_socket, address) = closed_port();
    let url = format!("http://{address}/s");
    let (code, message) = listen(&[&url]).await.failure();
    assert_eq!(code, 4);
    let wanted = format!("cannot connect to {url}: Connection refused");
    assert!(message.starts_with(&wanted), "{message}");
    let (code, message) = listen(&["localhost:8080", "--channel", "c"])
        .await
        .failure();
    assert_eq!(code, 2);
    assert!(message.contains("write http://host:8080"), "{message}");
}

#[tokio::test]
async fn it_can_wait_for_a_server_that_is_not_there_yet() {
    let (socket, address) = closed_port();
    let later = start_later(socket, Reply::Send(stream("data: a\n\n")));
    let url = format!("http://{address}/s");
    let run = listen(&[&url, "--wait", "--max-wait", "100ms", "--count", "1"]).await;
    run.result.unwrap();
    assert!(run.notes.starts_with("cannot connect"), "{}", run.notes);
    later.await.unwrap();
}

#[tokio::test]
async fn without_reconnecting_the_end_of_the_stream_is_the_end() {
    let server = Server::start([Reply::Send(stream("data: a\n\n"))]).await;
    let run = listen(&[&server.url("/s"), "--no-reconnect"]).await;
    run.result.unwrap();
    assert!(
        run.notes
            .ends_with("closed: 1 events, 0 gaps, 0 reconnects\n")
    );
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\n";
    let server = Server::start([Reply::Send(format!("{head}data: a\n\n"))]).await;
    let run = listen(&[&server.url("/s"), "--no-reconnect"]).await;
    assert_eq!(run.failure().0, 1, "a cut stream is a failure");
}

#[tokio::test]
async fn an_event_without_end_is_a_failure_and_not_a_full_memory() {
    let endless = stream(&"x".repeat(17 * 1024 * 1024));
    let server = Server::start([Reply::Hold(endless)]).await;
    let (code, message) = listen(&[&server.url("/s")]).await.failure();
    assert_eq!(code, 1);
    assert!(message.contains("a line of more than"), "{message}");
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sesame\n").unwrap();
    let token = Token::read(Some(&file.path().to_owned()), Some("other".to_owned())).unwrap();
    let server = Server::start([
        Reply::Send(stream("retry: 100\n")),
        problem("401 Unauthorized", ""),
    ])
    .await;
    let run = listen_with(&[&server.url("/s")], token).await;
    assert_eq!(run.failure().0, 3);
    for request in server.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer sesame"));
    }
    assert!(!format!("{:?}{}", run.result, run.notes).contains("sesame"));
}

/// A run whose output and end the test holds in its hands.
struct Background {
    out: DuplexStream,
    stop: oneshot::Sender<()>,
    task: JoinHandle<(Result<(), Failure>, String)>,
}

fn listen_in_background(url: &str) -> Background {
    let args = Listen::try_parse_from(["listen", url, "--json"]).unwrap();
    let (out, writer) = tokio::io::duplex(1024);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let mut notes = String::new();
        let tell = |note: listen::note::Note| notes.push_str(&format!("{note}\n"));
        let stopped = async { stopped.await.unwrap() };
        let run = listen::listen(args.args, None, writer, stopped, tell);
        (bounded(run).await, notes)
    });
    Background { out, stop, task }
}

#[tokio::test]
async fn an_interrupt_ends_it_with_a_closing_line() {
    let server = Server::start([Reply::Hold(stream("data: a\n\n"))]).await;
    let mut run = listen_in_background(&server.url("/s"));
    let wanted = b"{\"id\":\"\",\"event\":\"message\",\"data\":\"a\"}\n";
    let mut line = vec![0; wanted.len()];
    run.out.read_exact(&mut line).await.unwrap();
    assert_eq!(line, wanted, "an event is there while its stream is open");
    run.stop.send(()).unwrap();
    let (result, notes) = run.task.await.unwrap();
    result.unwrap();
    assert!(
        notes.ends_with("closed: 1 events, 0 gaps, 0 reconnects\n"),
        "{notes}"
    );
}

#[tokio::test]
async fn a_reader_that_went_away_ends_it_quietly() {
    let server = Server::start([Reply::Hold(stream("data: a\n\n"))]).await;
    let Background { out, stop, task } = listen_in_background(&server.url("/s"));
    drop(out);
    task.await.unwrap().0.unwrap();
    drop(stop);
}

#[derive(Parser)]
struct Publish {
    #[command(flatten)]
    args: publish::Args,
}

async fn publish(url: &str, line: &[&str], input: &str) -> Run {
    let line = [&["publish", "--url", url][..], line].concat();
    let args = Publish::try_parse_from(line).unwrap().args;
    let (mut out, mut notes) = (Vec::new(), String::new());
    let tell = |note: publish::delivery::Note| notes.push_str(&format!("{note}\n"));
    let run = publish::publish(args, None, input.as_bytes(), &mut out, tell);
    Run {
        result: bounded(run).await,
        out: String::from_utf8(out).unwrap(),
        notes,
    }
}

fn published(id: &str) -> Reply {
    let headers = "content-type: application/json\r\n";
    answer("201 Created", headers, &format!("{{\"id\":\"{id}\"}}"))
}

#[tokio::test]
async fn an_event_is_posted_to_its_channel_and_its_id_printed() {
    let server = Server::start([published("x1")]).await;
    let line = [
        "a/b é",
        r#"{"n":1}"#,
        "--json",
        "--type",
        "t",
        "--attribute",
        "kind=x",
    ];
    let run = publish(&server.url(""), &line, "").await;
    run.result.unwrap();
    assert_eq!(run.out, "x1\n");
    let request = &server.requests()[0];
    assert_eq!(
        request.line,
        "POST /v1/channels/a%2Fb%20%C3%A9/events HTTP/1.1"
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(
        request.body,
        r#"{"event":"t","data":{"n":1},"attributes":{"kind":"x"}}"#
    );
}

#[tokio::test]
async fn data_come_from_standard_input_unless_a_channel_is_just_ended() {
    let server = Server::start(["1", "2", "3"].map(published)).await;
    for line in [&["c"][..], &["c", "-", "--end"], &["c", "--end"]] {
        let run = publish(&server.url(""), line, "two\nlines\n").await;
        run.result.unwrap();
    }
    let bodies: Vec<_> = server.requests().into_iter().map(|r| r.body).collect();
    assert_eq!(
        bodies,
        [
            r#"{"data":"two\nlines"}"#,
            r#"{"data":"two\nlines","end":true}"#,
            r#"{"end":true}"#
        ]
    );
}

#[tokio::test]
async fn a_try_that_failed_is_repeated_under_the_same_key() {
    let server = Server::start([
        problem("503 Service Unavailable", "retry-after: 0\r\n"),
        Reply::Send(String::new()),
        answer("200 OK", "", r#"{"id":"x1"}"#),
    ])
    .await;
    let run = publish(&server.url(""), &["c", "x"], "").await;
    run.result.unwrap();
    assert_eq!(run.out, "x1\n");
    let requests = server.requests();
    let keys: Vec<_> = requests
        .iter()
        .map(|r| r.header("idempotency-key").unwrap())
        .collect();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0].len(), 32);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let notes: Vec<&str> = run.notes.lines().collect();
    assert!(
        notes[0].contains("503 Not so: it rains; trying again"),
        "{notes:?}"
    );
    assert!(notes[1].contains("did not answer"), "{notes:?}");
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_until_the_relay_is_there() {
    let (socket, address) = closed_port();
    let later = start_later(socket, published("x1"));
    let url = format!("http://{address}");
    let run = publish(&url, &["c", "x", "--idempotency-key", "mine"], "").await;
    run.result.unwrap();
    assert!(run.notes.contains("cannot connect"), "{}", run.notes);
    let server = later.await.unwrap();
    assert_eq!(server.requests()[0].header("idempotency-key"), Some("mine"));
}

#[tokio::test]
async fn trying_ends_with_the_timeout() {
    let line = ["c", "x", "--timeout", "300ms"];
    let (_socket, address) = closed_port();
    let url = format!("http://{address}");
    let (code, message) = publish(&url, &line, "").await.failure();
    assert_eq!(code, 4, "{message}");
    let busy = problem("503 Service Unavailable", "retry-after: 60\r\n");
    let server = Server::start([busy]).await;
    let (code, message) = publish(&server.url(""), &line, "").await.failure();
    assert_eq!(code, 3, "{message}");
}

#[tokio::test]
async fn a_request_without_an_answer_is_neither_a_success_nor_a_failure() {
    let server = Server::start([Reply::Hold(String::new())]).await;
    let line = ["c", "x", "--timeout", "300ms"];
    let (code, message) = publish(&server.url(""), &line, "").await.failure();
    let requests = server.requests();
    let key = requests[0].header("idempotency-key").unwrap();
    assert_eq!(code, 1);
    assert!(
        message.contains("may have been published or not"),
        "{message}"
    );
    assert!(message.contains(key), "{message}");

    let server = Server::start([Reply::Send(String::new())]).await;
    let line = ["c", "x", "--timeout", "600ms"];
    let (_, message) = publish(&server.url(""), &line, "").await.failure();
    assert!(
        message.contains("may have been published or not"),
        "a refused connection afterwards says nothing of the first try: {message}"
    );
}

#[tokio::test]
async fn other_problems_are_told_at_once() {
    let server = Server::start([problem("422 Unprocessable Content", "")]).await;
    let run = publish(&server.url(""), &["c", "x"], "").await;
    let (code, message) = run.failure();
    assert_eq!((code, run.notes.as_str(), run.out.as_str()), (3, "", ""));
    assert!(
        message.ends_with("refused: 422 Not so: it rains"),
        "{message}"
    );
    let server = Server::start([answer("200 OK", "", "<html>")]).await;
    let (code, message) = publish(&server.url(""), &["c", "x"], "").await.failure();
    assert_eq!(code, 1);
    assert!(
        message.contains("cannot understand the answer"),
        "{message}"
    );
}

#[tokio::test]
async fn lines_are_sent_together_and_fail_one_by_one() {
    let body = r#"{"results":[{"line":1,"id":"x1"},{"line":2,"error":{"type":"t","title":"Bad","detail":"no type"}},{"line":3,"id":"x3"}],"accepted":2,"failed":1}"#;
    let server = Server::start([answer("207 Multi-Status", "", body)]).await;
    let input = "{\"data\":1}\n\nnot json\n{\"data\":3}";
    let run = publish(&server.url(""), &["c", "--ndjson"], input).await;
    assert_eq!(run.out, "x1\nx3\n");
    assert_eq!(run.notes, "line 3: Bad: no type\n");
    assert_eq!(run.failure(), (1, "1 of 3 lines failed".to_owned()));
    let request = &server.requests()[0];
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(request.body, "{\"data\":1}\nnot json\n{\"data\":3}\n");
}

#[tokio::test]
async fn a_batch_in_which_all_failed_differs_from_one_that_was_refused() {
    let body = r#"{"results":[{"line":1,"error":{"title":"Bad"}}],"accepted":0,"failed":1}"#;
    let server = Server::start([answer("400 Bad Request", "", body)]).await;
    let run = publish(&server.url(""), &["c", "--ndjson"], "x\n").await;
    assert_eq!(run.notes, "line 1: Bad\n");
    assert_eq!(run.failure().0, 1);
    let server = Server::start([problem("413 Content Too Large", "")]).await;
    let run = publish(&server.url(""), &["c", "--ndjson"], "\nx\ny\n").await;
    assert_eq!(run.notes, "lines 2 to 3 were not published\n");
    assert_eq!(run.failure().0, 3);
}

#[tokio::test]
async fn an_event_can_be_published_again_and_again() {
    let server = Server::start(["1", "2", "3"].map(published)).await;
    let line = ["c", "x", "--every", "10ms", "--count", "3"];
    let run = publish(&server.url(""), &line, "").await;
    run.result.unwrap();
    assert_eq!(run.out, "1\n2\n3\n");
    let requests = server.requests();
    let keys: BTreeSet<_> = requests
        .iter()
        .map(|r| r.header("idempotency-key"))
        .collect();
    assert_eq!(keys.len(), 3, "each is an event of its own");
}
