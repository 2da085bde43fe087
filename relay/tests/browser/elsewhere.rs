//! A page of another origin, in a real Chromium: what it may read and do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::dashboard::Dashboard;
use crate::relay::Relay;
use crate::run;

const SECRET: &str = "backend-secret";

/// Serves an empty page until the test's process ends, and says under which origin.
pub fn elsewhere() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let head = BufReader::new(stream.try_clone().expect("a socket opens twice")).lines();
            for line in head.map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
            }
            let page = "<!doctype html><title>elsewhere</title><body>";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{page}",
                page.len()
            );
        }
    });
    format!("http://localhost:{port}")
}

fn auth() -> Value {
    json!({
        "anonymous": {"subscribe": ["public.**"]},
        "tokens": [{"name": "backend", "sha256": sse_relay::auth::hash_of(SECRET), "publish": ["**"]}],
    })
}

/// A page of `origin` beside a relay with this section `cors`.
async fn page_of(origin: &str, cors: Value) -> Dashboard {
    page_with(origin, auth(), cors).await
}

/// The same, with this section `auth`.
pub async fn page_with(origin: &str, auth: Value, cors: Value) -> Dashboard {
    page_beside(
        origin,
        &[("SSE_RELAY_AUTH", auth), ("SSE_RELAY_CORS", cors)],
    )
    .await
}

/// A page of `origin` beside a relay with these settings.
pub async fn page_beside(origin: &str, settings: &[(&'static str, Value)]) -> Dashboard {
    let settings = settings.iter();
    let relay = Relay::start_configured(
        settings
            .map(|(name, value)| (*name, value.to_string()))
            .collect(),
    )
    .await;
    let page = Dashboard::open_at(relay, origin).await;
    page.eval(
        "(() => { window.seen = []; window.watch = (name, url, options) => {
            const source = new EventSource(url, options);
            source.onopen = () => seen.push(name + ' open');
            source.onmessage = (event) => seen.push(name + ' ' + event.data);
            source.onerror = () => seen.push(name + ' error ' + source.readyState);
        } })()",
    )
    .await;
    page
}

/// The value of what a promise of JavaScript becomes, or `failed` if it is refused.
pub async fn awaited(page: &Dashboard, promise: &str) -> Value {
    page.eval(&format!(
        "(() => {{ window.got = undefined; {promise}.then((value) => window.got = value, () => window.got = 'failed'); }})()"
    ))
    .await;
    page.until("window.got").await
}

pub fn saw(text: &str) -> String {
    format!("seen.includes({text:?})")
}

#[test]
fn a_page_of_a_named_origin_streams_publishes_and_reads_why_it_may_not() {
    run(async {
        let origin = elsewhere();
        let page = page_of(&origin, json!({"origins": [origin], "credentials": true})).await;
        let relay = page.relay.url();
        let stream = format!("{relay}v1/events?channel=public.a");
        page.eval(&format!("watch('bare', {stream:?})")).await;
        page.eval(&format!(
            "watch('cookies', {stream:?}, {{withCredentials: true}})"
        ))
        .await;
        page.until(&saw("bare open")).await;
        page.until(&saw("cookies open")).await;
        let publish = format!("{relay}v1/channels/public.a/events");
        let status = awaited(
            &page,
            &format!(
                "fetch({publish:?}, {{method: 'POST', body: 'hello', credentials: 'include',
                    headers: {{'Authorization': 'Bearer {SECRET}', 'Sse-Attribute': 'kind=x'}}}})
                    .then((answer) => answer.status)"
            ),
        )
        .await;
        assert_eq!(status, 201);
        page.until(&saw("bare hello")).await;
        page.until(&saw("cookies hello")).await;
        let why = awaited(
            &page,
            &format!(
                "fetch({publish:?}, {{method: 'POST', body: 'x'}}).then(async (answer) => 
                    [answer.status, (await answer.json()).type, answer.headers.get('WWW-Authenticate')])"
            ),
        )
        .await;
        assert_eq!(
            why,
            json!([
                401,
                "urn:sse-relay:problem:unauthenticated",
                "Bearer realm=\"sse-relay\""
            ])
        );
    });
}

#[test]
fn without_credentials_a_page_cannot_send_its_users_cookies() {
    run(async {
        let origin = elsewhere();
        let page = page_of(&origin, json!({"origins": [origin]})).await;
        let stream = format!("{}v1/events?channel=public.a", page.relay.url());
        page.eval(&format!("watch('bare', {stream:?})")).await;
        page.until(&saw("bare open")).await;
        page.eval(&format!(
            "watch('cookies', {stream:?}, {{withCredentials: true}})"
        ))
        .await;
        // 2 is CLOSED: EventSource gives up
        page.until(&saw("cookies error 2")).await;
        assert_eq!(page.eval(&saw("cookies open")).await, false);
    });
}

#[test]
fn a_page_of_any_other_origin_reads_nothing() {
    run(async {
        let (named, other) = (elsewhere(), elsewhere());
        let page = page_of(&other, json!({"origins": [named], "credentials": true})).await;
        let relay = page.relay.url();
        page.eval(&format!(
            "watch('foreign', '{relay}v1/events?channel=public.a')"
        ))
        .await;
        page.until(&saw("foreign error 2")).await;
        let publish = format!("{relay}v1/channels/public.a/events");
        let refused = awaited(
            &page,
            &format!(
                "fetch({publish:?}, {{method: 'POST', body: 'x', headers: {{'Authorization': 'Bearer {SECRET}'}}}})"
            ),
        )
        .await;
        assert_eq!(refused, "failed");
        let read = awaited(&page, &format!("fetch('{relay}health')")).await;
        assert_eq!(read, "failed");
    });
}
