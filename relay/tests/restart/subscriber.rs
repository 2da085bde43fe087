//! A subscriber that comes back with its Last-Event-ID, as a browser's EventSource does.

use serde_json::Value;
use sse_relay::sse_parser::{Item, Parser};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// How long a read waits before the subscriber looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Whether a subscriber also leaves by itself. Who is always there sees live what a restart may
/// lose, so only one who was away finds out whether it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    Steady,
    Restless,
}

pub struct Subscriber {
    manner: Manner,
    to: SocketAddr,
    query: String,
    last_event_id: String,
    /// Id and data of every event, in the order they came.
    pub events: Vec<(String, String)>,
    pub gaps: Vec<Value>,
    pub connections: usize,
    /// What else happened, and how many events had come by then.
    pub notes: Vec<(usize, String)>,
}

impl Subscriber {
    /// `query` is that of the first opening and of every other one.
    pub fn new(to: SocketAddr, query: &str) -> Subscriber {
        Subscriber {
            manner: Manner::Steady,
            to,
            query: query.to_owned(),
            last_event_id: String::new(),
            events: Vec::new(),
            gaps: Vec::new(),
            connections: 0,
            notes: Vec::new(),
        }
    }

    /// To everything of some channels.
    pub fn of(to: SocketAddr, channels: &[&str], manner: Manner) -> Subscriber {
        let selectors = channels.iter().map(|channel| format!("channel={channel}&"));
        let query = selectors.collect::<String>() + "from=earliest";
        Subscriber {
            manner,
            ..Subscriber::new(to, &query)
        }
    }

    pub fn resuming(self, last_event_id: &str) -> Subscriber {
        Subscriber {
            last_event_id: last_event_id.to_owned(),
            ..self
        }
    }

    /// Reads, and comes back whenever it is cut off, until `enough` says so.
    pub fn read_until(&mut self, mut enough: impl FnMut(&Subscriber) -> bool) {
        while !enough(self) {
            // cut off or refused: a client does not ask why, it returns
            if let Err(error) = self.one_connection(&mut enough) {
                self.note(format!("cut off: {error}"));
            }
            let away = match self.manner {
                Manner::Steady => 5,
                Manner::Restless => rand::random_range(5..300),
            };
            std::thread::sleep(Duration::from_millis(away));
        }
    }

    /// Reads until it is over, and from then on, without leaving any more, until `enough` says so: who
    /// still leaves now and then on a machine that is too busy may not get on, which is no loss, and no end.
    pub fn read_through(
        &mut self,
        over: impl Fn() -> bool,
        enough: impl FnMut(&Subscriber) -> bool,
    ) {
        self.read_until(|_| over());
        self.manner = Manner::Steady;
        self.read_until(enough);
    }

    /// As [`Subscriber::read_until`], for one that has to be satisfied soon.
    pub fn read_soon(&mut self, mut enough: impl FnMut(&Subscriber) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(180);
        self.read_until(|subscriber| {
            let done = enough(subscriber);
            let (events, notes) = (&subscriber.events, &subscriber.notes);
            assert!(done || Instant::now() < deadline, "{events:?} {notes:#?}");
            done
        });
    }

    fn one_connection(&mut self, enough: &mut impl FnMut(&Subscriber) -> bool) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.to)?;
        stream.set_read_timeout(Some(LOOK))?;
        let resume = match self.last_event_id.as_str() {
            "" => String::new(),
            id => format!("Last-Event-ID: {id}\r\n"),
        };
        let (to, query) = (self.to, &self.query);
        write!(
            stream,
            "GET /v1/events?{query} HTTP/1.1\r\nHost: {to}\r\nAccept: text/event-stream\r\n{resume}\r\n"
        )?;
        let mut parser = Parser::resuming(self.last_event_id.clone());
        let (mut body, mut buffer, mut items) = (Body::default(), [0; 16 * 1024], Vec::new());
        let leave = match self.manner {
            Manner::Steady => None,
            Manner::Restless => Some(Duration::from_millis(rand::random_range(20..300))),
        };
        let opened = Instant::now();
        while !enough(self) && leave.is_none_or(|after| opened.elapsed() < after) {
            let count = match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let text = body.push(&buffer[..count])?;
            if let Some(head) = body.head.take() {
                self.connections += 1;
                let relay = head.lines().find_map(|line| line.strip_prefix("X-Relay: "));
                let relay = relay.unwrap_or("the relay");
                self.note(format!("at {relay} after {:?}", self.last_event_id));
            }
            parser.push(&text, &mut items).map_err(io::Error::other)?;
            self.last_event_id = parser.last_event_id().to_owned();
            for item in items.drain(..) {
                self.take(item);
            }
        }
        Ok(())
    }

    fn take(&mut self, item: Item) {
        let Item::Event {
            kind,
            data,
            last_event_id,
        } = item
        else {
            return;
        };
        match kind.as_str() {
            "message" => self.events.push((last_event_id, data)),
            "gap" => {
                self.note(format!("gap {data}"));
                self.gaps.push(serde_json::from_str(&data).unwrap());
            }
            _ => {}
        }
    }

    fn note(&mut self, what: String) {
        self.notes.push((self.events.len(), what));
    }
}

/// The body of a chunked answer, as it comes.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    began: bool,
    /// Of the answer, once it has come.
    head: Option<String>,
}

impl Body {
    /// What became complete of the body.
    fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.bytes.extend_from_slice(bytes);
        if !self.began {
            let Some(end) = find(&self.bytes, b"\r\n\r\n") else {
                return Ok(Vec::new());
            };
            if !self.bytes.starts_with(b"HTTP/1.1 200 ") {
                return Err(io::Error::other("refused"));
            }
            let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
            self.head = Some(String::from_utf8_lossy(&head).into_owned());
            self.began = true;
        }
        let mut out = Vec::new();
        while let Some(line) = find(&self.bytes, b"\r\n") {
            let size = std::str::from_utf8(&self.bytes[..line]).map_err(io::Error::other)?;
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let end = line + 2 + size;
            if self.bytes.len() < end + 2 {
                break;
            }
            out.extend_from_slice(&self.bytes[line + 2..end]);
            self.bytes.drain(..end + 2);
        }
        Ok(out)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
