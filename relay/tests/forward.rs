//! Another application is asked who sends a request (`auth.forward`), against the real relay.

#![allow(clippy::unwrap_used)]

#[path = "forward/application.rs"]
mod application;
mod support;

use application::{Application, Reply};
use serde_json::{Value, json};
use support::{Answer, Relay};

const ANN: &str = "Cookie: session=ann-secret; theme=dark";

fn relay(application: &Application, more: &Value) -> Relay {
    let mut forward = json!({"url": application.url(), "timeout": "1s", "cache": "0s"});
    for (name, value) in more.as_object().unwrap() {
        forward[name] = value.clone();
    }
    let auth = json!({
        "forward": forward,
        "anonymous": {"subscribe": ["public"]},
        "tokens": [{"name": "backend", "sha256": sse_relay::auth::hash_of("backend"), "publish": ["**"]}],
    });
    Relay::start_with(&[("SSE_RELAY_AUTH", &auth.to_string())], &[])
}

fn publish(relay: &Relay, channel: &str, headers: &[&str]) -> Answer {
    let target = format!("/v1/channels/{channel}/events");
    relay.request("POST", &target, headers, b"x")
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

fn asks(relay: &Relay, result: &str) -> u64 {
    let line = format!("sse_relay_forward_asks_total{{result=\"{result}\"}} ");
    let scrape = relay.scrape();
    let found = scrape.lines().find_map(|text| text.strip_prefix(&line));
    found.unwrap().parse().unwrap()
}

#[test]
fn the_answer_of_an_application_says_what_a_sender_may_do() {
    let application = Application::start(Reply::Json(json!({
        "subject": "ann", "publish": ["orders.*"], "subscribe": ["orders.**"], "more": {"ignored": 1},
    })));
    let relay = relay(&application, &json!({}));
    assert_eq!(publish(&relay, "orders.eu", &[ANN]).status, 201);
    let denied = publish(&relay, "news", &[ANN]);
    assert_eq!(told(&denied), (403, "not-granted".to_owned()));
    let mut stream = relay.connect();
    let target = "/v1/events?channel=orders.eu";
    stream.send(support::request("GET", target, &[ANN], b""));
    stream.until("retry: ");
    assert_eq!(publish(&relay, "orders.eu", &[ANN]).status, 201);
    stream.until("data: x\n");
    let asked = application.asked();
    assert!(
        asked
            .iter()
            .all(|head| head.contains("cookie: session=ann-secret; theme=dark"))
    );
    assert_eq!(
        asked.len(),
        4,
        "each request is asked about once: {asked:?}"
    );
    // who shows a token of the relay's own, or nothing, is not asked about
    assert_eq!(
        publish(&relay, "orders.eu", &["Authorization: Bearer backend"]).status,
        201
    );
    relay.subscribe("channel=public");
    assert_eq!(publish(&relay, "orders.eu", &[]).status, 401);
    assert_eq!(application.asked().len(), 4);
    // what the relay cannot understand itself is passed on as it is
    let opaque = ["Authorization: Basic YTpi"];
    assert_eq!(publish(&relay, "orders.eu", &opaque).status, 201);
    assert!(application.asked()[4].contains("authorization: Basic YTpi"));
    assert!(!relay.output().contains("secret"), "{}", relay.output());
}

#[test]
fn refusals_are_passed_on_and_no_answer_is_never_an_open_door() {
    let application = Application::start(Reply::Status(401));
    let relay = relay(&application, &json!({}));
    let endless = json!({"publish": ["**"], "filler": "x".repeat(70_000)});
    for (reply, told_as, result) in [
        (Reply::Status(401), (401, "unauthenticated"), "unknown"),
        (Reply::Status(403), (403, "not-granted"), "forbidden"),
        (Reply::Status(500), (503, "auth-unavailable"), "status"),
        (Reply::Status(302), (503, "auth-unavailable"), "status"),
        (Reply::Status(404), (503, "auth-unavailable"), "status"),
        (Reply::Never, (503, "auth-unavailable"), "timeout"),
        (Reply::Drop, (503, "auth-unavailable"), "connection"),
        (Reply::Json(endless), (503, "auth-unavailable"), "malformed"),
        (
            Reply::Json(json!(["**"])),
            (503, "auth-unavailable"),
            "malformed",
        ),
        (
            Reply::Json(json!({"publish": ["a*"]})),
            (503, "auth-unavailable"),
            "malformed",
        ),
        (
            Reply::Json(json!({"publish": {"a": 1}})),
            (503, "auth-unavailable"),
            "malformed",
        ),
        (
            Reply::Json(json!({"publish": "**", "exp": "soon"})),
            (503, "auth-unavailable"),
            "malformed",
        ),
        (
            Reply::Json(json!({"publish": "**", "exp": 1})),
            (401, "unauthenticated"),
            "known",
        ),
    ] {
        application.reply(reply);
        let before = asks(&relay, result);
        let answer = publish(&relay, "orders.eu", &[ANN]);
        assert_eq!(told(&answer), (told_as.0, told_as.1.to_owned()), "{result}");
        assert_eq!(answer.header("retry-after").is_some(), told_as.0 == 503);
        let stream = relay.request("GET", "/v1/events?channel=orders.eu", &[ANN], b"");
        assert_eq!(told(&stream), (told_as.0, told_as.1.to_owned()), "{result}");
        assert_eq!(asks(&relay, result), before + 2, "{result}");
    }
    assert!(relay.output().contains("forward.failed"));
    // nobody can be asked about a browser's credential: it comes back, since it is given a stream that ends
    application.reply(Reply::Status(500));
    let browser = [ANN, "Sec-Fetch-Mode: cors"];
    let stream = relay.request("GET", "/v1/events?channel=orders.eu", &browser, b"");
    assert_eq!(stream.status, 200);
    let body = &stream.body;
    assert!(
        body.contains("retry: ") && !body.contains("data:"),
        "{body}"
    );
    application.reply(Reply::Status(401));
    let stream = relay.request("GET", "/v1/events?channel=orders.eu", &browser, b"");
    assert_eq!(
        stream.status, 401,
        "what does not pass by itself stays what it is"
    );
    application.reply(Reply::Json(json!({"publish": "**"})));
    assert_eq!(
        publish(&relay, "orders.eu", &[ANN]).status,
        201,
        "it is back"
    );
}

#[test]
fn the_same_headers_are_asked_about_once_however_many_wait() {
    let application = Application::start(Reply::Json(json!({"subscribe": ["**"]})));
    application.hold();
    let relay = relay(&application, &json!({"cache": "1h", "timeout": "20s"}));
    let mut streams: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = relay.connect();
            let target = "/v1/events?channel=orders.eu";
            stream.send(support::request("GET", target, &[ANN], b""));
            stream
        })
        .collect();
    application.release();
    for stream in &mut streams {
        stream.until("retry: ");
    }
    assert_eq!(application.asked().len(), 1);
    let mut other = relay.connect();
    let cookie = "Cookie: session=bob";
    other.send(support::request(
        "GET",
        "/v1/events?channel=a",
        &[cookie],
        b"",
    ));
    other.until("retry: ");
    assert_eq!(
        application.asked().len(),
        2,
        "other headers are another question"
    );
}

