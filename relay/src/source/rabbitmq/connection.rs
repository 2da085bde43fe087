//! One connection to RabbitMQ, with a consumer of each queue.

use crate::source::{
    Fault, FaultReason,
    broker::{Login, Quiet, Wire, dial, told},
};
use async_compat::CompatExt;
use futures_util::{
    FutureExt, StreamExt,
    stream::{BoxStream, SelectAll, iter, select_all},
};
use lapin::{
    ConnectionProperties, ErrorKind,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
    tcp::AsyncTcpStream,
    types::{FieldTable, ShortString},
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use parking_lot::Mutex;
use relay_config::{BrokerAddress, BrokerProtocol, RabbitmqSource};
use std::{io, os::fd::OwnedFd};
use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};

/// The longest frame. The library keeps room for 32 of them each way.
const MAX_FRAME: u32 = 32 * 1024;

/// A delivery, and which of the queues it is from.
pub(super) struct Next {
    pub queue: usize,
    pub delivery: Delivery,
}

type Consumers = SelectAll<BoxStream<'static, (usize, Option<lapin::Result<Delivery>>)>>;

/// A connection. When it is dropped, the broker gives what was not acknowledged to whoever comes next.
pub(super) struct Connection {
    consumers: Consumers,
    // in the order in which they end
    _channel: lapin::Channel,
    _connection: lapin::Connection,
    _bridge: Bridge,
}

impl Connection {
    /// Connects, logs in, and consumes. The caller bounds the time.
    pub(super) async fn open(settings: &RabbitmqSource, name: &str) -> Result<Connection, Fault> {
        let LoggedIn {
            channel,
            connection,
            bridge,
        } = log_in(settings, name).await?;
        channel
            .basic_qos(settings.prefetch, BasicQosOptions::default())
            .await
            .map_err(|error| fault(&error))?;
        let mut consumers = Vec::new();
        for (number, queue) in settings.queues.iter().enumerate() {
            consumers.push(consume(&channel, number, queue).await?);
        }
        Ok(Connection {
            consumers: select_all(consumers),
            _channel: channel,
            _connection: connection,
            _bridge: bridge,
        })
    }

    /// Waits for deliveries, and takes what has come, up to so many.
    pub(super) async fn receive(&mut self, most: usize) -> Result<Vec<Next>, Fault> {
        let mut deliveries = vec![self.next().await?];
        while deliveries.len() < most
            && let Some(next) = self.next().now_or_never()
        {
            deliveries.push(next?);
        }
        Ok(deliveries)
    }

    /// May be dropped at any time.
    async fn next(&mut self) -> Result<Next, Fault> {
        match self.consumers.next().await {
            Some((queue, Some(Ok(delivery)))) => Ok(Next { queue, delivery }),
            Some((_, Some(Err(error)))) => Err(fault(&error)),
            Some((_, None)) | None => {
                let text = "the broker has ended a consumer: was a queue deleted?";
                Err(Fault::new(FaultReason::Refused, text))
            }
        }
    }
}

/// A connection on which nothing is consumed yet.
struct LoggedIn {
    // in the order in which they end
    channel: lapin::Channel,
    connection: lapin::Connection,
    bridge: Bridge,
}

async fn log_in(settings: &RabbitmqSource, name: &str) -> Result<LoggedIn, Fault> {
    let address = settings
        .broker
        .address(BrokerProtocol::Amqp091)
        .map_err(|text| Fault::new(FaultReason::Settings, text))?;
    let credentials = settings
        .broker
        .credentials
        .as_ref()
        .ok_or_else(|| Fault::new(FaultReason::Settings, "`broker.credentials` are missing"))?;
    let login = Login::read(credentials).await?;
    let wire = Quiet::new(dial(&address).await?);
    let (near, bridge) = Bridge::start(wire)
        .map_err(|error| Fault::new(FaultReason::Unreachable, error.to_string()))?;
    let heartbeat = settings.broker.heartbeat.std();
    let uri = uri(&address, login, heartbeat.as_secs());
    let connection = connect(uri, near, name)
        .await
        .map_err(|error| at_the_door(&error))?;
    let channel = connection
        .create_channel()
        .await
        .map_err(|error| fault(&error))?;
    Ok(LoggedIn {
        channel,
        connection,
        bridge,
    })
}

