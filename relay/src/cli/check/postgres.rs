//! What `check` finds at the PostgreSQL servers that a configuration names.

use crate::{archive, source};
use relay_config::Config;

/// What was looked at, and what is in the way.
pub struct Look {
    what: String,
    obstacle: Option<String>,
}

/// The archive, then the sources in their order.
pub async fn look(config: &Config) -> Vec<Look> {
    let mut looks = Vec::new();
    if let Some(settings) = &config.archive {
        let found = archive::checkup::once(settings).await;
        looks.push(Look {
            what: "archive".to_owned(),
            obstacle: found.err().map(|obstacle| obstacle.to_string()),
        });
    }
    for settings in &config.sources {
        let Some(kind) = settings.kind() else {
            continue;
        };
        if let Some(found) = source::checkup::once(kind).await {
            looks.push(Look {
                what: format!("source `{}`", settings.name),
                obstacle: found.err().map(|fault| fault.to_string()),
            });
        }
    }
    looks
}

impl Look {
    /// Says what was found; whether it can be used.
    pub fn tell(&self) -> bool {
        match &self.obstacle {
            None => println!("{}: it can be used", self.what),
            Some(obstacle) => eprintln!("{}: error: {obstacle}", self.what),
        }
        self.obstacle.is_none()
    }
}
