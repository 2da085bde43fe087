//! Who sends to a broker, and knows what it has confirmed.

use crate::{
    broker::{At, Kind, PASSWORD, USER},
    pulled::Speech,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// How long a confirmation may take. After it, nobody knows whether the broker has the message.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message to be sent.
pub struct Letter<'l> {
    pub to: &'l str,
    pub id: &'l str,
    pub body: &'l [u8],
}

impl<'l> Letter<'l> {
    /// One whose id is what it says.
    pub fn new(to: &'l str, text: &'l str) -> Letter<'l> {
        Letter {
            to,
            id: text,
            body: text.as_bytes(),
        }
    }
}

/// A connection that confirms each message.
pub trait Producer {
    /// The broker has it, on its disk; or nobody knows.
    fn send(&mut self, letter: &Letter<'_>) -> Result<(), String>;
}

/// A connection of this kind.
pub fn connect(at: At, speech: Speech) -> Result<Box<dyn Producer>, String> {
    Ok(match speech {
        Speech::Rabbitmq => Box::new(Rabbitmq::connect(at)?),
        Speech::Stomp => Box::new(Stomp::connect(at)?),
        Speech::Amqp => Box::new(Amqp::connect(at)?),
    })
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

async fn in_time<T, E: std::fmt::Display>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("it took too long".to_owned()),
    }
}

/// AMQP 0-9-1 with publisher confirms. Queues are made as they are named.
pub struct Rabbitmq {
    runtime: Runtime,
    channel: lapin::Channel,
    _connection: lapin::Connection,
}

impl Rabbitmq {
    pub fn connect(at: At) -> Result<Rabbitmq, String> {
        let runtime = runtime();
        let mut uri = lapin::uri::AMQPUri::default();
        uri.authority.host = "127.0.0.1".to_owned();
        uri.authority.port = at.ports.amqp;
        uri.authority.userinfo.username = USER.to_owned();
        uri.authority.userinfo.password = PASSWORD.to_owned();
        let (connection, channel) = runtime.block_on(in_time(async {
            let properties = lapin::ConnectionProperties::default();
            let connection = lapin::Connection::connect_uri(uri, properties).await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(Default::default()).await?;
            Ok::<_, lapin::Error>((connection, channel))
        }))?;
        Ok(Rabbitmq {
            runtime,
            channel,
            _connection: connection,
        })
    }

    /// A queue that is there after a restart.
    pub fn declare(&self, queue: &str) {
        let options = lapin::options::QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let made = self
            .channel
            .queue_declare(queue.into(), options, Default::default());
        self.runtime.block_on(in_time(made)).unwrap();
    }

    pub fn delete(&self, queue: &str) {
        let gone = self.channel.queue_delete(queue.into(), Default::default());
        self.runtime.block_on(in_time(gone)).unwrap();
    }

