//! A collector: a real HTTP server that reads OTLP.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, KeyValue, any_value::Value},
};
use prost::Message;
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// What came of a span.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub attributes: Vec<(String, String)>,
    /// Of the process that made it.
    pub resource: Vec<(String, String)>,
    pub nanos: (u64, u64),
    /// The headers of the request.
    pub headers: Vec<String>,
}

impl Span {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    pub fn resource(&self, name: &str) -> Option<&str> {
        find(&self.resource, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut pairs = pairs.iter();
    pairs
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Takes,
    /// Reads, and says nothing.
    Silent,
}

pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    asked: Arc<Mutex<usize>>,
}

impl Collector {
    pub fn start(manner: Manner) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Collector {
            address: listener.local_addr().unwrap(),
            spans: Arc::default(),
            asked: Arc::default(),
        };
        let (spans, asked) = (collector.spans.clone(), collector.asked.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (spans, asked) = (spans.clone(), asked.clone());
                std::thread::spawn(move || serve(socket, manner, &spans, &asked));
            }
        });
        collector
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// As `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

fn serve(socket: TcpStream, manner: Manner, spans: &Mutex<Vec<Span>>, asked: &Mutex<usize>) {
    let mut writing = socket.try_clone().unwrap();
    let mut reading = BufReader::new(socket);
    while let Some((headers, body)) = request(&mut reading) {
        *asked.lock().unwrap() += 1;
        if manner == Manner::Silent {
            continue;
        }
        let request = ExportTraceServiceRequest::decode(&*body).expect("OTLP");
        spans.lock().unwrap().extend(read(&request, &headers));
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        writing.write_all(head.as_bytes()).unwrap();
        writing.write_all(&answer).unwrap();
    }
}

/// One request: its first line and headers, in lower case, and its body.
fn request(reading: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        match reading.read_line(&mut line) {
            Ok(n) if n > 0 => {}
            _ => return None,
        }
        match line.trim() {
            "" => break,
            line => headers.push(line.to_ascii_lowercase()),
        }
    }
    let length = headers.iter().find_map(|header| {
        let length = header.strip_prefix("content-length:")?;
        length.trim().parse().ok()
    })?;
    let mut body = vec![0; length];
    reading.read_exact(&mut body).ok()?;
    Some((headers, body))
}

fn read(request: &ExportTraceServiceRequest, headers: &[String]) -> Vec<Span> {
    let mut found = Vec::new();
    for resource in &request.resource_spans {
        let of = resource.resource.as_ref().map(|of| pairs(&of.attributes));
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            found.push(Span {
                name: span.name.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state.clone(),
                attributes: pairs(&span.attributes),
                resource: of.clone().unwrap_or_default(),
                nanos: (span.start_time_unix_nano, span.end_time_unix_nano),
                headers: headers.to_vec(),
            });
        }
    }
    found
}

fn pairs(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|any| any.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(n)) => n.to_string(),
        Some(Value::BoolValue(b)) => b.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.clone(), text(&pair.value)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
