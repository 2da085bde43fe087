//! The settings in force: a configuration, and what is made of it. They change as a whole.

use crate::{
    auth::{AuthError, Authenticator},
    http::{
        access::{NotLoopback, Openness},
        cors::Cors,
        forwarded::Proxies,
    },
    route::{RouteError, Routes},
};
use relay_config::Config;
use std::sync::Arc;
use tokio::sync::watch;

/// What a configuration amounts to.
pub struct Settings {
    pub config: Arc<Config>,
    pub openness: Openness,
    pub auth: Arc<Authenticator>,
    pub cors: Cors,
    pub proxies: Proxies,
    pub routes: Arc<Routes>,
}

/// Why a configuration, right by itself, cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    NotLoopback(#[from] NotLoopback),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Routes(#[from] RouteError),
}

impl Settings {
    /// Of a configuration that was validated. Reads the files with keys that it names.
    pub fn new(config: Config) -> Result<Settings, SettingsError> {
        let auth = Authenticator::new(config.auth.as_ref())?;
        let routes = Routes::new(&config.routes)?;
        Settings::with(config, auth, routes)
    }

    /// Those that take the place of these. What was fetched for these is kept where it still holds.
    pub fn renewed(&self, config: Config) -> Result<Settings, SettingsError> {
        let auth = self.auth.renewed(config.auth.as_ref())?;
        let routes = self.routes.renewed(&config.routes)?;
        Settings::with(config, auth, routes)
    }

    fn with(
        config: Config,
        auth: Authenticator,
        routes: Routes,
    ) -> Result<Settings, SettingsError> {
        Ok(Settings {
            openness: Openness::of(&config)?,
            auth: Arc::new(auth),
            cors: Cors::new(&config.cors),
            proxies: Proxies::new(&config.proxies),
            routes: Arc::new(routes),
            config: Arc::new(config),
        })
    }
}

/// The settings in force now.
pub struct Live(watch::Sender<Arc<Settings>>);

impl Live {
    pub fn new(settings: Settings) -> Live {
        Live(watch::Sender::new(Arc::new(settings)))
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.0.borrow().clone()
    }

    /// From here on these are in force.
    pub fn change(&self, settings: Settings) -> Arc<Settings> {
        let settings = Arc::new(settings);
        self.0.send_replace(settings.clone());
        settings
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<Arc<Settings>> {
        self.0.subscribe()
    }
}
