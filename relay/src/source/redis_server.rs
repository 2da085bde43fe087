//! The Redis of a source, as its settings say.

use super::{Fault, FaultReason};
use crate::{environment, redis::Redis};
use relay_config::SourceRedis;
use url::Url;

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