    pub fn publish(
        &self,
        queue: &str,
        properties: lapin::BasicProperties,
        body: &[u8],
    ) -> Result<(), String> {
        let properties = properties.with_delivery_mode(2);
        let confirmed = self.runtime.block_on(in_time(async {
            let sent = self.channel.basic_publish(
                "".into(),
                queue.into(),
                Default::default(),
                body,
                properties,
            );
            sent.await?.await
        }))?;
        match confirmed {
            lapin::Confirmation::Ack(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

impl Producer for Rabbitmq {
    fn send(&mut self, letter: &Letter<'_>) -> Result<(), String> {
        let properties = lapin::BasicProperties::default().with_message_id(letter.id.into());
        self.publish(letter.to, properties, letter.body)
    }
}

/// STOMP with receipts, as a few lines of bytes. Its messages have no id but that of the broker.
pub struct Stomp {
    socket: TcpStream,
    read: Vec<u8>,
    receipts: u64,
}

impl Stomp {
    pub fn connect(at: At) -> Result<Stomp, String> {
        let told = |error: std::io::Error| error.to_string();
        let socket = TcpStream::connect(("127.0.0.1", at.ports.stomp)).map_err(told)?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut stomp = Stomp {
            socket,
            read: Vec::new(),
            receipts: 0,
        };
        let connect = format!(
            "CONNECT\naccept-version:1.2\nhost:test\nlogin:{USER}\npasscode:{PASSWORD}\n\n\0"
        );
        stomp.say(connect.as_bytes())?;
        match stomp.frame()? {
            frame if frame.starts_with("CONNECTED") => Ok(stomp),
            frame => Err(frame),
        }
    }

    /// Sends with these headers, each a line.
    pub fn send_with(&mut self, to: &str, headers: &str, body: &[u8]) -> Result<(), String> {
        self.receipts += 1;
        let receipt = format!("receipt-id:{}\n", self.receipts);
        let head = format!(
            "SEND\ndestination:{to}\npersistent:true\nreceipt:{}\ncontent-type:text/plain\n{headers}\n",
            self.receipts
        );
        self.say(&[head.as_bytes(), body, b"\0"].concat())?;
        match self.frame()? {
            frame if frame.starts_with("RECEIPT") && frame.contains(&receipt) => Ok(()),
            frame => Err(frame),
        }
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), String> {
        let said = self.socket.write_all(bytes);
        said.map_err(|error| error.to_string())
    }

    /// The next frame, of which none has a zero in its body.
    fn frame(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == 0) {
                let frame: Vec<u8> = self.read.drain(..=end).collect();
                let text = String::from_utf8_lossy(&frame[..end]);
                return Ok(text.trim_start_matches(['\r', '\n']).to_owned());
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err("it closed".to_owned()),
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl Producer for Stomp {
    fn send(&mut self, letter: &Letter<'_>) -> Result<(), String> {
        self.send_with(letter.to, "", letter.body)
    }
}

/// AMQP 1.0 with dispositions.
pub struct Amqp {
    runtime: Runtime,
    kind: Kind,
    links: Vec<(String, fe2o3_amqp::Sender)>,
    session: fe2o3_amqp::session::SessionHandle<()>,
    _connection: fe2o3_amqp::connection::ConnectionHandle<()>,
}

impl Amqp {
    pub fn connect(at: At) -> Result<Amqp, String> {
        let runtime = runtime();
        let profile = fe2o3_amqp::sasl_profile::SaslProfile::Plain {
            username: USER.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let url = format!("amqp://127.0.0.1:{}", at.ports.amqp);
        let mut connection = runtime.block_on(in_time(
            fe2o3_amqp::Connection::builder()
                .container_id(format!("producer-{}", rand_name()))
                .sasl_profile(profile)
                .open(url.as_str()),
        ))?;
        let session = fe2o3_amqp::Session::begin(&mut connection);
        let session = runtime.block_on(in_time(session))?;
        Ok(Amqp {
            runtime,
            kind: at.kind,
            links: Vec::new(),
            session,
            _connection: connection,
        })
    }

    /// Sends one message, however it is made.
    pub fn send_message(
        &mut self,
        to: &str,
        message: fe2o3_amqp::types::messaging::Message<fe2o3_amqp::types::messaging::Data>,
    ) -> Result<(), String> {
        if !self.links.iter().any(|(known, _)| known == to) {
            let link = fe2o3_amqp::Sender::attach(&mut self.session, format!("to {to}"), to);
            let link = self.runtime.block_on(in_time(link))?;
            self.links.push((to.to_owned(), link));
        }
        let (_, link) = self
            .links
            .iter_mut()
            .find(|(known, _)| known == to)
            .unwrap();
        let outcome = self.runtime.block_on(in_time(link.send(message)))?;
        outcome
            .accepted_or_else(|outcome| format!("{:?}: {outcome:?}", self.kind))
            .map(|_| ())
    }
}

impl Producer for Amqp {
    fn send(&mut self, letter: &Letter<'_>) -> Result<(), String> {
        use fe2o3_amqp::types::messaging::{Data, Header, Message, Properties};
        let message = Message::builder()
            .header(Header {
                durable: true,
                ..Header::default()
            })
            .properties(
                Properties::builder()
                    .message_id(letter.id.to_owned())
                    .build(),
            )
            .body(Data(letter.body.to_vec().into()))
            .build();
        self.send_message(letter.to, message)
    }
}

fn rand_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
