//! Whether the application that knows the users answers, found out before it has to.

use crate::outgoing::{self, ClientError};
use http::{StatusCode, header};
use relay_config::Forward;

/// What it says to who shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Welcome {
    /// 401 or 403, as it should.
    Refused,
    /// It knows whoever asks.
    Anybody,
}

/// Why it could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Knocked {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the application does not answer within `timeout`")]
    Timeout,
    #[error("the application cannot be reached: {0}; is it running there?")]
    Connection(String),
    #[error(
        "the application answers {0} to who shows nothing, and should 401 or 403: is the address right?"
    )]
    Status(StatusCode),
}

/// Asks once, with none of the headers that say who somebody is.
///
/// # Errors
/// What is in the way.
pub async fn knock(settings: &Forward) -> Result<Welcome, Knocked> {
    let client = outgoing::client(settings.ca_file.as_deref(), settings.timeout.std())?;
    let request = client.get(&settings.url);
    let request = request.header(header::ACCEPT, "application/json");
    let response = request.send().await.map_err(failed)?;
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Welcome::Refused),
        status if status.is_success() => Ok(Welcome::Anybody),
        status => Err(Knocked::Status(status)),
    }
}

/// Without the address, which may hold a secret.
fn failed(error: reqwest::Error) -> Knocked {
    if error.is_timeout() {
        return Knocked::Timeout;
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Knocked::Connection(cause.to_string())
}
