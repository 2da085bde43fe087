//! TLS towards PostgreSQL.

use super::ConnectError;
use crate::tls::outward::{self, Pem};
use relay_config::PostgresTls;
use std::{error::Error, io};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What connects with these files, which stand in a section of the document.
pub(super) async fn connector(
    files: &PostgresTls,
    section: &str,
) -> Result<MakeRustlsConnect, ConnectError> {
    let pem = Pem::of(&format!("{section}.tls"), files);
    let config = outward::read(pem).await.map_err(ConnectError::Tls)?;
    Ok(MakeRustlsConnect::new(config))
}

/// What failed of a connection with TLS to a server of this name, and what to change.
pub(super) fn explained(section: &str, name: &str, error: tokio_postgres::Error) -> ConnectError {
    let section = format!("{section}.tls");
    let cause = error.source();
    if let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<io::Error>())
        && cause
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>())
    {
        return ConnectError::Tls(outward::explained(&section, name, cause));
    }
    match cause.map(ToString::to_string).as_deref() {
        Some("server does not support TLS") => ConnectError::Tls(format!(
            "the server has no TLS, and without it nothing is sent: turn `ssl` on there, or remove `{section}`"
        )),
        _ => error.into(),
    }
}
