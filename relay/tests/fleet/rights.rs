//! What users of Redis may do with what replicas share.

use super::*;
use relay_config::RedisRole;

#[test]
fn the_relays_own_rights_suffice_and_those_of_others_do_not_reach_what_replicas_share() {
    let user =
        |name: &str, role: RedisRole| format!("user {name} on >secret {}", role.rules("sse-relay"));
    let users = [
        user("relay", RedisRole::Relay),
        user("publisher", RedisRole::Publisher),
        user("reader", RedisRole::ReadOnly),
    ];
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let server = Server::start_with_users(&users, &[]);
    let redis = [
        ("SSE_RELAY_REDIS__URL", server.url()),
        ("SSE_RELAY_REDIS__CREDENTIALS__USERNAME", "relay".to_owned()),
        (
            "SSE_RELAY_REDIS__CREDENTIALS__PASSWORD_VARIABLE",
            "REDIS_PASSWORD".to_owned(),
        ),
        ("REDIS_PASSWORD", "secret".to_owned()),
    ];
    let redis = redis
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let [one, two] = relays(&redis);
    let (ann, id) = open(&two, "channel=orders.eu", &[ANN]);
    let sent = post(
        &one,
        &format!("/v1/connections/{id}/events"),
        &json!({"data": "x"}),
    );
    assert_eq!(sent.json(), json!({"delivered": true}), "{sent:?}");
    let made = post(&one, "/v1/revocations", &json!({"subject": "ann"})).json();
    assert_eq!([&made["ended"], &made["confirmed"]], [&json!(1), &json!(2)]);
    assert!(rest(ann).contains(r#"{"reason":"revoked"}"#));
    assert_eq!(server.cli(&["ACL", "LOG"]), "", "nothing was refused");
    let may = |user: &str, command: &[&str]| {
        server.cli(&[&["ACL", "DRYRUN", user], command].concat()) == "OK"
    };
    for user in ["publisher", "reader"] {
        assert!(
            !may(user, &["HGET", "sse-relay:{fleet}:tickets", "x"]),
            "{user}"
        );
        assert!(may(user, &["HGET", "sse-relay:{dlj}:head", "e"]), "{user}");
    }
    assert!(may("publisher", &["SPUBLISH", "sse-relay:{dlj}:news", "x"]));
    assert!(!may(
        "publisher",
        &["SPUBLISH", "sse-relay:{fleet}:orders", "x"]
    ));
    assert!(!may("reader", &["SSUBSCRIBE", "sse-relay:{fleet}:orders"]));
}