#[test]
fn the_headers_of_an_answer_and_a_fixed_grant_do_for_applications_that_know_no_channels() {
    let application = Application::start(Reply::Header("X-Auth-Request-User: ann".to_owned()));
    let more = json!({
        "headers": ["cookie", "x-api-key"],
        "claims": {"subject": "headers.x-auth-request-user"},
        "grant": {"publish": ["users.{headers.x-auth-request-user}.*"]},
        "lifetime": "3s",
    });
    let relay = relay(&application, &more);
    let key = ["X-Api-Key: k"];
    assert_eq!(publish(&relay, "users.ann.inbox", &key).status, 201);
    assert_eq!(publish(&relay, "users.bob.inbox", &key).status, 403);
    application.reply(Reply::Header("X-Auth-Request-User: *".to_owned()));
    assert_eq!(publish(&relay, "users.bob.inbox", &key).status, 503);
    application.reply(Reply::Json(json!({})));
    assert_eq!(publish(&relay, "users.bob.inbox", &key).status, 503);
}

#[test]
fn a_stream_ends_after_the_lifetime_of_the_answer() {
    let application = Application::start(Reply::Json(json!({"subscribe": ["**"]})));
    let relay = relay(&application, &json!({"lifetime": "3s"}));
    let mut stream = relay.connect();
    stream.send(support::request("GET", "/v1/events?channel=a", &[ANN], b""));
    stream.until("event: expiring\n");
    let rest = String::from_utf8_lossy(&stream.rest()).into_owned();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[test]
fn a_page_of_another_origin_does_not_use_the_cookies_of_its_visitor() {
    let application =
        Application::start(Reply::Json(json!({"publish": ["**"], "subscribe": ["**"]})));
    let relay = relay(&application, &json!({}));
    let foreign = [ANN, "Origin: https://evil.example"];
    let answer = publish(&relay, "orders.eu", &foreign);
    assert_eq!(told(&answer), (403, "cross-origin".to_owned()));
    let stream = relay.request("GET", "/v1/events?channel=a", &foreign, b"");
    assert_eq!(told(&stream), (403, "cross-origin".to_owned()));
    let link = [ANN, "Sec-Fetch-Site: cross-site"];
    let stream = relay.request("GET", "/v1/events?channel=a", &link, b"");
    assert_eq!(told(&stream), (403, "cross-origin".to_owned()));
    let own = [ANN, "Origin: http://localhost"];
    assert_eq!(publish(&relay, "orders.eu", &own).status, 201);
}