/// Connects and logs in, and asks whether each queue is there. The caller bounds the time.
pub(super) async fn look(settings: &RabbitmqSource) -> Result<(), Fault> {
    let logged_in = log_in(settings, "check").await?;
    for queue in &settings.queues {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = logged_in
            .channel
            .queue_declare(named(queue)?, options, FieldTable::default());
        asked.await.map_err(|error| fault(&error))?;
    }
    Ok(())
}

fn named(queue: &str) -> Result<ShortString, Fault> {
    ShortString::try_new(queue)
        .map_err(|error| Fault::new(FaultReason::Settings, error.to_string()))
}

async fn connect(uri: AMQPUri, near: TcpStream, name: &str) -> lapin::Result<lapin::Connection> {
    let properties =
        ConnectionProperties::default().with_connection_name(format!("sse-relay {name}").into());
    let near = Mutex::new(Some(near));
    lapin::Connection::connector(
        uri,
        lapin::runtime::default_runtime()?,
        async move |_, _| {
            // it connects once: what fails is begun anew by whoever runs the source
            let once = near.lock().take();
            let socket = once.ok_or(io::Error::from(io::ErrorKind::NotConnected))?;
            Ok(AsyncTcpStream::Plain(socket.compat()))
        },
        properties,
    )
    .await
}

fn uri(address: &BrokerAddress, login: Login, heartbeat: u64) -> AMQPUri {
    AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: login.username,
                password: login.password,
            },
            host: address.host.clone(),
            port: address.port,
        },
        vhost: address.virtual_host.clone(),
        query: AMQPQueryString {
            frame_max: Some(MAX_FRAME),
            heartbeat: Some(u16::try_from(heartbeat).unwrap_or(u16::MAX)),
            ..AMQPQueryString::default()
        },
    }
}

async fn consume(
    channel: &lapin::Channel,
    number: usize,
    queue: &str,
) -> Result<BoxStream<'static, (usize, Option<lapin::Result<Delivery>>)>, Fault> {
    let consumer = channel
        .basic_consume(
            named(queue)?,
            ShortString::default(), // the broker names it
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .map_err(|error| fault(&error))?;
    // its end is told, or nobody would notice that one of several has ended
    let each = consumer.map(move |delivery| (number, Some(delivery)));
    Ok(each.chain(iter([(number, None)])).boxed())
}

/// Carries bytes between the library, which opens sockets and TLS in its own way, and a connection of
/// ours: the library gets one end of a pair of sockets that only this process has. When either side
/// ends, so does the other.
struct Bridge {
    carrier: JoinHandle<()>,
}

impl Bridge {
    fn start(mut wire: Quiet<Box<dyn Wire>>) -> io::Result<(TcpStream, Bridge)> {
        let (near, mut far) = UnixStream::pair()?;
        // a stream socket is read and written as one of TCP is, which is all that is done with it
        let near = OwnedFd::from(near.into_std()?);
        let near = TcpStream::from_std(std::net::TcpStream::from(near))?;
        let carrier = tokio::spawn(async move {
            let _ = copy_bidirectional(&mut far, &mut wire).await; // the library notices the end
        });
        Ok((near, Bridge { carrier }))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// Before there is a connection, a refusal is about the user or the virtual host.
fn at_the_door(error: &lapin::Error) -> Fault {
    let ErrorKind::ProtocolError(said) = error.kind() else {
        return fault(error);
    };
    let reason = match said.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => FaultReason::Credentials,
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => FaultReason::Settings,
        _ => FaultReason::Refused,
    };
    let text = told(said.get_message().as_str());
    Fault::new(reason, format!("the broker refuses the connection: {text}"))
}

/// What an error of the library is to a source.
pub(super) fn fault(error: &lapin::Error) -> Fault {
    let reason = match error.kind() {
        ErrorKind::ProtocolError(said) => {
            let text = told(said.get_message().as_str());
            let reason = match said.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => FaultReason::Settings,
                AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => FaultReason::Closed,
                _ => FaultReason::Refused,
            };
            return Fault::new(reason, format!("the broker says: {text}"));
        }
        ErrorKind::MissingHeartbeatError => FaultReason::Unreachable,
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_) => FaultReason::Protocol,
        _ => FaultReason::Closed,
    };
    Fault::new(reason, told(&error.to_string()))
}
