//! What becomes of a command.

use crate::{
    LIMIT,
    servers::{Server, replication_id, until_async},
    session, settings, start,
};
use sse_relay::redis::{
    Command, CommandError, Lost, MAX_IN_FLIGHT, NotExecuted, NotSent, Refusal, Reply, Script, Wrote,
};
use std::time::Instant;

fn incr(key: &str) -> Command {
    Command::new("INCR").arg(key)
}

#[tokio::test]
async fn a_script_that_the_server_does_not_know_is_loaded_and_run_once() {
    let server = Server::start();
    let primary = start(&settings(&server));
    session(&primary).await;
    let script = Script::new("#!lua\nreturn {redis.call('INCR', KEYS[1]), ARGV[1]}");

    for expected in 1..=2 {
        let reply = primary.script(&script, &[b"n"], &[b"a\0b"]).await.unwrap();
        let list = reply.list().unwrap();
        assert_eq!(list[0].integer(), Some(expected));
        assert_eq!(list[1].bytes().unwrap().as_ref(), b"a\0b");
        server.cli(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn a_pipeline_answers_each_command_in_order_refusals_included() {
    let server = Server::start();
    let primary = start(&settings(&server));
    let session = session(&primary).await;
    let commands = [
        incr("n"),
        Command::new("HGETALL").arg("n"),
        Command::new("GET").arg("n"),
        Command::new("GET").arg("nothing"),
    ];

    let mut replies = session.pipeline(&commands).await.unwrap().into_iter();

    assert_eq!(replies.next().unwrap().unwrap().integer(), Some(1));
    let refused = replies.next().unwrap().unwrap_err();
    assert!(
        matches!(
            refused,
            CommandError::Refused {
                why: Refusal::WrongType,
                wrote: Wrote::Nothing,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(replies.next().unwrap().unwrap().text(), Some("1"));
    assert!(replies.next().unwrap().unwrap().is_nil());
    assert_eq!(session.pipeline(&[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_error_inside_a_script_says_that_it_may_have_written() {
    let server = Server::start();
    let primary = start(&settings(&server));
    session(&primary).await;
    let script =
        Script::new("#!lua\nredis.call('SET', KEYS[1], 1) return redis.call('HGET', KEYS[1], 'f')");

    let refused = primary.script(&script, &[b"k"], &[]).await.unwrap_err();

    assert!(
        matches!(
            refused,
            CommandError::Refused {
                why: Refusal::WrongType,
                wrote: Wrote::Perhaps,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(server.cli(&["GET", "k"]), "1");
}

#[tokio::test]
async fn a_full_redis_refuses_a_script_before_it_writes() {
    let server = Server::start();
    let primary = start(&settings(&server));
    session(&primary).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let script = Script::new("#!lua\nreturn redis.call('SET', KEYS[1], 1)");

    let refused = primary.script(&script, &[b"k"], &[]).await.unwrap_err();

    assert!(
        matches!(
            refused,
            CommandError::Refused {
                why: Refusal::OutOfMemory,
                wrote: Wrote::Nothing,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(server.cli(&["EXISTS", "k"]), "0");
}

#[tokio::test]
async fn a_command_to_a_frozen_server_times_out_and_is_executed_at_most_once() {
    let server = Server::start();
    let primary = start(&settings(&server));
    let old = session(&primary).await;
    server.freeze();

    let begun = Instant::now();
    let lost = old.command(&incr("n")).await.unwrap_err();

    assert!(
        matches!(lost, CommandError::Unknown(Lost::TimedOut)),
        "{lost}"
    );
    assert!(begun.elapsed() < LIMIT, "it hung");
    // The session is over, whoever still holds it.
    let refused = old.command(&incr("other")).await.unwrap_err();
    assert!(
        matches!(refused, CommandError::NotSent(NotSent::SessionEnded(_))),
        "{refused}"
    );
    server.thaw();
    let new = session(&primary).await;
    assert_eq!(new.command(&incr("n")).await.unwrap().integer(), Some(2));
    let other = new
        .command(&Command::new("GET").arg("other"))
        .await
        .unwrap();
    assert!(other.is_nil(), "what was not sent is not executed");
}

#[tokio::test]
async fn a_server_that_dies_leaves_the_outcome_unknown_and_later_commands_unsent() {
    let mut server = Server::start();
    let primary = start(&settings(&server));
    let old = session(&primary).await;
    server.freeze();
    let held = old.clone();
    let waiting = tokio::spawn(async move { held.command(&incr("n")).await });
    tokio::task::yield_now().await;
    server.kill();

    let lost = waiting.await.unwrap().unwrap_err();

    assert!(
        matches!(lost, CommandError::Unknown(Lost::ConnectionLost)),
        "{lost}"
    );
    let refused = primary.pipeline(&[incr("n")]).await.unwrap_err();
    assert!(matches!(refused, CommandError::NotSent(_)), "{refused}");
    server.restart();
    let new = session(&primary).await;
    assert_ne!(
        new.replication_id(),
        old.replication_id(),
        "a restart is another primary"
    );
    assert_eq!(new.replication_id().as_str(), replication_id(&server));
}

#[tokio::test]
async fn a_primary_that_became_a_replica_takes_nothing_more() {
    let other = Server::start();
    let server = Server::start();
    let primary = start(&settings(&server));
    let old = session(&primary).await;
    server.cli(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let script = Script::new("#!lua\nreturn redis.call('INCR', KEYS[1])");

    let refused = primary.script(&script, &[b"n"], &[]).await.unwrap_err();

    assert!(
        matches!(
            refused,
            CommandError::NotExecuted { .. } | CommandError::NotSent(_)
        ),
        "{refused}"
    );
    assert!(old.command(&incr("n")).await.is_err());
    let reason = until_async("the refusal of a replica", || async {
        primary.session().err().map(|error| error.to_string())
    });
    assert!(reason.await.contains("replica"));
}

#[tokio::test]
async fn another_replication_id_on_the_same_connection_ends_the_session() {
    let other = Server::start();
    let server = Server::start();
    let primary = start(&settings(&server));
    let old = session(&primary).await;
    server.cli(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    server.cli(&["REPLICAOF", "NO", "ONE"]);

    let ended = until_async("the end of the session", || async {
        old.verify().await.err()
    });

    assert!(matches!(
        ended.await,
        CommandError::NotSent(NotSent::SessionEnded(_))
    ));
    let new = session(&primary).await;
    assert_eq!(new.replication_id().as_str(), replication_id(&server));
}

#[tokio::test]
async fn commands_past_the_bound_are_not_sent() {
    let server = Server::start();
    let primary = start(&settings(&server));
    let session = session(&primary).await;
    server.freeze();
    let calls = (0..=MAX_IN_FLIGHT).map(|_| {
        let session = session.clone();
        tokio::spawn(async move { session.command(&incr("n")).await })
    });
    let calls: Vec<_> = calls.collect();

    let mut unsent = 0;
    for call in calls {
        match call.await.unwrap().unwrap_err() {
            CommandError::NotSent(_) => unsent += 1,
            CommandError::Unknown(_) => {}
            other => panic!("{other}"),
        }
    }

    assert!(unsent >= 1);
    server.thaw();
}

#[tokio::test]
async fn a_server_busy_with_a_script_says_not_executed() {
    let server = Server::start_with(&[("busy-reply-threshold", "1")]);
    let primary = start(&settings(&server));
    session(&primary).await;
    let endless = Script::new("#!lua flags=no-writes\nwhile true do end");
    let looping = start(&settings(&server));
    session(&looping).await;
    let looping = tokio::spawn(async move { looping.script(&endless, &[], &[]).await });

    let refused = until_async("the refusal of a busy server", || async {
        match primary.pipeline(&[incr("n")]).await.ok()?.pop()? {
            Err(error) => Some(error),
            Ok(reply) => {
                assert!(matches!(reply, Reply::Integer(_)));
                None
            }
        }
    });

    let refused = refused.await;
    server.cli(&["SCRIPT", "KILL"]);
    assert!(
        matches!(
            refused,
            CommandError::NotExecuted {
                why: NotExecuted::BusyScript,
                ..
            }
        ),
        "{refused}"
    );
    assert!(looping.await.unwrap().is_err());
}
