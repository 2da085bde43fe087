//! The sources of a process: made before it serves, pulled from until it ends.

use super::ServeError;
use crate::{
    http::App,
    source::{self, Health, Source, mapping::Mapping, runner::Runner},
};
use relay_config::Config;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// How long sources may take to stop when the process ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Sources that nobody pulls from yet.
pub struct Opened(Vec<One>);

struct One {
    source: Box<dyn Source>,
    health: Arc<Health>,
    mapping: Arc<Mapping>,
}

impl Opened {
    /// # Errors
    /// Settings that are wrong in themselves.
    pub fn new(config: &Config) -> Result<Opened, ServeError> {
        let mut opened = Vec::new();
        for settings in &config.sources {
            let wrong = |why: String| ServeError::Source {
                name: settings.name.clone(),
                why,
            };
            let kind = settings
                .kind()
                .ok_or_else(|| wrong("it has no kind".into()))?;
            let mapping = Mapping::new(&settings.mapping);
            let mapping = mapping.map_err(|fault| wrong(format!("mapping: {fault}")))?;
            let source = source::open(kind).map_err(|fault| wrong(fault.to_string()))?;
            let health = Health::new(&settings.name, kind.as_str(), source.promise());
            opened.push(One {
                source,
                health: Arc::new(health),
                mapping: Arc::new(mapping),
            });
        }
        Ok(Opened(opened))
    }

    /// How they are, for who asks.
    pub fn health(&self) -> Vec<Arc<Health>> {
        self.0.iter().map(|one| one.health.clone()).collect()
    }

    /// Begins to pull, or to wait for the replica that does.
    pub fn start(self, app: &Arc<App>) -> Sources {
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for one in self.0 {
            let runner = Runner {
                app: app.clone(),
                source: one.source,
                health: one.health,
                mapping: one.mapping,
            };
            tasks.spawn(runner.run(stop.subscribe()));
        }
        Sources { stop, tasks }
    }
}

/// Sources that are pulled from.
pub struct Sources {
    /// Says that other replicas shall pull.
    pub stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Sources {
    /// Resolves should one end that was not told to, which takes a fault of this program.
    pub async fn one_ended(&mut self) {
        loop {
            match self.tasks.join_next().await {
                Some(_) if !*self.stop.borrow() => return,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until all have stopped.
    pub async fn stopped(mut self) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!(
                event = "source.cut",
                "a source did not stop in time, and is cut"
            );
        }
    }
}
