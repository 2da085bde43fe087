//! TLS towards PostgreSQL, and who is let in there.

use super::*;
use crate::redis::Certificates;

/// Has a space, which an address has to write otherwise.
pub const PASSWORD: &str = "s3 cret";

/// The user `relay` gets in over TLS with its password, and in no other way.
const RULES: &str = "local all all trust
hostssl all relay 127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 trust
";

/// A server with TLS, whose certificate is for `localhost`.
pub fn encrypted(certificates: &Certificates) -> Server {
    let text = |name: &str| certificates.text(name);
    let server = Server::start_with_tls(&text("server.pem"), &text("server.key"), RULES);
    server.execute(&format!("CREATE ROLE relay LOGIN PASSWORD '{PASSWORD}'"));
    server
}

fn source(name: &str, url: &str, tls: Option<Value>, password: &str) -> Value {
    let mut postgres = json!({
        "url": url,
        "credentials": {"username": "relay", "passwordVariable": password},
    });
    if let Some(tls) = tls {
        postgres["tls"] = tls;
    }
    json!({"name": name, "postgresListen": {"postgres": postgres, "channels": ["a"]}})
}

/// Sources that try and fail, with what the log says of each: a reason and what to change.
#[test]
fn only_the_server_that_is_meant_gets_the_password_and_who_is_refused_touches_nobody() {
    let certificates = Certificates::of("localhost");
    let server = encrypted(&certificates);
    let plain = Server::start_with(&["log_connections=on"]);
    plain.execute("CREATE ROLE relay LOGIN");
    let (ca, other) = (
        certificates.path("ca.pem"),
        certificates.path("other-ca.pem"),
    );
    let named = json!({"ca": ca, "serverName": "localhost"});
    let at = server.url();
    let sources = json!([
        source("well", &at, Some(named.clone()), "RIGHT"),
        source(
            "authority",
            &at,
            Some(json!({"ca": other, "serverName": "localhost"})),
            "RIGHT"
        ),
        source(
            "system",
            &at,
            Some(json!({"serverName": "localhost"})),
            "RIGHT"
        ),
        source("name", &at, Some(json!({"ca": ca})), "RIGHT"),
        source("open", &at, None, "RIGHT"),
        source("password", &at, Some(named.clone()), "WRONG"),
        source("nothing", &plain.url(), Some(named), "RIGHT"),
    ]);
    let env = [("RIGHT", PASSWORD), ("WRONG", "gu3ss")];
    let relay = relay(&sources, &env);
    for (name, reason, remedy) in [
        ("authority", "tls", "set `postgres.tls.ca`"),
        ("system", "tls", "set `postgres.tls.ca`"),
        ("name", "tls", "set `postgres.tls.serverName`"),
        ("open", "credentials", "set `tls`"),
        ("password", "credentials", "correct the user's password"),
        ("nothing", "tls", "turn `ssl` on there"),
    ] {
        let faults =
            format!("sse_relay_source_faults_total{{source=\"{name}\",reason=\"{reason}\"}}");
        wait_for(&relay, &faults, 1.0);
        let said = relay.output();
        let line = said.lines().find(|line| {
            line.contains("source.failed") && line.contains(&format!("source={name}"))
        });
        assert!(
            line.is_some_and(|line| line.contains(remedy)),
            "{name}: {said}"
        );
    }
    wait_until_connected(&relay, "well");
    let mut stream = relay.subscribe("channel=a");
    server.execute("NOTIFY a, 'heard'");
    assert_eq!(seen_until(&mut stream, "heard"), ["heard"]);
    let said = relay.output();
    assert!(
        !said.contains(PASSWORD) && !said.contains("gu3ss"),
        "{said}"
    );
    assert!(
        !plain.log().contains("user=relay"),
        "nothing went in plain text"
    );
}

