//! Logs: one line for each event, to standard error.
//!
//! Spans are not written: the relay has none, its lines carry what they are about.

mod json;
mod lines;
mod panics;
mod record;
mod text;

use lines::{Lines, Rendering};
use relay_config::{Config, LogFilter, LogFilterError, LogFormat, Severity};
use std::io::{IsTerminal, Write};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Registry,
    filter::Targets,
    layer::SubscriberExt,
    reload::{Handle, Layer},
};

/// Wins over `logging.level`.
const VARIABLE: &str = "SSE_RELAY_LOG";

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{setting}: {error}")]
    Filter {
        /// The variable or the field.
        setting: &'static str,
        error: LogFilterError,
    },
    #[error("logging was started before")]
    Started,
}

/// Which lines are written; it can be changed while the process runs.
pub struct Level {
    /// What the environment says, which wins over the configuration.
    variable: String,
    targets: Handle<Targets, Registry>,
}

impl Level {
    /// As a changed configuration says.
    pub fn set(&self, config: &Config) -> Result<(), TelemetryError> {
        let targets = targets(&filter(&self.variable, &config.logging.level)?);
        // only a subscriber that is gone could not take it: then nothing is logged any more
        let _ = self.targets.reload(targets);
        Ok(())
    }
}

/// From here on the process logs, panics included. At most once in a process.
pub fn start(config: &Config) -> Result<Level, TelemetryError> {
    let variable = std::env::var(VARIABLE).unwrap_or_default();
    let (filter, targets) = Layer::new(targets(&filter(&variable, &config.logging.level)?));
    let environment = config.environment.clone();
    let rendering = match config.logging.format {
        LogFormat::Json => Rendering::Json { environment },
        LogFormat::Text => Rendering::Text {
            environment,
            colours: colours(),
        },
    };
    let to_stderr = |line: &str| {
        // one write a line, so that lines of several threads do not mix; nobody is left to tell of an error
        let _ = std::io::stderr().write_all(line.as_bytes());
    };
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(Lines::new(rendering, to_stderr));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Started)?;
    panics::log();
    Ok(Level { variable, targets })
}

fn filter(variable: &str, level: &str) -> Result<LogFilter, TelemetryError> {
    let (setting, text) = match variable {
        "" => ("logging.level", level),
        variable => (VARIABLE, variable),
    };
    text.parse()
        .map_err(|error| TelemetryError::Filter { setting, error })
}

fn targets(filter: &LogFilter) -> Targets {
    let mut targets = Targets::new().with_default(LevelFilter::ERROR);
    for directive in filter.directives() {
        let level = match directive.severity {
            Severity::Off => LevelFilter::OFF,
            Severity::Error => LevelFilter::ERROR,
            Severity::Warn => LevelFilter::WARN,
            Severity::Info => LevelFilter::INFO,
            Severity::Debug => LevelFilter::DEBUG,
            Severity::Trace => LevelFilter::TRACE,
        };
        targets = match &directive.target {
            Some(target) => targets.with_target(target.clone(), level),
            None => targets.with_default(level),
        };
    }
    targets
}

/// Only for a terminal, and not against its user's wish (no-color.org).
fn colours() -> text::Colours {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !refused && std::io::stderr().is_terminal() {
        text::Colours::On
    } else {
        text::Colours::Off
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn the_variable_wins_and_a_slip_names_where_it_stands() {
        assert_eq!(
            filter("debug", "inof").unwrap(),
            "debug".parse::<LogFilter>().unwrap()
        );
        assert_eq!(
            filter("", "warn").unwrap(),
            "warn".parse::<LogFilter>().unwrap()
        );
        let told = |variable, level| filter(variable, level).unwrap_err().to_string();
        assert!(told("inof", "info").starts_with("SSE_RELAY_LOG: `inof` is not a level"));
        assert!(told("", "inof").starts_with("logging.level: `inof` is not a level"));
    }

    #[test]
    fn a_module_may_have_a_level_of_its_own() {
        let targets = targets(&"warn,sse_relay::http=debug,hyper=off".parse().unwrap());
        assert!(targets.would_enable("sse_relay::http::admin", &Level::DEBUG));
        assert!(!targets.would_enable("sse_relay::hub", &Level::INFO));
        assert!(targets.would_enable("sse_relay::hub", &Level::WARN));
        assert!(!targets.would_enable("hyper::proto", &Level::ERROR));
    }

    #[test]
    fn errors_are_written_unless_they_are_turned_off() {
        let only_http = targets(&"sse_relay::http=debug".parse().unwrap());
        assert!(only_http.would_enable("sse_relay::hub", &Level::ERROR));
        assert!(!only_http.would_enable("sse_relay::hub", &Level::WARN));
        let off = targets(&"off".parse().unwrap());
        assert!(!off.would_enable("sse_relay::hub", &Level::ERROR));
    }
}
