//! The options of `serve` and `demo`, and the configuration that they amount to.

use super::stand_in::{Dialect, DialectError};
use crate::serve::Addresses;
use clap::Args;
use relay_config::{Config, LoadError, LogFormat, Problem};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// Every field of the configuration is also an environment variable: `SSE_RELAY_` and the field in
/// capitals, `__` between levels (SSE_RELAY_RETENTION__EVENTS=500). A `.env` file in the working
/// directory is read. Options win over variables, variables over the file.
#[derive(Args, Debug, Default)]
pub struct ServeOptions {
    /// Configuration file (YAML); `sse-relay check FILE` explains it
    #[arg(long, value_name = "FILE", env = "SSE_RELAY_CONFIG")]
    config: Option<PathBuf>,
    /// Be in the place of another server: its environment is understood (docs/migrating)
    #[arg(long, value_enum, value_name = "SERVER")]
    dialect: Option<Dialect>,
    /// Delivery threads, as that server's workers
    #[arg(long, value_name = "COUNT", requires = "dialect")]
    workers: Option<NonZeroUsize>,
    /// Address and port for publishers and subscribers [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["host", "port"])]
    listen: Option<SocketAddr>,
    /// Address alone, with the port of --port or the configuration
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Port alone, with the address of --host or the configuration
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Address and port for probes and metrics [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
    /// Keep the log in this directory, so that a restart has its history
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Share the log with other replicas through this Redis: redis://HOST:PORT, rediss:// with TLS
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    redis_url: Option<String>,
    /// Let everybody who reaches the address publish and subscribe
    #[arg(long)]
    insecure_open: bool,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<Format>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Format {
    Text,
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("cannot read the configuration {path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error(".env: {0}")]
    DotEnv(dotenvy::Error),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Dialect(#[from] DialectError),
    #[error("--redis-url: {}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl ServeOptions {
    /// The configuration file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// File, then environment, then these options.
    pub fn config(&self) -> Result<Config, OptionsError> {
        let mut config = load_as(self.dialect, self.config.as_deref())?;
        if let Some(workers) = self.workers {
            config.http.threads = Some(workers.get());
        }
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(host) = self.host {
            config.listen.set_ip(host);
        }
        if let Some(port) = self.port {
            config.listen.set_port(port);
        }
        if let Some(admin_listen) = self.admin_listen {
            config.admin_listen = admin_listen;
        }
        if let Some(dir) = &self.data_dir {
            config.data.dir = Some(dir.clone());
        }
        if let Some(url) = &self.redis_url {
            config.redis.get_or_insert_default().url = Some(url.clone());
            config.validate().map_err(OptionsError::Invalid)?;
        }
        config.insecure_open |= self.insecure_open;
        match self.log_format {
            Some(Format::Text) => config.logging.format = LogFormat::Text,
            Some(Format::Json) => config.logging.format = LogFormat::Json,
            None => {}
        }
        Ok(config)
    }
}

/// Reads a file, the environment and `.env`.
pub fn load(path: Option<&Path>) -> Result<Config, OptionsError> {
    load_as(None, path)
}

/// The same in the place of another server, with its environment and the file that stands for it.
fn load_as(dialect: Option<Dialect>, path: Option<&Path>) -> Result<Config, OptionsError> {
    let file = path
        .map(|path| {
            let name = path.display().to_string();
            std::fs::read_to_string(path)
                .map(|text| (name.clone(), text))
                .map_err(|error| OptionsError::Read { path: name, error })
        })
        .transpose()?;
    let file = file
        .as_ref()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let (file, variables) = match dialect {
        None => (file, variables()?),
        Some(dialect) => {
            let translated = dialect.translate(&variables()?, file.is_some())?;
            (file.or(Some(dialect.file())), translated)
        }
    };
    Ok(Config::from_sources(file, &variables)?)
}

/// The process's variables win over those of `.env`.
fn variables() -> Result<BTreeMap<String, String>, OptionsError> {
    let mut variables = BTreeMap::new();
    match dotenvy::dotenv_iter() {
        Ok(pairs) => {
            for pair in pairs {
                let (name, value) = pair.map_err(OptionsError::DotEnv)?;
                variables.insert(name, value);
            }
        }
        Err(error) if error.not_found() => {}
        Err(error) => return Err(OptionsError::DotEnv(error)),
    }
    let of_the_process = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.extend(of_the_process);
    Ok(variables)
}

/// What `demo` prints once it serves.
pub fn welcome(addresses: Addresses, config: &Config) -> String {
    let Addresses { public, admin } = addresses;
    let prefix = &config.demo.prefix;
    format!(
        "\n  Dashboard   http://{public}/\n  Stream      curl -N 'http://{public}/v1/events?channel={prefix}.*'\n  \
         Publish     curl -H 'Content-Type: text/plain' -d hello http://{public}/v1/channels/news/events\n  \
         Metrics     http://{admin}/metrics\n\n  Ctrl-C ends it.\n"
    )
}