#[test]
fn an_address_of_the_environment_says_how_tls_is_wanted() {
    let certificates = Certificates::of("localhost");
    let server = encrypted(&certificates);
    let url = format!(
        "postgres://relay:s3%20cret@localhost:{}/{}?sslmode=verify-full&sslrootcert={}&channel_binding=require",
        server.port,
        postgres::DATABASE,
        certificates.path("ca.pem"),
    );
    let sources = json!([{
        "name": "pg",
        "postgresListen": {"postgres": {"urlVariable": "DATABASE_URL"}, "channels": ["a"]},
    }]);
    let relay = relay(&sources, &[("DATABASE_URL", &url)]);
    wait_until_connected(&relay, "pg");
    assert!(server.log().contains("SSL enabled"), "{}", server.log());
}

#[test]
fn an_archive_is_written_over_tls() {
    let certificates = Certificates::of("localhost");
    let server = encrypted(&certificates);
    server.execute("GRANT CREATE ON DATABASE events TO relay");
    let (url, ca) = (server.url(), certificates.path("ca.pem"));
    let relay = Relay::start_with(
        &[
            ("SSE_RELAY_ARCHIVE__POSTGRES__URL", &*url),
            ("SSE_RELAY_ARCHIVE__POSTGRES__TLS__CA", &ca),
            ("SSE_RELAY_ARCHIVE__POSTGRES__TLS__SERVER_NAME", "localhost"),
            (
                "SSE_RELAY_ARCHIVE__POSTGRES__CREDENTIALS__USERNAME",
                "relay",
            ),
            (
                "SSE_RELAY_ARCHIVE__POSTGRES__CREDENTIALS__PASSWORD_VARIABLE",
                "RIGHT",
            ),
            ("RIGHT", PASSWORD),
        ],
        &[],
    );
    relay.publish("a", "kept");
    until("an archived event", || {
        let rows = server.try_execute(postgres::DATABASE, "SELECT channel FROM sse_relay.events");
        (rows.ok()? == ["a"]).then_some(())
    });
}

#[test]
fn a_certificate_of_the_relay_is_its_password_where_the_server_wants_one() {
    let certificates = Certificates::of("localhost");
    let text = |name: &str| certificates.text(name);
    // its certificate says that it is `client`
    let rules = "local all all trust\nhostssl all client 127.0.0.1/32 cert\nhost all postgres 127.0.0.1/32 trust\n";
    let server = Server::start_with_tls(&text("server.pem"), &text("server.key"), rules);
    server.execute("CREATE ROLE client LOGIN");
    let ca = server.file("ca.pem", &text("ca.pem"));
    server.execute(&format!("ALTER SYSTEM SET ssl_ca_file = '{ca}'"));
    server.execute("SELECT pg_reload_conf()");
    let source = |name: &str, certificate: Option<&str>| {
        let mut tls = json!({"ca": certificates.path("ca.pem"), "serverName": "localhost"});
        if let Some(certificate) = certificate {
            tls["certificate"] = json!(certificates.path(&format!("{certificate}.pem")));
            tls["key"] = json!(certificates.path(&format!("{certificate}.key")));
        }
        let postgres = json!({
            "url": server.url(), "tls": tls,
            // nobody asks for it
            "credentials": {"username": "client", "passwordVariable": "ANY"},
        });
        json!({"name": name, "postgresListen": {"postgres": postgres, "channels": ["a"]}})
    };
    let relay = relay(
        &json!([
            source("shown", Some("client")),
            source("other", Some("server")),
            source("none", None),
        ]),
        &[("ANY", "not-asked-for")],
    );
    wait_until_connected(&relay, "shown");
    for name in ["other", "none"] {
        let faults =
            format!("sse_relay_source_faults_total{{source=\"{name}\",reason=\"credentials\"}}");
        wait_for(&relay, &faults, 1.0);
    }
    let mut stream = relay.subscribe("channel=a");
    stream.body_until("id: ");
    server.execute("NOTIFY a, 'heard'");
    assert_eq!(seen_until(&mut stream, "heard"), ["heard"]);
}
