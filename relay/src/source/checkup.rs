//! Whether a source could be pulled from, found out before it has to be.

use super::{
    Fault, FaultReason, django_channels, postgres_listen, postgres_outbox, redis_pub_sub,
    redis_stream, sse, stomp,
};
use relay_config::SourceKind;

/// Connects to the source's server, shows who the relay is, and tries what can be tried without taking
/// anything from there or changing it. Bounded by the source's own times.
///
/// # Errors
/// What is in the way, and what to do about it.
pub async fn once(kind: SourceKind<'_>) -> Result<(), Fault> {
    let found = match kind {
        // these say by themselves what to do, but for rights
        SourceKind::RedisPubSub(settings) => {
            return redis_pub_sub::check(settings).await.map_err(allowed);
        }
        SourceKind::RedisStream(settings) => {
            return redis_stream::check(settings).await.map_err(allowed);
        }
        SourceKind::DjangoChannels(settings) => {
            return django_channels::check(settings).await.map_err(allowed);
        }
        SourceKind::PostgresListen(settings) => return postgres_listen::check(settings).await,
        SourceKind::PostgresOutbox(settings) => return postgres_outbox::check(settings).await,
        SourceKind::Sse(settings) => sse::check(settings).await,
        SourceKind::Stomp(settings) => stomp::check(settings).await,
        #[cfg(feature = "rabbitmq")]
        SourceKind::Rabbitmq(settings) => super::rabbitmq::check(settings).await,
        #[cfg(feature = "amqp")]
        SourceKind::Amqp(settings) => super::amqp::check(settings).await,
        #[cfg(not(all(feature = "amqp", feature = "rabbitmq")))]
        kind => Err(super::left_out(kind)),
    };
    found.map_err(remedied)
}

/// With what to do, where it is about rights.
fn allowed(fault: Fault) -> Fault {
    match fault.reason {
        FaultReason::Refused => remedied(fault),
        _ => fault,
    }
}

fn remedied(fault: Fault) -> Fault {
    match remedy(fault.reason) {
        Some(remedy) => Fault::new(fault.reason, format!("{fault}; {remedy}")),
        None => fault,
    }
}

/// What to do about a fault; nothing more where it says so itself.
fn remedy(reason: FaultReason) -> Option<&'static str> {
    match reason {
        FaultReason::Unreachable => {
            Some("is the server running there, and may this machine connect to it?")
        }
        FaultReason::Closed | FaultReason::Protocol => {
            Some("is this the address of such a server, and does it want TLS?")
        }
        FaultReason::Credentials => {
            Some("look at `credentials`, and at the user and the password that the server knows")
        }
        FaultReason::Refused => {
            Some("give the user that right there; docs/sources.md says what a source needs")
        }
        FaultReason::Tls | FaultReason::Settings | FaultReason::Log => None,
    }
}
