//! Artemis, with STOMP and AMQP 1.0.

use super::{Broker, Kind, PASSWORD, Process, USER, java};
use std::{fs, process::Command};

pub fn start(broker: &Broker) -> Vec<Process> {
    let folder = broker.folder.path();
    let etc = folder.join("etc");
    fs::create_dir_all(&etc).expect("a directory");
    fs::create_dir_all(folder.join("tmp")).expect("a directory");
    let write = |name: &str, text: &str| {
        fs::write(etc.join(name), text).expect("it is written");
    };
    write(
        "management.xml",
        r#"<management-context xmlns="http://activemq.apache.org/schema"/>"#,
    );
    write(
        "bootstrap.xml",
        &format!(
            r#"<broker xmlns="http://activemq.apache.org/schema">
              <jaas-security domain="test"/>
              <server configuration="file:{}/broker.xml"/>
            </broker>"#,
            etc.display()
        ),
    );
    write("login.config", LOGIN);
    // a backslash begins an escape in such a file
    write(
        "users.properties",
        &format!("{USER}={}\n", PASSWORD.replace('\\', "\\\\")),
    );
    write("roles.properties", &format!("all={USER}\n"));
    write("broker.xml", &settings(broker));
    let home = folder.display();
    let java = java(Kind::Artemis);
    let process = Process::start(
        folder,
        "artemis.log",
        Command::new(&java[0])
            .args([
                format!("-Djava.security.auth.login.config={home}/etc/login.config"),
                format!("-Dartemis.home={home}"),
                format!("-Dartemis.instance={home}"),
            ])
            .args(&java[1..])
            .args(["org.apache.activemq.artemis.cli.Artemis", "run"]),
    );
    vec![process]
}

const LOGIN: &str = r#"test {
  org.apache.activemq.artemis.spi.core.security.jaas.PropertiesLoginModule required
    org.apache.activemq.jaas.properties.user="users.properties"
    org.apache.activemq.jaas.properties.role="roles.properties";
};
"#;

/// All that a user may be allowed.
const RIGHTS: [&str; 9] = [
    "createNonDurableQueue",
    "deleteNonDurableQueue",
    "createDurableQueue",
    "deleteDurableQueue",
    "createAddress",
    "deleteAddress",
    "consume",
    "browse",
    "send",
];

/// What makes `/queue/a` a queue and `/topic/a` a topic, as at ActiveMQ.
const STOMP: &str = "protocols=STOMP;anycastPrefix=/queue/;multicastPrefix=/topic/";

fn settings(broker: &Broker) -> String {
    let data = broker.folder.path().join("data");
    let ports = broker.at.ports;
    let mut acceptors = format!(
        r#"<acceptor name="stomp">tcp://127.0.0.1:{}?{STOMP}</acceptor>
           <acceptor name="amqp">tcp://127.0.0.1:{}?protocols=AMQP</acceptor>"#,
        ports.stomp, ports.amqp
    );
    if let Some(certificates) = &broker.certificates {
        let tls = format!(
            "sslEnabled=true;keyStoreType=PKCS12;keyStorePath={};keyStorePassword=changeit",
            certificates.path("server.p12")
        );
        acceptors += &format!(
            r#"<acceptor name="stomps">tcp://127.0.0.1:{}?{STOMP};{tls}</acceptor>
               <acceptor name="amqps">tcp://127.0.0.1:{}?protocols=AMQP;{tls}</acceptor>"#,
            ports.stomps, ports.amqps
        );
    }
    let rights: String = RIGHTS
        .iter()
        .map(|right| format!(r#"<permission type="{right}" roles="all"/>"#))
        .collect();
    let kept: String = ["paging", "bindings", "journal", "large-messages"]
        .iter()
        .map(|what| {
            format!(
                "<{what}-directory>{}/{what}</{what}-directory>",
                data.display()
            )
        })
        .collect();
    format!(
        r##"<configuration xmlns="urn:activemq"><core xmlns="urn:activemq:core">
          <name>test</name>
          <persistence-enabled>true</persistence-enabled>
          <journal-type>NIO</journal-type>
          {kept}
          <journal-min-files>2</journal-min-files>
          <journal-pool-files>2</journal-pool-files>
          <journal-file-size>1M</journal-file-size>
          <max-disk-usage>100</max-disk-usage>
          <acceptors>{acceptors}</acceptors>
          <security-settings><security-setting match="#">{rights}</security-setting></security-settings>
          <address-settings><address-setting match="missing.#">
            <auto-create-queues>false</auto-create-queues>
            <auto-create-addresses>false</auto-create-addresses>
          </address-setting></address-settings>
        </core></configuration>"##
    )
}
