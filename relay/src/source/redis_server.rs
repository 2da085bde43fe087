//! The Redis of a source, as its settings say.

use super::{Fault, FaultReason};
use crate::{
    environment,
    redis::{Heard, HeardKind, Redis, Slot},
};
use relay_config::SourceRedis;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// Connects, and listens for a moment: whether the server lets the relay.
pub async fn hear(
    redis: &Redis,
    within: Duration,
    channels: &[String],
    patterns: &[String],
) -> Result<(), Fault> {
    let wrong = |error| Fault::from(&error);
    let listening = async {
        let wire = redis.broadcast(Slot::of(b""), within).await;
        let mut wire = wire.map_err(wrong)?;
        for (kind, names) in [
            (HeardKind::Channel, channels),
            (HeardKind::Pattern, patterns),
        ] {
            wire.subscribe(kind, names).await.map_err(wrong)?;
        }
        let mut missing = channels.len() + patterns.len();
        while missing > 0 {
            match wire.next().await.map_err(wrong)? {
                Heard::Subscribed(..) => missing -= 1,
                Heard::Refused(_, _, why) => return Err(why.into()),
                Heard::Quiet => wire.sign_of_life().await.map_err(wrong)?,
                Heard::Message { .. } | Heard::Unsubscribed(..) | Heard::Nothing => {}
            }
        }
        Ok(())
    };
    timeout(within * 2, listening).await.unwrap_or_else(|_| {
        let text = "the server does not answer within `connectTimeout`";
        Err(Fault::new(FaultReason::Unreachable, text))
    })
}

/// Begins to connect. A URL of the environment is read now: what is in it is of this moment.
pub fn start(settings: &SourceRedis) -> Result<Redis, Fault> {
    let wrong = |text: String| Fault::new(FaultReason::Settings, text);
    let resolved = match &settings.url_variable {
        None => settings.settings(),
        Some(variable) => {
            let text = environment::variable(variable).ok_or_else(|| {
                wrong(format!(
                    "the environment variable {variable}, which should hold the URL of Redis, is not set"
                ))
            })?;
            // no message repeats the text: it may hold a password
            let mut url = Url::parse(&text).map_err(|_| {
                wrong(format!(
                    "{variable} holds no URL; write it as `redis://host:6379`"
                ))
            })?;
            let bare = url.set_username("").and_then(|()| url.set_password(None));
            if bare.is_err() && !url.username().is_empty() {
                return Err(wrong(format!("{variable} holds no URL of Redis")));
            }
            settings.at(url.into(), variable)
        }
    };
    Redis::start(&resolved).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        wrong(lines.join("; "))
    })
}
