//! Logs.
use relay_config::Config;
pub fn start(_: &Config) {
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .try_init();
}
