//! An issuer: pairs of keys, and a real HTTP server that publishes them, or fails to.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use relay_config::Algorithm;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use sse_relay::auth::jwt::sign::SigningKey;
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A pair of keys with a name.
pub struct Pair {
    pub id: String,
    signing: SigningKey,
    x: String,
}

impl Pair {
    pub fn new(id: &str) -> Pair {
        let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
        let body = STANDARD.encode(private.as_ref());
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        );
        Pair {
            id: id.to_owned(),
            signing: SigningKey::new(Algorithm::EdDSA, pem.as_bytes()).unwrap(),
            x: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        }
    }

    pub fn bearer(&self, claims: &Value) -> String {
        let claims = claims.as_object().unwrap();
        let token = self.signing.sign(Some(&self.id), claims).unwrap();
        format!("Authorization: Bearer {token}")
    }
}

/// What is published of some pairs.
pub fn set(pairs: &[&Pair]) -> String {
    let keys: Vec<Value> = pairs
        .iter()
        .map(|pair| json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": pair.id, "x": pair.x}))
        .collect();
    json!({ "keys": keys }).to_string()
}

/// What the server does with a request.
#[derive(Clone)]
pub enum Reply {
    Set(String),
    Status(u16),
    /// A body without end.
    Huge,
    /// A good set, byte by byte, so that no single byte is late and the last one never comes.
    Slowly(String),
    /// Nothing, and the connection stays.
    Never,
    /// The connection ends.
    Drop,
}

pub struct Publisher {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    reply: Mutex<Reply>,
    held: Mutex<bool>,
    released: Condvar,
    asked: AtomicUsize,
}

impl Publisher {
    pub fn start(reply: Reply) -> Publisher {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let publisher = Publisher {
            address: listener.local_addr().unwrap(),
            state: Arc::new(State {
                reply: Mutex::new(reply),
                held: Mutex::new(false),
                released: Condvar::new(),
                asked: AtomicUsize::new(0),
            }),
        };
        let state = publisher.state.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let state = state.clone();
                std::thread::spawn(move || state.answer(socket));
            }
        });
        publisher
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    pub fn reply(&self, reply: Reply) {
        *self.state.reply.lock().unwrap() = reply;
    }

    /// Lets requests wait.
    pub fn hold(&self) {
        *self.state.held.lock().unwrap() = true;
    }

    pub fn release(&self) {
        *self.state.held.lock().unwrap() = false;
        self.state.released.notify_all();
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }
}

impl State {
    fn answer(&self, mut socket: TcpStream) {
        let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        self.asked.fetch_add(1, Ordering::SeqCst);
        let held = self.held.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
        let reply = self.reply.lock().unwrap().clone();
        let head = |status: u16, more: &str| {
            format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{more}\r\n")
        };
        // the relay may have turned away meanwhile
        let _ = match reply {
            Reply::Set(set) => {
                let length = format!("content-length: {}\r\n", set.len());
                socket.write_all((head(200, &length) + &set).as_bytes())
            }
            Reply::Status(status) => {
                let more = "content-length: 0\r\nlocation: /elsewhere\r\n";
                socket.write_all(head(status, more).as_bytes())
            }
            Reply::Huge => {
                let _ = socket.write_all(head(200, "").as_bytes());
                while socket.write_all(&[b' '; 65536]).is_ok() {}
                Ok(())
            }
            Reply::Slowly(set) => {
                let length = format!("content-length: {}\r\n", set.len());
                let _ = socket.write_all(head(200, &length).as_bytes());
                let mut bytes = set.bytes().take(set.len() - 1);
                while let Some(byte) = bytes.next()
                    && socket.write_all(&[byte]).is_ok()
                {
                    std::thread::sleep(Duration::from_millis(50));
                }
                lines.next(); // until the relay turns away
                Ok(())
            }
            Reply::Never => {
                lines.next(); // until the relay turns away
                Ok(())
            }
            Reply::Drop => Ok(()),
        };
    }
}
