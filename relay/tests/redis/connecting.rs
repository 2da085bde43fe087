//! What keeps a connection from being made, and what is said then.

use crate::{
    servers::{Server, free_ports, until_async},
    session, settings, start,
};
use relay_config::{Redis as Settings, RedisCredentials};
use sse_relay::redis::{Command, CommandError, NotSent, Primary};
use std::{
    fs,
    io::{Read, Write},
};

/// What is said once an attempt has failed.
async fn refusal(primary: &Primary) -> (&'static str, String) {
    until_async("a failed attempt", || async {
        match primary.session() {
            Err(CommandError::NotSent(NotSent::NoConnection(why)))
                if why.reason() != "starting" =>
            {
                Some((why.reason(), why.to_string()))
            }
            _ => None,
        }
    })
    .await
}

fn user(name: &str, password_file: &std::path::Path) -> Option<RedisCredentials> {
    Some(RedisCredentials {
        username: Some(name.into()),
        password_file: Some(password_file.display().to_string()),
        ..RedisCredentials::default()
    })
}

#[tokio::test]
async fn an_address_where_nothing_listens_is_named() {
    let [port] = free_ports();
    let primary = start(&Settings {
        url: Some(format!("redis://127.0.0.1:{port}")),
        ..Settings::default()
    });

    let (reason, said) = refusal(&primary).await;

    assert_eq!(reason, "unreachable");
    assert!(said.contains(&port.to_string()), "{said}");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_saying_it() {
    let server = Server::start_with_users(&["user relay on >right ~* &* +@all"], &[]);
    let file = server.folder().join("password");
    fs::write(&file, "hunter2\n").unwrap();
    let primary = start(&Settings {
        credentials: user("relay", &file),
        ..settings(&server)
    });

    let (reason, said) = refusal(&primary).await;

    assert_eq!(reason, "authentication");
    assert!(said.contains("redis.credentials"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    // No restart: the file is read for each attempt.
    fs::write(&file, "right\n").unwrap();
    session(&primary)
        .await
        .command(&Command::new("PING"))
        .await
        .unwrap();
}

#[tokio::test]
async fn no_password_where_one_is_needed_is_told() {
    let server = Server::start_with_users(&[], &[]);
    let (reason, said) = refusal(&start(&settings(&server))).await;
    assert_eq!(reason, "authentication", "{said}");
}

#[tokio::test]
async fn a_missing_password_file_or_variable_is_named() {
    let server = Server::start();
    let primary = start(&Settings {
        credentials: user("relay", &server.folder().join("none")),
        ..settings(&server)
    });
    let (reason, said) = refusal(&primary).await;
    assert_eq!(reason, "password");
    assert!(said.contains("none"), "{said}");

    let primary = start(&Settings {
        credentials: Some(RedisCredentials {
            password_variable: Some("SSE_RELAY_TEST_NO_SUCH_VARIABLE".into()),
            ..RedisCredentials::default()
        }),
        ..settings(&server)
    });
    let (_, said) = refusal(&primary).await;
    assert!(said.contains("SSE_RELAY_TEST_NO_SUCH_VARIABLE"), "{said}");
}

#[tokio::test]
async fn a_user_without_the_right_to_ask_who_is_primary_is_told() {
    let server = Server::start_with_users(&["user relay on >p ~* &* +@all -info"], &[]);
    let file = server.folder().join("password");
    fs::write(&file, "p").unwrap();
    let primary = start(&Settings {
        credentials: user("relay", &file),
        ..settings(&server)
    });
    let (reason, said) = refusal(&primary).await;
    assert_eq!(reason, "no-permission");
    assert!(said.contains("'info'"), "{said}");
}

#[tokio::test]
async fn a_replica_is_refused() {
    let other = Server::start();
    let server = Server::start_with(&[("replicaof", &format!("127.0.0.1 {}", other.port))]);
    let (reason, _) = refusal(&start(&settings(&server))).await;
    assert_eq!(reason, "not-primary");
}

#[tokio::test]
async fn a_cluster_node_given_as_one_server_is_refused_with_the_remedy() {
    let [bus] = free_ports();
    let server = Server::start_with(&[
        ("cluster-enabled", "yes"),
        ("cluster-port", &bus.to_string()),
    ]);
    let (reason, said) = refusal(&start(&settings(&server))).await;
    assert_eq!(reason, "cluster");
    assert!(said.contains("redis.cluster.nodes"), "{said}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told() {
    let server = Server::start();
    let (reason, said) = refusal(&start(&Settings {
        url: Some(format!("{}/99", server.url())),
        ..Settings::default()
    }))
    .await;
    assert_eq!(reason, "database", "{said}");
}

#[tokio::test]
async fn a_server_that_is_no_redis_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let (reason, said) = refusal(&start(&Settings {
        url: Some(format!("redis://127.0.0.1:{port}")),
        ..Settings::default()
    }))
    .await;
    assert_eq!(reason, "protocol", "{said}");
}

#[tokio::test]
async fn a_unix_socket_and_a_database_are_used() {
    let server = Server::start_with(&[("unixsocket", "socket")]);
    let socket = server.folder().join("socket");
    let primary = start(&Settings {
        url: Some(format!("unix://{}?db=3", socket.display())),
        ..Settings::default()
    });
    session(&primary)
        .await
        .command(&Command::new("SET").arg("k").arg("v"))
        .await
        .unwrap();
    assert_eq!(server.cli(&["-n", "3", "GET", "k"]), "v");
}
