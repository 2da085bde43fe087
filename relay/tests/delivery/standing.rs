//! Streams whose credential is taken away while much is published: they end, and no others.

use super::{
    client::{Request, Subscriber},
    relay::{Answer, Event, PATIENCE, Publisher, Relay, eventually},
};
use relay_config::Algorithm;
use serde_json::{Value, json};
use sse_relay::auth::{hash_of, jwt::sign::SigningKey};
use std::{
    cell::Cell,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
    time::{sleep, timeout},
};

const OPERATOR: &str = "operator secret";

async fn open(relay: &Relay, query: &str, token: &str) -> Subscriber {
    let request = Request::new(query).header("authorization", format!("Bearer {token}"));
    Subscriber::open(relay.public, &request).await
}

/// A request with JSON.
async fn post(relay: &Relay, path: &str, token: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let mut socket = TcpStream::connect(relay.public).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        relay.public,
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Reads to the event `end`; what it says.
async fn end_of(stream: &mut Subscriber) -> String {
    let end = timeout(PATIENCE, async {
        loop {
            let event = stream.next().await.expect("it is told before it ends");
            if event.kind == "end" {
                return event.data;
            }
        }
    });
    end.await.expect("it ends")
}

/// Publishes numbers until it is told to stop, but not more than a test reads on a busy machine; the last one.
async fn publish_on(relay: Rc<Relay>, channel: &'static str, stop: Rc<Cell<bool>>) -> u32 {
    let mut publisher = Publisher::new(&relay).await;
    let mut number = 0;
    while !stop.get() {
        number += 1;
        publisher
            .publish(channel, Event::new(number.to_string()))
            .await;
        sleep(Duration::from_millis(2)).await;
    }
    number
}

/// Whether a stream got every number up to the last one, each once.
async fn is_whole(stream: &mut Subscriber, last: u32) {
    let data = timeout(PATIENCE, stream.rest_until(&last.to_string())).await;
    let data = data.expect("all of them");
    let numbers: Vec<u32> = data.iter().map(|data| data.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[tokio::test]
async fn a_token_revoked_under_load_its_streams_end_its_return_is_refused_and_others_feel_nothing()
{
    let token = |name: &str, more: &str| {
        let hash = hash_of(&format!("{name} secret"));
        format!("    - {{name: {name}, sha256: {hash}, subscribe: ['**']{more}}}\n")
    };
    let yaml = format!(
        "auth:\n  anonymous: {{publish: ['**']}}\n  tokens:\n{}{}{}",
        token("a", ""),
        token("b", ""),
        token("operator", ", manage: [disconnect]")
    );
    let relay = Rc::new(Relay::start(&yaml).await);
    let (mut revoked, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        revoked.push(open(&relay, "channel=news", "a secret").await);
        kept.push(open(&relay, "channel=news", "b secret").await);
    }
    let stop = Rc::new(Cell::new(false));
    let local = LocalSet::new();
    let publishing = local.spawn_local(publish_on(relay.clone(), "news", stop.clone()));
    local
        .run_until(async {
            for stream in revoked.iter_mut().chain(&mut kept) {
                assert!(stream.next().await.is_some(), "under load");
            }
            let began = Instant::now();
            let answer = post(&relay, "/v1/revocations", OPERATOR, &json!({"token": "a"})).await;
            assert_eq!((answer.status, &answer.json()["ended"]), (200, &json!(100)));
            for stream in &mut revoked {
                assert_eq!(end_of(stream).await, "{\"reason\":\"revoked\"}");
            }
            println!("100 streams had ended after {:?}", began.elapsed());
            assert_eq!(open(&relay, "channel=news", "a secret").await.status, 401);
            stop.set(true);
            let last = publishing.await.unwrap();
            for stream in &mut kept {
                is_whole(stream, last).await;
            }
        })
        .await;
}

const OLD: &[u8] = b"the old secret of the issuer's, which leaves";
const NEW: &[u8] = b"the new secret of the issuer's, which comes ";
const OTHER: &[u8] = b"the only secret of the other issuer, for now";

/// A configuration with these issuers, each with these of the keys in the folder.
fn issuers(folder: &Path, issuers: &[(&str, &[&str])]) -> String {
    let jwt: Vec<Value> = issuers
        .iter()
        .map(|(name, keys)| {
            let key = |name: &&str| json!({"id": name, "secretFile": folder.join(name)});
            json!({
                "name": name, "issuer": format!("https://{name}.example"), "expiry": "optional",
                "keys": keys.iter().map(key).collect::<Vec<_>>(),
                "grant": {"subscribe": ["**"]},
            })
        })
        .collect();
    // a document of JSON is one of YAML
    json!({"auth": {"anonymous": {"publish": ["**"], "subscribe": ["public"]}, "jwt": jwt}})
        .to_string()
}

fn signed(issuer: &str, id: &str, secret: &[u8]) -> String {
    let claims = json!({"iss": format!("https://{issuer}.example"), "sub": id});
    let key = SigningKey::new(Algorithm::HS256, secret).unwrap();
    key.sign(Some(id), claims.as_object().unwrap()).unwrap()
}

#[tokio::test]
async fn streams_of_a_key_or_an_issuer_that_is_taken_away_end_and_no_others_under_load() {
    let folder = TempDir::new().unwrap();
    for (name, secret) in [("old", OLD), ("new", NEW), ("other", OTHER)] {
        std::fs::write(folder.path().join(name), secret).unwrap();
    }
    let document = |named: &[(&str, &[&str])]| issuers(folder.path(), named);
    let relay = document(&[("id", &["old"]), ("second", &["other"])]);
    let relay = Rc::new(Relay::start(&relay).await);
    let (by_old, by_new) = (signed("id", "old", OLD), signed("id", "new", NEW));
    let by_second = signed("second", "other", OTHER);
    let mut old = open(&relay, "channel=news", &by_old).await;
    let ticket = post(
        &relay,
        "/v1/tickets",
        &by_old,
        &json!({"channels": ["news"]}),
    )
    .await;
    let ticket = ticket.json()["ticket"].as_str().unwrap().to_owned();
    let query = format!("ticket={ticket}&channel=news");
    let mut of_ticket = Subscriber::open(relay.public, &Request::new(&*query)).await;
    let mut second = open(&relay, "channel=news", &by_second).await;
    assert_eq!(
        (old.status, of_ticket.status, second.status),
        (200, 200, 200)
    );
    let stop = Rc::new(Cell::new(false));
    let local = LocalSet::new();
    let publishing = local.spawn_local(publish_on(relay.clone(), "news", stop.clone()));
    local
        .run_until(async {
            assert_eq!(open(&relay, "channel=news", &by_new).await.status, 401);
            // the new key comes beside the old one, which takes nobody's stream
            relay.rewrite(&document(&[
                ("id", &["old", "new"]),
                ("second", &["other"]),
            ]));
            eventually("the new key counts", async || {
                open(&relay, "channel=news", &by_new).await.status == 200
            })
            .await;
            let mut new = open(&relay, "channel=news", &by_new).await;
            for stream in [&mut old, &mut of_ticket, &mut second, &mut new] {
                assert_eq!(stream.next().await.unwrap().kind, "message");
            }
            // the old one leaves, and with it all that it was good for
            relay.rewrite(&document(&[("id", &["new"]), ("second", &["other"])]));
            for stream in [&mut old, &mut of_ticket] {
                assert_eq!(end_of(stream).await, "{\"reason\":\"revoked\"}");
            }
            assert_eq!(open(&relay, "channel=news", &by_old).await.status, 401);
            let again = Subscriber::open(relay.public, &Request::new(&*query)).await;
            assert_eq!(again.status, 401, "nor does its ticket open anything");
            // an issuer leaves
            relay.rewrite(&document(&[("id", &["new"])]));
            assert_eq!(end_of(&mut second).await, "{\"reason\":\"revoked\"}");
            stop.set(true);
            let last = publishing.await.unwrap();
            is_whole(&mut new, last).await;
        })
        .await;
}
