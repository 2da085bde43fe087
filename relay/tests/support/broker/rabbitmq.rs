//! RabbitMQ, with a name service of its own.

use super::{Broker, PASSWORD, Process, USER};
use std::{env, fs, process::Command};

/// Where Debian has the program itself; the one in PATH changes the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

pub fn start(broker: &Broker) -> Vec<Process> {
    let folder = broker.folder.path();
    let [names, distribution] = broker.at.ports.other;
    fs::write(folder.join("rabbitmq.conf"), settings(broker)).expect("it is written");
    fs::write(folder.join("plugins"), "[].").expect("it is written");
    let names_at = names.to_string();
    let epmd = Process::start(
        folder,
        "epmd.log",
        Command::new("epmd").args(["-port", &names_at, "-address", "127.0.0.1"]),
    );
    let at = |name: &str| folder.join(name).display().to_string();
    let rabbitmq = Process::start(
        folder,
        "rabbitmq.log",
        Command::new(PROGRAM)
            .env_clear()
            .env("PATH", env::var("PATH").expect("there is one"))
            .env("HOME", folder)
            .env("LANG", "C.UTF-8")
            .env("ERL_EPMD_PORT", &names_at)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("test{names}@localhost"))
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", at("data"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", at("none"))
            .env("RABBITMQ_CONF_ENV_FILE", at("none"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", at("generated"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false +sbwt none +S 1",
            ),
    );
    // the broker first: it says farewell to nobody
    vec![rabbitmq, epmd]
}

fn settings(broker: &Broker) -> String {
    let mut lines = vec![
        format!("listeners.tcp.1 = 127.0.0.1:{}", broker.at.ports.amqp),
        format!("default_user = {USER}"),
        format!("default_pass = {PASSWORD}"),
        "log.console = true".to_owned(),
        "log.console.level = warning".to_owned(),
        "log.file = false".to_owned(),
    ];
    if let Some(certificates) = &broker.certificates {
        let at = |name| certificates.path(name);
        lines.extend([
            format!("listeners.ssl.1 = 127.0.0.1:{}", broker.at.ports.amqps),
            format!("ssl_options.cacertfile = {}", at("ca.pem")),
            format!("ssl_options.certfile = {}", at("server.pem")),
            format!("ssl_options.keyfile = {}", at("server.key")),
        ]);
    }
    lines.join("\n") + "\n"
}
