//! The generator sees faults: against servers that each commit one, it reports exactly that one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay_bench::load::generator::{Generator, Plan, Publishing};
use relay_bench::load::outcome::Outcome;
use relay_bench::load::pace::Pace;
use relay_bench::load::subscribers::Subscribers;
use relay_bench::load::tally::Faults;

const STREAMS: u32 = 3;
const EVENTS: u32 = 12;
/// The event and the stream that suffer, by number of arrival at the server.
const VICTIM: usize = 5;
const STREAM: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Drops,
    Doubles,
    Swaps,
    SwapsForAll,
    Corrupts,
    Cuts,
    CutsMidEvent,
    Refuses,
    NeverAnswers,
    AnnouncesGap,
    BreaksFraming,
}

#[derive(Default)]
struct Server {
    streams: Vec<TcpStream>,
    published: usize,
    held: Vec<Vec<u8>>,
}

fn start(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Mutex::new(Server::default()));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let server = Arc::clone(&server);
            std::thread::spawn(move || serve(connection.unwrap(), fault, &server));
        }
    });
    format!("http://{address}")
}

/// Reads requests until the connection ends or becomes a stream.
fn serve(mut connection: TcpStream, fault: Fault, server: &Mutex<Server>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let (mut request, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            request.push_str(&line);
        }
        if request.starts_with("GET") {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n6\r\nid: 0\n\r\n1\r\n\n\r\n";
            let mut server = server.lock().unwrap();
            connection.write_all(head.as_bytes()).unwrap();
            server.streams.push(connection);
            return;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let status = publish(&mut server.lock().unwrap(), fault, &body);
        if fault == Fault::NeverAnswers {
            continue;
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
        connection.write_all(answer.as_bytes()).unwrap();
    }
}

fn publish(server: &mut Server, fault: Fault, body: &[u8]) -> u16 {
    let number = server.published;
    server.published += 1;
    if fault == Fault::Refuses && number == VICTIM {
        return 503;
    }
    let Server { streams, held, .. } = server;
    held.resize(streams.len(), Vec::new());
    for (index, stream) in streams.iter_mut().enumerate() {
        let event = chunk(&format!(
            "id: {number}\ndata: {}\n\n",
            String::from_utf8_lossy(body)
        ));
        let suffers = number == VICTIM && (index == STREAM || fault == Fault::SwapsForAll);
        let wire = match fault {
            Fault::Drops if suffers => Vec::new(),
            Fault::Doubles if suffers => [&event[..], &event].concat(),
            Fault::Swaps | Fault::SwapsForAll if suffers => {
                held[index] = event;
                Vec::new()
            }
            Fault::Corrupts if suffers => {
                let text = String::from_utf8(event).unwrap();
                text.replacen("bcd", "bxd", 1).into_bytes()
            }
            Fault::CutsMidEvent if suffers => event[..event.len() / 2].to_vec(),
            Fault::AnnouncesGap if suffers => {
                [&chunk("event: gap\ndata: {}\n\n"), &event[..]].concat()
            }
            Fault::BreaksFraming if suffers => b"zzz\r\n".to_vec(),
            _ => [event, std::mem::take(&mut held[index])].concat(),
        };
        // A stream cut earlier takes no more; that is the point of the test.
        let _ = stream.write_all(&wire);
        if suffers && matches!(fault, Fault::Cuts | Fault::CutsMidEvent) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
    201
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn run(fault: Fault) -> Outcome {
    let base = start(fault);
    let mut generator = Generator::new(Plan {
        subscribe: format!("{base}/v1/events?channel={{channel}}")
            .parse()
            .unwrap(),
        publish: format!("{base}/v1/channels/{{channel}}/events")
            .parse()
            .unwrap(),
        channels: 1,
        streams_per_channel: STREAMS,
        stopped_readers: 0,
        publish_connections: 1,
        publishing: Publishing::default(),
        subscribers: Subscribers::default(),
        payload: 256,
        patience: Duration::from_millis(500),
    })
    .unwrap();
    generator.open().unwrap();
    generator.start(Pace::Open {
        rate: 500.0,
        events: EVENTS,
    });
    generator.finish().unwrap();
    generator.run_for(Duration::from_millis(50)).unwrap();
    generator.outcome()
}

fn all() -> u64 {
    u64::from(STREAMS * EVENTS)
}

#[test]
fn a_faultless_server_has_no_faults() {
    let outcome = run(Fault::None);
    assert!(outcome.faults.none(), "{}", outcome.faults);
    assert_eq!((outcome.published, outcome.refused), (u64::from(EVENTS), 0));
    assert_eq!((outcome.delivered, outcome.overtaken), (all(), 0));
}

#[test]
fn one_event_dropped_is_one_lost() {
    let outcome = run(Fault::Drops);
    assert_eq!(
        outcome.faults,
        Faults {
            lost: 1,
            ..Faults::default()
        }
    );
    assert_eq!(outcome.delivered, all() - 1);
}

#[test]
fn one_event_sent_twice_is_one_duplicated() {
    let outcome = run(Fault::Doubles);
    assert_eq!(
        outcome.faults,
        Faults {
            duplicated: 1,
            ..Faults::default()
        }
    );
    assert_eq!(outcome.delivered, all());
}

#[test]
fn two_events_swapped_are_one_reordered() {
    assert_eq!(
        run(Fault::Swaps).faults,
        Faults {
            reordered: 1,
            ..Faults::default()
        }
    );
    let everywhere = Faults {
        reordered: u64::from(STREAMS),
        ..Faults::default()
    };
    assert_eq!(run(Fault::SwapsForAll).faults, everywhere);
}

#[test]
fn one_byte_changed_is_one_corrupt_and_not_also_lost() {
    let outcome = run(Fault::Corrupts);
    assert_eq!(
        outcome.faults,
        Faults {
            corrupt: 1,
            ..Faults::default()
        }
    );
    assert_eq!(outcome.delivered, all() - 1);
}

#[test]
fn a_cut_stream_is_one_disconnected_and_the_rest_of_its_events_unserved() {
    let rest = u64::from(EVENTS) - VICTIM as u64;
    let after = Faults {
        disconnected: 1,
        unserved: rest - 1,
        ..Faults::default()
    };
    assert_eq!(run(Fault::Cuts).faults, after);
    let within = Faults {
        disconnected: 1,
        unserved: rest,
        ..Faults::default()
    };
    assert_eq!(run(Fault::CutsMidEvent).faults, within);
    assert_eq!(run(Fault::BreaksFraming).faults, within);
}

#[test]
fn a_refused_publish_is_counted_as_refused_not_as_lost() {
    let outcome = run(Fault::Refuses);
    assert!(outcome.faults.none(), "{}", outcome.faults);
    assert_eq!(
        (outcome.published, outcome.refused),
        (u64::from(EVENTS) - 1, 1)
    );
}

#[test]
fn an_announced_gap_is_counted() {
    assert_eq!(
        run(Fault::AnnouncesGap).faults,
        Faults {
            announced_gaps: 1,
            ..Faults::default()
        }
    );
}

#[test]
fn a_server_that_never_answers_ends_the_run_with_the_rest_refused() {
    let outcome = run(Fault::NeverAnswers);
    assert!(outcome.faults.none(), "{}", outcome.faults);
    assert_eq!(
        (outcome.published, outcome.refused),
        (1, u64::from(EVENTS) - 1)
    );
    assert_eq!(outcome.delivered, u64::from(STREAMS));
}
