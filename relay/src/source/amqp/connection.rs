//! One connection over AMQP 1.0, with a link to each address.

use crate::source::{
    DropReason, Fault, FaultReason,
    broker::{Login, MAX_MESSAGE, Unreadable, dial, told},
};
use fe2o3_amqp::{
    Delivery, Receiver, Session,
    connection::{ConnectionHandle, OpenError},
    link::{
        LinkStateError, ReceiverAttachError, RecvError, SessionStopReason, delivery::DeliveryInfo,
        receiver::CreditMode,
    },
    sasl_profile::SaslProfile,
    session::SessionHandle,
    transport,
    types::{
        definitions::{self, AmqpError, ErrorCondition, ReceiverSettleMode},
        messaging::{Body, Source, TerminusDurability, TerminusExpiryPolicy},
        primitives::{Array, Symbol, Value},
        sasl::SaslCode,
    },
};
use futures_util::{FutureExt, future::select_all};
use relay_config::{AmqpSource, BrokerProtocol, Routing};

/// What a message may take on the wire: its body, and as much again of properties as fits into 1 MiB.
/// A longer one ends the link: there is no way to refuse it and go on.
const MAX_ON_THE_WIRE: u64 = MAX_MESSAGE as u64 + 1024 * 1024;
/// The longest frame, in bytes.
const MAX_FRAME: u32 = 64 * 1024;

/// A delivery, and which of the addresses it is from.
pub(super) struct Next {
    pub address: usize,
    pub delivery: Result<Delivery<Body<Value>>, (DeliveryInfo, Unreadable)>,
}

/// A connection. When it is dropped, the broker gives what was not accepted to whoever comes next.
pub(super) struct Connection {
    receivers: Vec<Receiver>,
    /// Which of the receivers is asked first, so that none is passed over.
    turn: usize,
    // in the order in which they end
    _session: SessionHandle<()>,
    _connection: ConnectionHandle<()>,
}

