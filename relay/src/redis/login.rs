//! Who this process is to a server.

use super::ConnectError;
use crate::environment;
use percent_encoding::percent_decode_str;
use relay_config::RedisCredentials;
use std::{fmt, io, path::Path, sync::Arc};
use tokio::io::AsyncReadExt;
use url::Url;

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
        if let Some(url) = credentials.password_variable.as_deref().and_then(url_in) {
            return Login::of(&url);
        }
        Ok(Login {
            username: credentials.username.clone(),
            password: password(credentials).await?,
        })
    }

    /// The user and the password of a URL.
    fn of(url: &Url) -> Result<Login, ConnectError> {
        let plain = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(Into::into).map_err(|_| {
                ConnectError::Authentication("user or password in the URL are no UTF-8".into())
            })
        };
        let username = Some(url.username()).filter(|name| !name.is_empty());
        Ok(Login {
            username: username.map(plain).transpose()?,
            password: url.password().map(plain).transpose()?,
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

/// The URL of Redis that a variable holds, if it holds one.
fn url_in(variable: &str) -> Option<Url> {
    let url = Url::parse(&environment::variable(variable)?).ok()?;
    ["redis", "rediss", "unix"]
        .contains(&url.scheme())
        .then_some(url)
}

async fn password(credentials: &RedisCredentials) -> Result<Option<String>, ConnectError> {
    if let Some(name) = &credentials.password_variable {
        let missing = || ConnectError::PasswordVariable(name.as_str().into());
        return environment::variable(name).ok_or_else(missing).map(Some);
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
