//! Who this process is to a server.

use super::ConnectError;
use relay_config::RedisCredentials;
use std::{env, fmt, io, path::Path, sync::Arc};
use tokio::io::AsyncReadExt;

/// The longest password file, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4_096;

/// A user with its password, as they are at this moment.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.username)
    }
}

impl Login {
    /// Files are read each time, so that a password that is rotated counts at once.
    pub(super) async fn read(
        credentials: Option<&RedisCredentials>,
    ) -> Result<Login, ConnectError> {
        let Some(credentials) = credentials else {
            return Ok(Login::default());
        };
        Ok(Login {
            username: credentials.username.clone(),
            password: password(credentials).await?,
        })
    }

    /// The arguments of `AUTH`, if there is a password.
    pub(super) fn arguments(&self) -> Option<Vec<&str>> {
        let password = self.password.as_deref()?;
        Some(match &self.username {
            Some(username) => vec![username, password],
            None => vec![password],
        })
    }
}

async fn password(credentials: &RedisCredentials) -> Result<Option<String>, ConnectError> {
    if let Some(name) = &credentials.password_variable {
        let value = env::var(name);
        return value
            .map(Some)
            .map_err(|_| ConnectError::PasswordVariable(name.as_str().into()));
    }
    let Some(path) = &credentials.password_file else {
        return Ok(None);
    };
    let path = Path::new(path);
    let text = read(path)
        .await
        .map_err(|error| ConnectError::PasswordFile {
            path: path.to_owned(),
            error: Arc::new(error),
        })?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .await?;
    Ok(text)
}