impl Connection {
    /// Connects, logs in, and attaches. The caller bounds the time.
    pub(super) async fn open(
        settings: &AmqpSource,
        name: &str,
        replica: &str,
    ) -> Result<Connection, Fault> {
        let address = settings
            .broker
            .address(BrokerProtocol::Amqp10)
            .map_err(|text| Fault::new(FaultReason::Settings, text))?;
        let profile = match &settings.broker.credentials {
            Some(credentials) => {
                let Login { username, password } = Login::read(credentials).await?;
                SaslProfile::Plain { username, password }
            }
            None => SaslProfile::Anonymous,
        };
        let container = match &settings.durable {
            Some(durable) => durable.client_id.clone(),
            None => format!("sse-relay-{name}-{replica}"),
        };
        let wire = dial(&address).await?;
        // a broker says something twice within the time that it is told
        let silence = settings.broker.heartbeat.std().as_millis() * 2;
        let mut connection = fe2o3_amqp::Connection::builder()
            .container_id(container)
            .hostname(Some(address.host.as_str()))
            .max_frame_size(MAX_FRAME)
            .idle_time_out(u32::try_from(silence).unwrap_or(u32::MAX))
            .sasl_profile(profile)
            .open_with_stream(wire)
            .await
            .map_err(|error| at_the_door(&error))?;
        let mut session = Session::begin(&mut connection)
            .await
            .map_err(|error| Fault::new(FaultReason::Closed, told(&error.to_string())))?;
        let mut receivers = Vec::new();
        for address in &settings.addresses {
            receivers.push(attach(&mut session, settings, address).await?);
        }
        Ok(Connection {
            receivers,
            turn: 0,
            _session: session,
            _connection: connection,
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

    /// The broker may forget a delivery.
    pub(super) async fn accept(&self, address: usize, info: DeliveryInfo) -> Result<(), Fault> {
        let accepted = self.receivers[address].accept(info).await;
        accepted.map_err(|error| Fault::new(FaultReason::Closed, told(&error.to_string())))
    }

    /// May be dropped at any time.
    async fn next(&mut self) -> Result<Next, Fault> {
        let count = self.receivers.len();
        self.turn = (self.turn + 1) % count;
        let (later, first) = self.receivers.split_at_mut(self.turn);
        let asked = first
            .iter_mut()
            .chain(later)
            .map(|receiver| receiver.recv::<Body<Value>>().boxed());
        let (received, index, _) = select_all(asked).await;
        let address = (self.turn + index) % count;
        match received {
            Ok(delivery) => Ok(Next {
                address,
                delivery: Ok(delivery),
            }),
            Err(RecvError::MessageDecode(error)) => {
                let why = (DropReason::Undecodable, told(&error.source.to_string()));
                Ok(Next {
                    address,
                    delivery: Err((error.info, why)),
                })
            }
            Err(error) => Err(fault(&error)),
        }
    }
}

async fn attach(
    session: &mut SessionHandle<()>,
    settings: &AmqpSource,
    address: &str,
) -> Result<Receiver, Fault> {
    let capability = match settings.routing {
        Routing::Topic => "topic",
        Routing::Queue => "queue",
    };
    let source = Source {
        address: Some(address.to_owned()),
        capabilities: Some(Array(vec![Symbol::from(capability)])),
        ..Source::default()
    };
    let (name, source) = match &settings.durable {
        // known by the container and the link, and there until it is removed
        Some(durable) => (
            durable.name.clone(),
            Source {
                durable: TerminusDurability::UnsettledState,
                expiry_policy: TerminusExpiryPolicy::Never,
                ..source
            },
        ),
        None => (format!("sse-relay {address}"), source),
    };
    let attached = Receiver::builder()
        .name(name)
        .source(source)
        .receiver_settle_mode(ReceiverSettleMode::First)
        .max_message_size(MAX_ON_THE_WIRE)
        .credit_mode(CreditMode::Auto(settings.prefetch.into()))
        .auto_accept(false)
        .attach(session)
        .await;
    attached.map_err(|error| match &error {
        ReceiverAttachError::RemoteClosedWithError(said) => said_no(said, address),
        ReceiverAttachError::SessionStopped(
            SessionStopReason::RemoteEndedWithError(said)
            | SessionStopReason::EndedWithError(said),
        ) => said_no(said, address),
        // an answer without a source is followed by a word why, which the library does not wait for
        ReceiverAttachError::IncomingSourceIsNone => Fault::new(
            FaultReason::Refused,
            format!("the broker refuses the address {address}: is it there, and may this user receive from it?"),
        ),
        _ => Fault::new(FaultReason::Closed, told(&error.to_string())),
    })
}

fn said_no(said: &definitions::Error, address: &str) -> Fault {
    let reason = match &said.condition {
        ErrorCondition::AmqpError(AmqpError::NotFound) => FaultReason::Settings,
        _ => FaultReason::Refused,
    };
    let text = said.description.as_deref().unwrap_or("no reason is given");
    let text = told(text);
    Fault::new(
        reason,
        format!("the broker refuses the address {address}: {text}"),
    )
}

fn at_the_door(error: &OpenError) -> Fault {
    let reason = match error {
        OpenError::SaslError {
            code: SaslCode::Auth,
            ..
        } => {
            let text = "the broker refuses the user or the password";
            return Fault::new(FaultReason::Credentials, text);
        }
        OpenError::Io(_) | OpenError::RemoteClosed => FaultReason::Closed,
        OpenError::TransportError(transport::Error::IdleTimeoutElapsed) => FaultReason::Unreachable,
        OpenError::TransportError(transport::Error::Io(_)) => FaultReason::Closed,
        OpenError::RemoteClosedWithError(said) => {
            let text = told(said.description.as_deref().unwrap_or("no reason is given"));
            let text = format!("the broker refuses the connection: {text}");
            return Fault::new(FaultReason::Refused, text);
        }
        _ => FaultReason::Protocol,
    };
    Fault::new(reason, told(&error.to_string()))
}

/// What ends a link.
fn fault(error: &RecvError) -> Fault {
    let reason = match error {
        RecvError::LinkStateError(
            LinkStateError::RemoteClosedWithError(said)
            | LinkStateError::RemoteDetachedWithError(said)
            | LinkStateError::SessionStopped(SessionStopReason::RemoteEndedWithError(said)),
        ) => {
            let text = told(said.description.as_deref().unwrap_or("no reason is given"));
            return Fault::new(FaultReason::Refused, format!("the broker says: {text}"));
        }
        RecvError::LinkStateError(_) => FaultReason::Closed,
        RecvError::MessageSizeExceeded(_) => {
            let text = format!(
                "a message takes more than {MAX_ON_THE_WIRE} bytes; remove it at the broker, or it \
                 comes for ever"
            );
            return Fault::new(FaultReason::Protocol, text);
        }
        _ => FaultReason::Protocol,
    };
    Fault::new(reason, told(&error.to_string()))
}
