//! Systems that events are pulled from. `docs/sources.md` has the contract for who adds a kind.
//!
//! A kind is one file here that implements [`Source`], one in relay-config with its settings, and a
//! line in [`open`]. It connects, pulls, and hands over [`Message`]s; all else is done for it: one
//! replica is elected ([`election`]), messages become events ([`mapping`]), are appended, counted and
//! logged ([`intake`], [`health`]), and what fails is begun again ([`runner`]).

#[cfg(feature = "amqp")]
mod amqp;
mod broker;
pub mod checkup;
pub mod demand;
pub mod demo;
mod django_channels;
pub mod election;
pub mod fault;
mod glob;
pub mod health;
pub mod intake;
pub mod mapping;
pub mod message;
pub mod on_demand;
mod postgres;
mod postgres_listen;
mod postgres_outbox;
pub mod progress;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
mod redis_pub_sub;
mod redis_server;
mod redis_stream;
pub mod runner;
mod sse;
mod stomp;

pub use fault::{Fault, FaultReason};
pub use health::{DropReason, Health, Lag};
pub use intake::{Intake, Taken};
pub use message::Message;

use crate::label::labels;
use futures_util::future::BoxFuture;
use relay_config::SourceKind;

/// What a source promises of messages that are under way when something fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// The server keeps a message until it is acknowledged, and gives it again. It is acknowledged
    /// after the log has it: nothing is lost, and what comes again is recognised by its id.
    Acknowledged,
    /// The server forgets a message once it is sent: what comes while nobody listens, or while the log
    /// cannot be written, is lost, and counted where it is known.
    Lossy,
}

labels!(Promise {
    Acknowledged => "acknowledged",
    Lossy => "lossy",
});

/// A system that events are pulled from.
pub trait Source: Send {
    fn promise(&self) -> Promise;

    /// Connects, says [`Intake::connected`], and hands over messages until it cannot any more, or until
    /// there are no more on this connection.
    ///
    /// The future may be dropped at any await, when another replica takes over or the process ends: a
    /// source that acknowledges does so only after [`Intake::append`] has answered, and finds again
    /// what it had not. After a fault it is called anew, with a pause between.
    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>>;

    /// After [`Source::run`] was dropped: takes back what others would wait for, as a mailbox. Short,
    /// and nobody may rely on it.
    fn leave(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The source that the configuration describes. Nothing is connected yet.
///
/// # Errors
/// Settings that are wrong in themselves.
pub fn open(kind: SourceKind<'_>) -> Result<Box<dyn Source>, Fault> {
    Ok(match kind {
        SourceKind::PostgresListen(settings) => {
            Box::new(postgres_listen::PostgresListen::new(settings)?)
        }
        SourceKind::PostgresOutbox(settings) => {
            Box::new(postgres_outbox::PostgresOutbox::new(settings)?)
        }
        SourceKind::RedisPubSub(settings) => {
            Box::new(redis_pub_sub::RedisPubSub::new(settings.clone()))
        }
        SourceKind::RedisStream(settings) => {
            Box::new(redis_stream::RedisStream::new(settings.clone()))
        }
        SourceKind::DjangoChannels(settings) => {
            Box::new(django_channels::DjangoChannels::new(settings.clone()))
        }
        SourceKind::Sse(settings) => Box::new(sse::Sse::new(settings.clone())),
        SourceKind::Stomp(settings) => Box::new(stomp::Stomp::new(settings.clone())),
        #[cfg(feature = "rabbitmq")]
        SourceKind::Rabbitmq(settings) => Box::new(rabbitmq::Rabbitmq::new(settings.clone())),
        #[cfg(feature = "amqp")]
        SourceKind::Amqp(settings) => Box::new(amqp::Amqp::new(settings.clone())),
        #[cfg(not(all(feature = "amqp", feature = "rabbitmq")))]
        kind => return Err(left_out(kind)),
    })
}

/// A kind that this build does not have.
#[cfg(not(all(feature = "amqp", feature = "rabbitmq")))]
fn left_out(kind: SourceKind<'_>) -> Fault {
    let kind = kind.as_str();
    let text = format!(
        "this build of the relay has no `{kind}`: take a released one, or build with the cargo feature \
         `{kind}`"
    );
    Fault::new(FaultReason::Settings, text)
}
