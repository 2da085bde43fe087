//! ActiveMQ Classic, with STOMP and AMQP 1.0.

use super::{Broker, Kind, PASSWORD, Process, USER, java};
use std::{fs, process::Command};

pub fn start(broker: &Broker) -> Vec<Process> {
    let folder = broker.folder.path();
    let file = folder.join("activemq.xml");
    fs::write(&file, settings(broker)).expect("it is written");
    let java = java(Kind::Activemq);
    let process = Process::start(
        folder,
        "activemq.log",
        Command::new(&java[0])
            .args(tls_options(broker))
            .args(&java[1..])
            .args(["org.apache.activemq.console.Main", "start"])
            .arg(format!("xbean:file:{}", file.display())),
    );
    vec![process]
}

fn tls_options(broker: &Broker) -> Vec<String> {
    let Some(certificates) = &broker.certificates else {
        return Vec::new();
    };
    let store = certificates.path("server.p12");
    vec![
        format!("-Djavax.net.ssl.keyStore={store}"),
        "-Djavax.net.ssl.keyStoreType=PKCS12".to_owned(),
        "-Djavax.net.ssl.keyStorePassword=changeit".to_owned(),
    ]
}

fn settings(broker: &Broker) -> String {
    let ports = broker.at.ports;
    let mut connectors = vec![
        ("stomp", format!("stomp://127.0.0.1:{}", ports.stomp)),
        ("amqp", format!("amqp://127.0.0.1:{}", ports.amqp)),
    ];
    if broker.certificates.is_some() {
        connectors.push(("stomps", format!("stomp+ssl://127.0.0.1:{}", ports.stomps)));
        connectors.push(("amqps", format!("amqp+ssl://127.0.0.1:{}", ports.amqps)));
    }
    let connectors: String = connectors
        .iter()
        .map(|(name, uri)| format!(r#"<transportConnector name="{name}" uri="{uri}"/>"#))
        .collect();
    let folder = broker.folder.path().display();
    format!(
        r#"<beans xmlns="http://www.springframework.org/schema/beans"
            xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
            xsi:schemaLocation="http://www.springframework.org/schema/beans
              http://www.springframework.org/schema/beans/spring-beans.xsd
              http://activemq.apache.org/schema/core
              http://activemq.apache.org/schema/core/activemq-core.xsd">
          <broker xmlns="http://activemq.apache.org/schema/core" brokerName="test" useJmx="false"
              dataDirectory="{folder}/data" schedulerSupport="false">
            <persistenceAdapter><kahaDB directory="{folder}/kahadb" journalMaxFileLength="1mb"/></persistenceAdapter>
            <plugins><simpleAuthenticationPlugin anonymousAccessAllowed="false"><users>
              <authenticationUser username="{USER}" password="{PASSWORD}" groups="all"/>
            </users></simpleAuthenticationPlugin></plugins>
            <systemUsage><systemUsage>
              <memoryUsage><memoryUsage limit="64 mb"/></memoryUsage>
              <storeUsage><storeUsage limit="1 gb"/></storeUsage>
              <tempUsage><tempUsage limit="100 mb"/></tempUsage>
            </systemUsage></systemUsage>
            <transportConnectors>{connectors}</transportConnectors>
          </broker>
        </beans>"#
    )
}
