//! Who this process is to PostgreSQL.

use super::ConnectError;
use crate::environment;
use relay_config::{PostgresCredentials, PostgresUrl};
use std::{io, path::Path};
use tokio::io::AsyncReadExt;
use tokio_postgres::{Config, config::ChannelBinding};

/// The longest password file, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4_096;
/// The user without credentials.
const DEFAULT_USER: &str = "postgres";

/// As an address says.
pub(super) fn with(config: &mut Config, url: &PostgresUrl) {
    config.user(url.user.as_deref().unwrap_or(DEFAULT_USER));
    if let Some(password) = &url.password {
        config.password(password);
    }
    if url.binds_channel {
        config.channel_binding(ChannelBinding::Require);
    }
}

/// Files are read each time, so that a password that is rotated counts for the next connection.
pub(super) async fn identify(
    config: &mut Config,
    credentials: Option<&PostgresCredentials>,
) -> Result<(), ConnectError> {
    let Some(credentials) = credentials else {
        config.user(DEFAULT_USER);
        return Ok(());
    };
    config.user(&credentials.username);
    if let Some(name) = &credentials.password_variable {
        let password = environment::variable(name);
        let password = password.ok_or_else(|| ConnectError::PasswordVariable(name.clone()))?;
        config.password(password);
    }
    if let Some(path) = &credentials.password_file {
        let path = Path::new(path);
        let text = read(path).await;
        let text = text.map_err(|error| ConnectError::PasswordFile {
            path: path.to_owned(),
            error,
        })?;
        config.password(text.trim_end_matches(['\r', '\n']));
    }
    Ok(())
}

async fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .await?;
    Ok(text)
}
