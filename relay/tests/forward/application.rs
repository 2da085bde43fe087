//! A stand-in for an application that alone knows its users: a real HTTP server.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
};

/// What it does with a question.
#[derive(Clone)]
pub enum Reply {
    Json(Value),
    /// 202 with this header line, and no body.
    Header(String),
    Status(u16),
    /// Nothing, and the connection stays.
    Never,
    /// The connection ends.
    Drop,
}

pub struct Application {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    reply: Mutex<Reply>,
    held: Mutex<bool>,
    released: Condvar,
    /// The heads of the questions.
    asked: Mutex<Vec<String>>,
}

impl Application {
    pub fn start(reply: Reply) -> Application {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let application = Application {
            address: listener.local_addr().unwrap(),
            state: Arc::new(State {
                reply: Mutex::new(reply),
                held: Mutex::new(false),
                released: Condvar::new(),
                asked: Mutex::default(),
            }),
        };
        let state = application.state.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let state = state.clone();
                std::thread::spawn(move || state.answer(socket));
            }
        });
        application
    }

    pub fn url(&self) -> String {
        format!("http://{}/session", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn reply(&self, reply: Reply) {
        *self.state.reply.lock().unwrap() = reply;
    }

    /// Lets questions wait.
    pub fn hold(&self) {
        *self.state.held.lock().unwrap() = true;
    }

    pub fn release(&self) {
        *self.state.held.lock().unwrap() = false;
        self.state.released.notify_all();
    }

    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
}

impl State {
    fn answer(&self, mut socket: TcpStream) {
        let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
        let mut head = Vec::new();
        while let Some(Ok(line)) = lines.next()
            && !line.is_empty()
        {
            head.push(line);
        }
        if head.is_empty() {
            return; // a connection that was not used
        }
        self.asked.lock().unwrap().push(head.join("\n"));
        let held = self.held.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
        let reply = self.reply.lock().unwrap().clone();
        let answer = |status: u16, more: &str, body: &str| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n{body}"
            )
        };
        let text = match reply {
            Reply::Json(value) => {
                let json = "content-type: application/json; charset=utf-8\r\n";
                answer(200, json, &value.to_string())
            }
            Reply::Header(line) => answer(202, &format!("{line}\r\n"), ""),
            Reply::Status(status) => answer(status, "location: /login\r\n", ""),
            Reply::Never => {
                lines.next(); // until the relay turns away
                return;
            }
            Reply::Drop => return,
        };
        let _ = socket.write_all(text.as_bytes()); // the relay may have turned away meanwhile
    }
}
