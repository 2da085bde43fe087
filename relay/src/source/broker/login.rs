//! Who this process is to a broker.

use crate::{
    environment,
    source::{Fault, FaultReason},
};
use relay_config::BrokerCredentials;
use std::{fmt, io};
use tokio::io::AsyncReadExt;

/// The longest password file, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4_096;

/// A user with its password, as they are at this moment.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::source) struct Login {
    pub(in crate::source) username: String,
    pub(in crate::source) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?})", self.username)
    }
}

impl Login {
    /// Files are read each time, so that a password that is rotated counts at the next connection.
    pub(in crate::source) async fn read(credentials: &BrokerCredentials) -> Result<Login, Fault> {
        let fault = |text: String| Fault::new(FaultReason::Credentials, text);
        let password = match (&credentials.password_variable, &credentials.password_file) {
            (Some(name), _) => environment::variable(name).ok_or_else(|| {
                fault(format!(
                    "the environment variable {name}, which `broker.credentials` names, is not set"
                ))
            })?,
            (None, Some(path)) => read(path).await.map_err(|error| {
                fault(format!(
                    "{path}, which `broker.credentials` names, cannot be read: {error}"
                ))
            })?,
            (None, None) => String::new(), // validation refuses it
        };
        let password = password.trim_end_matches(['\r', '\n']);
        if password.contains(['\r', '\n', '\0']) {
            let text = "the password of `broker.credentials` has several lines; it must be one";
            return Err(fault(text.to_owned()));
        }
        Ok(Login {
            username: credentials.username.clone(),
            password: password.to_owned(),
        })
    }
}

async fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .await?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &std::path::Path) -> BrokerCredentials {
        BrokerCredentials {
            username: "relay".to_owned(),
            password_file: Some(path.display().to_string()),
            password_variable: None,
        }
    }

    #[tokio::test]
    async fn a_password_is_one_line_of_a_file_and_is_shown_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "se:cret\r\n").unwrap();
        let login = Login::read(&of(&path)).await.unwrap();
        assert_eq!(login.password, "se:cret");
        assert_eq!(format!("{login:?}"), "Login(\"relay\")");

        std::fs::write(&path, "secret\nlogin:admin").unwrap();
        let fault = Login::read(&of(&path)).await.unwrap_err();
        assert_eq!(fault.reason, FaultReason::Credentials);
        assert!(!fault.to_string().contains("admin"));

        let missing = Login::read(&of(&folder.path().join("none"))).await;
        assert_eq!(missing.unwrap_err().reason, FaultReason::Credentials);
    }
}
