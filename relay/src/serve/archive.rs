//! The archive behind the log, if there is to be one.

use super::{OpenLog, ServeError};
use crate::{
    archive::{Archive, Past, Surroundings, archived_log::ArchivedLog, registering},
    cursor::UnixMillis,
    hub::Hub,
};
use relay_config::Config;
use std::sync::Arc;

/// The same log, with a longer memory. `began` is before anything was published here.
pub fn behind(
    config: &Config,
    opened: OpenLog,
    hub: &Arc<Hub>,
    replica: &str,
    began: UnixMillis,
) -> Result<OpenLog, ServeError> {
    let Some(settings) = &config.archive else {
        return Ok(opened);
    };
    let around = Surroundings {
        partitioning: opened.log.partitioning(),
        stats: hub.stats.clone(),
        replica: replica.to_owned(),
        began,
        past: match config.redis.is_none() && config.data.dir.is_none() {
            true => Past::Forgotten,
            false => Past::Kept,
        },
    };
    let archive = Archive::new(settings, around).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        ServeError::ArchiveSettings(lines.join("; "))
    })?;
    let log = ArchivedLog::new(Arc::new(archive), opened.log);
    if settings.clients {
        let hub = hub.clone();
        log.also(|archive, stop| registering::register(archive, hub, stop));
    }
    Ok(OpenLog {
        archive_ended: log.keeper_ended(),
        log: Arc::new(log),
        ..opened
    })
}
