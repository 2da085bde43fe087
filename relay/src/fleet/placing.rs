//! How far sources have come whose servers do not remember it.

use super::{Fleet, scripts::FleetError};
use crate::redis::Command;
use std::time::Duration;

/// How long a place is remembered that nobody writes again.
const REMEMBER: Duration = Duration::from_secs(30 * 86_400);

impl Fleet {
    /// The last place of a source; `None` for one that never had any.
    pub async fn place(&self, source: &str) -> Result<Option<String>, FleetError> {
        let read = Command::new("HGET").arg(self.keys.places()).arg(source);
        let reply = self.primary.session()?.command(&read).await?;
        match reply.is_nil() {
            true => Ok(None),
            false => Ok(Some(reply.text().ok_or(FleetError::Strange)?.to_owned())),
        }
    }

    pub async fn keep_place(&self, source: &str, place: &str) -> Result<(), FleetError> {
        let places = self.keys.places();
        let commands = [
            Command::new("HSET").arg(&places).arg(source).arg(place),
            Command::new("PEXPIRE")
                .arg(&places)
                .arg(REMEMBER.as_millis().to_string()),
        ];
        for reply in self.primary.session()?.pipeline(&commands).await? {
            reply?;
        }
        Ok(())
    }
}
